"""How the vector store's adapter cuts requests, and whom it blames when the server refuses one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import grpc  # type: ignore[import-untyped]
import numpy as np
import pytest

from processor.errors import Misconfigured, StoreError, Unavailable
from processor.lease import Lease
from processor.settings import MilvusSettings
from processor.stamp import Stamp
from processor.stores.base import Applied, Held, Put, Refused, Remove
from processor.stores.milvus import CHUNK_BYTES, CHUNK_ITEMS, MilvusStore
from processor.stores.milvus_client import Connection, Doubt, library, told_apart
from processor.stores.milvus_schema import Entity
from processor.tables.base import FieldType, View
from processor.vector import Vector

VIEW = View(store="milvus", name="things", fields={"text": FieldType.STORED})
SETTINGS = MilvusSettings.model_validate({"uri": "http://127.0.0.1:9"})
VECTOR = Vector(np.ones(2, dtype=np.float32), "m", "")
HELD = Held(Stamp(1, 1, 1, "f"), {})
UNEXPECTED, INVALID = 65_535, 1_100


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        (2, Unavailable, "aegis stack up milvus"),
        (8, Unavailable, "aegis stack up milvus"),
        (9, Unavailable, "aegis stack up milvus"),
        (503, Unavailable, "aegis stack up milvus"),
        (grpc.StatusCode.UNAVAILABLE, Unavailable, "aegis stack up milvus"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Unavailable, "aegis stack up milvus"),
        (100, Misconfigured, "restart the processor"),
        (800, Misconfigured, "MILVUS_DATABASE"),
        (1_800, Misconfigured, "MILVUS_PASSWORD"),
        (grpc.StatusCode.UNAUTHENTICATED, Misconfigured, "MILVUS_PASSWORD"),
    ],
)
def test_what_a_code_says_about_the_server_is_told_with_what_to_do(
    code: Any, kind: type[StoreError], hint: str
) -> None:
    error = told_apart(code, "why")
    assert type(error) is kind
    assert "why" in str(error)
    assert isinstance(error, StoreError)
    assert hint in str(error.hint)


@pytest.mark.parametrize(
    ("code", "permanent"),
    [
        (INVALID, True),
        (6, True),
        (1, False),
        (UNEXPECTED, False),
    ],
)
def test_what_may_be_the_requests_fault_is_left_in_doubt(code: Any, permanent: bool) -> None:
    error = told_apart(code, "why")
    assert isinstance(error, Doubt)
    assert error.permanent is permanent
    assert isinstance(error.error(), Misconfigured if permanent else Unavailable)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (1, "[Errno 28] No space left on device"),
        (UNEXPECTED, "write rocksdb: no space left on device"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests"),
    ],
)
def test_trouble_that_a_small_write_may_survive_blames_no_record(code: Any, message: str) -> None:
    assert type(told_apart(code, message)) is Unavailable


@pytest.mark.parametrize("who", ["Received", "CLIENT: Sent", "grpc: received", "trying to send"])
def test_a_request_above_the_servers_bound_is_made_smaller(who: str) -> None:
    error = told_apart(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{who} message larger than max (9 vs. 8)")
    assert isinstance(error, Doubt)
    assert error.permanent


class Failure(grpc.RpcError):  # type: ignore[misc]
    """As gRPC raises it."""

    def __init__(self, status: grpc.StatusCode) -> None:
        self.status = status

    def code(self) -> grpc.StatusCode:
        return self.status

    def details(self) -> str:
        return "details"


@pytest.mark.parametrize(
    ("status", "kind"), [("UNAUTHENTICATED", Misconfigured), ("UNAVAILABLE", Unavailable)]
)
def test_why_no_connection_came_about_is_told_by_the_cause(status: str, kind: type[StoreError]) -> None:
    def request(client: object) -> None:
        raise library().exceptions.MilvusException(2, "Fail connecting") from Failure(grpc.StatusCode[status])

    connection = Connection(SETTINGS)
    connection._client = object()
    with pytest.raises(kind, match=f"answered {status}: details"):
        connection.call(request)


class Server(Connection):
    """Records the requests; refuses upserts of `bad` keys with `code`, and every write when `ill`."""

    def __init__(self, bad: frozenset[str] = frozenset(), code: int = INVALID, ill: bool = False) -> None:
        super().__init__(SETTINGS)
        self.bad, self.code, self.ill = bad, code, ill
        self.upserts: list[list[str]] = []
        self.deletes: list[str] = []
        self.timeouts: list[float] = []

    def ask(self, request: Callable[[Any], Any], collection: str | None = None) -> Any:
        return request(self)

    def upsert(self, name: str, entities: list[Entity], timeout: float) -> None:
        keys = [entity["_key"] for entity in entities]
        self.upserts.append(keys)
        self.timeouts.append(timeout)
        if self.ill or self.bad.intersection(keys):
            raise told_apart(self.code, "refused")

    def delete(self, name: str, filter: str, timeout: float) -> None:
        self.deletes.append(filter)
        self.timeouts.append(timeout)
        if self.ill:
            raise told_apart(self.code, "refused")


def store_on(server: Server, lease: Lease | None = None) -> MilvusStore:
    store = MilvusStore(SETTINGS, "m", 2, lease)
    store._connection = server
    return store


def put(key: str, text: str = "") -> Put:
    return Put(key, None, Stamp(1, 1, 1, "f"), {"text": text}, VECTOR)


@pytest.mark.parametrize("code", [INVALID, UNEXPECTED])
def test_what_the_server_refuses_is_halved_down_to_the_record_that_it_refuses_alone(code: int) -> None:
    server = Server(frozenset({"k5"}), code)
    outcomes = store_on(server).apply(VIEW, [put(f"k{n}") for n in range(8)])
    assert outcomes[:5] + outcomes[6:] == [Applied()] * 7
    assert outcomes[5] == Refused(f"answered {code}: refused")
    again = [1] if code == UNEXPECTED else []  # what may be the server's fault is tried once more
    assert [len(keys) for keys in server.upserts] == [8, 4, 4, 2, 1, 1, *again, 2]


def test_a_server_that_takes_no_write_at_all_is_unavailable_and_no_record_is_blamed() -> None:
    server = Server(code=UNEXPECTED, ill=True)
    with pytest.raises(Unavailable, match="answered 65535"):
        store_on(server).apply(VIEW, [put("a"), put("b")])
    assert [len(keys) for keys in server.upserts] == [2, 1]
    assert server.deletes == ['_key in [""]']


def test_a_batch_is_cut_by_count_and_by_bytes() -> None:
    server = Server()
    store_on(server).apply(VIEW, [put(f"k{n}") for n in range(2 * CHUNK_ITEMS + 1)])
    assert [len(keys) for keys in server.upserts] == [CHUNK_ITEMS, CHUNK_ITEMS, 1]
    server = Server()
    big = "x" * 60_000
    store_on(server).apply(VIEW, [put(f"k{n}", big) for n in range(100)])
    assert [len(keys) for keys in server.upserts] == [CHUNK_BYTES // 60_200, 100 - CHUNK_BYTES // 60_200]


def test_removals_are_one_request_and_one_without_a_record_is_none() -> None:
    server = Server()
    store = store_on(server)
    outcomes = store.apply(VIEW, [Remove("a", HELD), Remove("none", None), Remove("b", HELD)])
    assert outcomes == [Applied()] * 3
    assert server.deletes == ['_key in ["a","b"]']
    assert server.upserts == []


def test_no_write_is_sent_that_may_end_after_the_lease() -> None:
    now = [0.0]
    lease = Lease(10, lambda: now[0])
    server = Server()
    store = store_on(server, lease)
    now[0] = 10 - SETTINGS.timeout_seconds
    store.apply(VIEW, [put("k"), Remove("r", HELD)])
    assert server.timeouts == [SETTINGS.timeout_seconds / 2] * 2  # pymilvus may pass it twice
    now[0] += 0.1
    for write in (put("late"), Remove("late", HELD)):
        with pytest.raises(Unavailable, match="not polled"):
            store.apply(VIEW, [write])
    assert (server.upserts, server.deletes) == ([["k"]], ['_key in ["r"]'])
    lease.renew()
    assert store.apply(VIEW, [put("late")]) == [Applied()]


def test_the_adapter_is_imported_without_its_client() -> None:
    """pymilvus takes seconds, which commands that do not need it are spared."""
    program = (
        "import processor.stores.milvus, sys; sys.exit('pymilvus' in sys.modules or 'grpc' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
