"""Requests are bounded in bytes, and halved down to the record that is too large alone."""

from __future__ import annotations

from typing import Any

from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ApiError

from processor.settings import SearchSettings, read_block
from processor.stamp import Stamp
from processor.stores.base import Applied, Put, Refused
from processor.stores.elasticsearch import REQUEST_BYTES, ElasticsearchStore
from processor.tables.base import FieldType, View

VIEW = View("elasticsearch", "v", {"text": FieldType.KOREAN})


class SmallServer:
    """Takes at most `limit` characters in one request."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken: list[list[str]] = []

    def bulk(self, *, index: str, operations: list[dict[str, Any]]) -> dict[str, Any]:
        if sum(len(line.get("text", "")) for line in operations) > self.limit:
            node = NodeConfig("http", "127.0.0.1", 9200)
            meta = ApiResponseMeta(413, "1.1", HttpHeaders(), 0.0, node)
            raise ApiError("request entity too large", meta, {})
        keys = [line["create"]["_id"] for line in operations if "create" in line]
        self.taken.append(keys)
        return {"items": [{"create": {"_id": key, "status": 201}} for key in keys]}


def test_large_records_go_in_several_requests_and_one_above_the_bound_goes_alone() -> None:
    store = ElasticsearchStore(read_block(SearchSettings))
    store.close()
    server = SmallServer(limit=10 * REQUEST_BYTES)
    store._client = server  # type: ignore[assignment]
    texts = ["가" * (REQUEST_BYTES // 8)] * 4 + ["x" * (REQUEST_BYTES + 1)] + ["x"] * 3
    puts = [Put(str(n), None, Stamp(1, 1, 1, "f"), {"text": text}) for n, text in enumerate(texts)]
    assert store.apply(VIEW, puts) == [Applied()] * len(puts)
    assert server.taken == [["0", "1"], ["2", "3"], ["4"], ["5", "6", "7"]]


def test_a_request_that_is_too_large_is_halved_down_to_the_record_that_is_too_large_alone() -> None:
    store = ElasticsearchStore(read_block(SearchSettings))
    store.close()
    server = SmallServer(limit=20)
    store._client = server  # type: ignore[assignment]
    texts = ["x" * 8, "x" * 8, "x" * 50, "x" * 8]
    stamp = Stamp(1, 1, 1, "f")
    outcomes = store.apply(VIEW, [Put(str(n), None, stamp, {"text": text}) for n, text in enumerate(texts)])
    assert [type(outcome) for outcome in outcomes] == [Applied, Applied, Refused, Applied]
    assert "takes no request of this size" in str(outcomes[2])
    assert server.taken == [["0", "1"], ["3"]]
