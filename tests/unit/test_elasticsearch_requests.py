"""How the index' adapter cuts requests, and whom it blames when the server refuses one."""

from __future__ import annotations

from typing import Any

import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ApiError

from processor.errors import Misconfigured, Unavailable
from processor.settings import SearchSettings, read_block
from processor.stamp import Stamp
from processor.stores.base import Applied, Put, Refused
from processor.stores.elasticsearch import REQUEST_BYTES, ElasticsearchStore
from processor.stores.elasticsearch_errors import Doubt, meaning
from processor.tables.base import FieldType, View

VIEW = View("elasticsearch", "v", {"text": FieldType.KOREAN})


def answered(status: int, error: str) -> ApiError:
    node = NodeConfig("http", "127.0.0.1", 9200)
    return ApiError(error, ApiResponseMeta(status, "1.1", HttpHeaders(), 0.0, node), {})


class SmallServer:
    """Takes at most `limit` characters in one request."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken: list[list[str]] = []

    def bulk(self, *, index: str, operations: list[dict[str, Any]], timeout: str) -> dict[str, Any]:
        self._check(operations)
        if sum(len(line.get("text", "")) for line in operations) > self.limit:
            raise answered(413, "request entity too large")
        keys = [line["create"]["_id"] for line in operations if "create" in line]
        self.taken.append(keys)
        return {"items": [{"create": {"_id": key, "status": 201}} for key in keys]}

    def _check(self, operations: list[dict[str, Any]]) -> None:
        """Takes everything that is not too large."""


class PickyServer(SmallServer):
    """Answers 400 to whole requests: to those that hold `bad`, or to every one."""

    def __init__(self, bad: str | None) -> None:
        super().__init__(limit=1_000_000)
        self.bad = bad

    def _check(self, operations: list[dict[str, Any]]) -> None:
        if self.bad is None or any(line.get("text") == self.bad for line in operations):
            raise answered(400, "x_content_parse_exception")


def store_on(server: SmallServer) -> ElasticsearchStore:
    store = ElasticsearchStore(read_block(SearchSettings))
    store.close()
    store._client = server  # type: ignore[assignment]
    return store


def puts(*texts: str) -> list[Put]:
    return [Put(str(n), None, Stamp(1, 1, 1, "f"), {"text": text}) for n, text in enumerate(texts)]


def test_large_records_go_in_several_requests_and_one_above_the_bound_goes_alone() -> None:
    server = SmallServer(limit=10 * REQUEST_BYTES)
    texts = ["가" * (REQUEST_BYTES // 8)] * 4 + ["x" * (REQUEST_BYTES + 1)] + ["x"] * 3
    assert store_on(server).apply(VIEW, puts(*texts)) == [Applied()] * len(texts)
    assert server.taken == [["0", "1"], ["2", "3"], ["4"], ["5", "6", "7"]]


def test_a_request_that_is_too_large_is_halved_down_to_the_record_that_is_too_large_alone() -> None:
    server = SmallServer(limit=20)
    outcomes = store_on(server).apply(VIEW, puts("x" * 8, "x" * 8, "x" * 50, "x" * 8))
    assert [type(outcome) for outcome in outcomes] == [Applied, Applied, Refused, Applied]
    assert "takes no request of this size" in str(outcomes[2])
    assert server.taken == [["0", "1"], ["3"]]


def test_a_request_refused_as_a_whole_is_halved_down_to_the_record_that_is_to_blame() -> None:
    server = PickyServer("bad")
    outcomes = store_on(server).apply(VIEW, puts(*["good"] * 120, "bad", *["good"] * 79))
    assert [n for n, outcome in enumerate(outcomes) if outcome != Applied()] == [120]
    assert "x_content_parse_exception" in str(outcomes[120])


def test_a_server_that_refuses_every_request_is_misconfigured_and_no_record_is_blamed() -> None:
    with pytest.raises(Misconfigured, match="answered 400") as caught:
        store_on(PickyServer(None)).apply(VIEW, puts("a", "b"))
    assert "the server's version" in str(caught.value.hint)


PRESSURE = (
    "rejected execution of primary operation [coordinating_and_primary_bytes=15000473, replica_bytes=0, "
    "all_bytes=15000473, primary_operation_bytes={taken}, max_primary_bytes=53687091]"
)


@pytest.mark.parametrize(
    ("status", "kind", "reason", "found"),
    [
        (429, "es_rejected_execution_exception", PRESSURE.format(taken=60_001_092), Doubt),
        (429, "es_rejected_execution_exception", PRESSURE.format(taken=40_000_000), Unavailable),
        (429, "circuit_breaking_exception", "[parent] Data too large", Unavailable),
        (403, "cluster_block_exception", "index write (api)", Unavailable),
        (429, "cluster_block_exception", "flood-stage watermark", Unavailable),
        (503, "unavailable_shards_exception", "primary shard is not active", Unavailable),
        (502, None, "bad gateway", Unavailable),
        (404, "search_phase_execution_exception", "no such context", Unavailable),
        (404, "index_not_found_exception", "no such index", Misconfigured),
        (401, "security_exception", "missing token", Misconfigured),
        (403, "security_exception", "is unauthorized", Misconfigured),
        (400, "media_type_header_exception", "Accept version must be", Doubt),
        (413, None, "too large", Doubt),
    ],
)
def test_an_answer_tells_whether_waiting_an_operator_or_a_smaller_request_helps(
    status: int, kind: str | None, reason: str, found: type[Exception]
) -> None:
    assert type(meaning(status, kind, reason)) is found
