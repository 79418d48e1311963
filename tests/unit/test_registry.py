"""Schemas by id: fetched once, waited for while a replica may lag, then the record's fault."""

from __future__ import annotations

import json

import httpx
import pytest

from processor.errors import DecodeError, SourceError
from processor.registry import SchemaRegistry, UnknownSchema
from processor.settings import RegistrySettings

AVRO = json.dumps({"type": "record", "name": "R", "fields": []})


def registry(handler: object, patience: float = 30) -> SchemaRegistry:
    made = SchemaRegistry(RegistrySettings(url="http://registry:1/v7", unknown_id_seconds=patience))
    made._http = httpx.Client(base_url="http://registry:1/v7/", transport=httpx.MockTransport(handler))  # type: ignore[arg-type]
    return made


def test_a_schema_is_fetched_once() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json={"schema": AVRO})

    schemas = registry(answer)
    assert schemas.schema(7) is schemas.schema(7)
    assert asked == ["/v7/schemas/ids/7"]


def test_an_unknown_id_is_waited_for_once_and_not_once_a_record() -> None:
    def missing(_: httpx.Request) -> httpx.Response:
        return httpx.Response(404)

    with pytest.raises(SourceError, match="not known to the registry yet"):
        registry(missing).schema(7)
    impatient = registry(missing, patience=0)
    for _ in range(3):
        with pytest.raises(UnknownSchema):
            impatient.schema(7)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (httpx.Response(200, text="<html>login</html>"), SourceError),
        (httpx.Response(200, json=["no", "schema"]), SourceError),
        (httpx.Response(500, text="oops"), SourceError),
        (httpx.Response(200, json={"schema": '{"type": "object"}'}), DecodeError),
        (httpx.Response(200, json={"schema": "not json"}), DecodeError),
    ],
)
def test_any_other_answer_is_classed(response: httpx.Response, error: type[Exception]) -> None:
    with pytest.raises(error):
        registry(lambda _: response).schema(7)
