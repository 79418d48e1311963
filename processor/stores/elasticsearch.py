"""The Elasticsearch-API index: one index per view, one document per row.

Compare-and-set is the server's own: `op_type=create` where no document was expected, `if_seq_no` and
`if_primary_term` where one was. External versions would not do: they cannot go down, and the server forgets
them 60 s after a delete.

Only calls are used that every server with this API has: no scripts, no *_by_query, no reindex.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from elastic_transport import SerializationError, TransportError
from elastic_transport.client_utils import DEFAULT
from elasticsearch import ApiError, Elasticsearch

from processor.errors import Misconfigured, Unavailable
from processor.settings import SearchSettings
from processor.stamp import Stamp
from processor.stores.base import Applied, Held, LostRace, Outcome, Record, Refused, Remove, Write
from processor.stores.chunks import chunks
from processor.stores.elasticsearch_document import (
    MAX_ID_BYTES,
    NAME,
    STAMP,
    key_fits,
    lines_of,
    mapping_of,
    scanned_key,
    size_of,
    stamp_of,
)
from processor.stores.elasticsearch_errors import Doubt, meaning, of_document
from processor.tables.base import View

PAGE: Final = 1_000
REQUEST_BYTES: Final = 8 * 1024 * 1024
"""A server takes a tenth of its heap at once, each byte counted two to four times: 13 MB of one record with a
heap of 512 MB. It answers 429 to more, however often it is asked; a processor beside this one may be writing,
too."""
NOBODY: Final = "-"
"""A key that is asked for only to see whether the server takes writes."""
T = TypeVar("T")


class ElasticsearchStore:
    """Adapter of the Elasticsearch-API index."""

    name = NAME

    def __init__(self, settings: SearchSettings) -> None:
        auth = (settings.user, settings.password.get_secret_value()) if settings.user else None
        self._settings = settings
        self._client = Elasticsearch(
            settings.url,
            basic_auth=auth,
            ca_certs=settings.ca_file if settings.ca_file and settings.url.startswith("https") else DEFAULT,
            request_timeout=settings.timeout_seconds,
            max_retries=0,  # the processor waits and retries: it also keeps its place in the group meanwhile
        )

    def index(self, view: View) -> str:
        """Name of the view's index."""
        return f"{self._settings.index_prefix}{view.name}"

    def ensure(self, view: View) -> None:
        """Create the index; check the mapping of one that exists."""
        if not self._mapping(view):
            self._call(lambda: self._create(view))
        self._check_mapping(view)

    def _mapping(self, view: View) -> Mapping[str, Any]:
        """By the index's name; empty where there is none."""
        index = self.index(view)
        return self._call(lambda: self._client.indices.get_mapping(index=index, ignore_unavailable=True).body)

    def _create(self, view: View) -> None:
        settings = {"auto_expand_replicas": "0-1", "refresh_interval": self._settings.refresh_interval}
        try:
            self._client.indices.create(
                index=self.index(view), mappings=mapping_of(view), settings={"index": settings}
            )
        except ApiError as error:
            if error.error != "resource_already_exists_exception":  # another process was faster
                raise

    def _check_mapping(self, view: View) -> None:
        index = self.index(view)
        found = next(iter(self._mapping(view).values()))["mappings"].get("properties", {})
        for name, wanted in mapping_of(view)["properties"].items():
            have = found.get(name, {}).get("type", "object" if name in found else None)
            if have != wanted.get("type", "object"):
                raise Misconfigured(
                    self.name,
                    f"field {name} of index {index} is {have or 'missing'}, wanted {wanted.get('type')}",
                    hint=f"delete index {index}, restart the processor, "
                    "aegis refresh TABLE --where true --stores elasticsearch",
                )

    def stamps(self, view: View, keys: Sequence[str]) -> dict[str, Held]:
        """Read stamps with their sequence numbers; real-time, needs no refresh."""
        return {
            doc["_id"]: Held(stamp_of(doc), (doc["_seq_no"], doc["_primary_term"]))
            for doc in self._get(view, keys, f"{STAMP}.*")
        }

    def read(self, view: View, keys: Sequence[str]) -> dict[str, Record]:
        """Read whole documents; real-time."""
        return {
            doc["_id"]: Record(stamp_of(doc), {k: v for k, v in doc["_source"].items() if k != STAMP})
            for doc in self._get(view, keys, "*")
        }

    def _get(self, view: View, keys: Sequence[str], fields: str) -> list[dict[str, Any]]:
        ids = [key for key in keys if key_fits(key)]
        if not ids:
            return []
        answer = self._call(
            lambda: self._client.mget(index=self.index(view), ids=ids, source_includes=fields)
        )
        for doc in answer["docs"]:
            if "error" in doc:
                raise of_document(doc["error"].get("type"), doc["error"].get("reason"))
        return [doc for doc in answer["docs"] if doc["found"]]

    def apply(self, view: View, writes: Sequence[Write]) -> list[Outcome]:
        """Bulk requests; an item's failure concerns that item only."""
        outcomes: dict[str, Outcome] = {
            write.key: Refused(f"key is longer than {MAX_ID_BYTES} bytes")
            for write in writes
            if not key_fits(write.key)
        }
        # a Remove that expects no record is about other entries, which an index has none of
        outcomes |= {
            write.key: Applied() for write in writes if isinstance(write, Remove) and write.expected is None
        }
        sent = [write for write in writes if write.key not in outcomes]
        for chunk in chunks(sent, size_of, REQUEST_BYTES, len(sent)):
            outcomes |= self._bulk(view, chunk)
        return [outcomes[write.key] for write in writes]

    def _bulk(self, view: View, writes: Sequence[Write]) -> dict[str, Outcome]:
        """One request; halves where the server refuses it as a whole, down to the record that is to blame."""
        operations = [line for write in writes for line in lines_of(write)]
        try:
            answer = self._send(view, operations)
            items = zip(writes, answer["items"], strict=True)
            return {write.key: self._outcome(write, next(iter(item.values()))) for write, item in items}
        except Doubt as doubt:
            if len(writes) == 1:
                return {writes[0].key: self._verdict(view, doubt)}
            half = len(writes) // 2
            return self._bulk(view, writes[:half]) | self._bulk(view, writes[half:])

    def _send(self, view: View, operations: Sequence[Mapping[str, Any]]) -> Any:
        # a server whose shard is away says so before we give up on it; by itself it would wait a minute
        patience = f"{self._settings.timeout_seconds * 500:.0f}ms"
        index = self.index(view)
        return self._ask(lambda: self._client.bulk(index=index, operations=operations, timeout=patience))

    def _verdict(self, view: View, doubt: Doubt) -> Outcome:
        """A record is to blame only if the server takes another write."""
        if not doubt.certain:
            nothing = [{"delete": {"_id": NOBODY, "if_seq_no": 0, "if_primary_term": 1}}]
            try:
                self._send(view, nothing)
            except Doubt as again:
                raise again.error() from again
        return Refused(str(doubt))

    def _outcome(self, write: Write, item: Mapping[str, Any]) -> Outcome:
        status = item["status"]
        if status < 300 or (status == 404 and isinstance(write, Remove) and "error" not in item):
            return Applied()
        problem = item.get("error", {})
        kind = problem.get("type")
        if status == 409 or kind == "document_missing_exception":
            return LostRace()
        if status == 400:
            cause = problem.get("caused_by", {}).get("reason")
            return Refused(f"{kind}: {problem.get('reason')}" + (f" ({cause})" if cause else ""))
        raise meaning(status, kind, problem.get("reason"))

    def scan(self, view: View, after: str | None = None) -> Iterator[tuple[str, Stamp]]:
        """Page through a point in time, sorted by key; a page with a failed shard is an error."""
        pit = self._call(lambda: self._client.open_point_in_time(index=self.index(view), keep_alive="5m"))
        pit_id, last = pit["id"], None if after is None else [after]
        try:
            while True:
                page = self._page(pit_id, last)
                hits = page["hits"]["hits"]
                for hit in hits:
                    yield scanned_key(hit), stamp_of(hit)
                if len(hits) < PAGE:
                    return
                pit_id, last = page["pit_id"], hits[-1]["sort"]
        finally:
            with contextlib.suppress(Unavailable, Misconfigured):  # it ends by itself
                self._call(lambda: self._client.close_point_in_time(id=pit_id))

    def _page(self, pit_id: str, after: list[Any] | None) -> Any:
        page = self._call(
            lambda: self._client.search(
                pit={"id": pit_id, "keep_alive": "5m"},
                sort=[{f"{STAMP}.key": "asc"}],
                search_after=after,
                size=PAGE,
                source_includes=f"{STAMP}.*",
                track_total_hits=False,
                allow_partial_search_results=False,
            )
        )
        if page["timed_out"] or page["_shards"]["failed"]:
            raise Unavailable(self.name, "a scan could not read all shards")
        return page

    def count(self, view: View) -> int:
        """Documents that searches find."""
        return int(self._call(lambda: self._client.count(index=self.index(view)))["count"])

    def settle(self, view: View) -> None:
        """Refresh the index."""
        self._call(lambda: self._client.indices.refresh(index=self.index(view)))

    def ping(self) -> None:
        """Ask for the cluster's health; red cannot take writes."""
        health = self._call(self._client.cluster.health)
        if health["status"] == "red":
            raise Unavailable(self.name, "cluster health is red")

    def close(self) -> None:
        """Close the connection pool."""
        self._client.close()

    def _call(self, request: Callable[[], T]) -> T:
        """Answer of a request that cannot be smaller; raises as every method of a store."""
        try:
            return self._ask(request)
        except Doubt as doubt:
            raise doubt.error() from doubt

    def _ask(self, request: Callable[[], T]) -> T:
        """The same, raising Doubt where the request may be to blame."""
        try:
            return request()
        except ApiError as error:
            raise meaning(error.status_code, error.error, str(error)) from error
        except TransportError as error:
            if isinstance(error, SerializationError) and "Unable to serialize" in str(error):
                # ours, not an answer; its own message would hold the whole request
                raise Doubt(f"is no JSON: {error.errors[0]!s:.200}", certain=True) from error
            raise Unavailable(
                self.name,
                f"{self._settings.url} does not answer: {error}",
                hint="aegis stack up elasticsearch, or check SEARCH_URL",
            ) from error
