"""The search adapter on the real server: the common suite, and what only this store can do."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator

import pytest
from elasticsearch import Elasticsearch
from pydantic import SecretStr

from processor.errors import Misconfigured, Unavailable
from processor.settings import Settings
from processor.stamp import Stamp
from processor.stores.base import Applied, Put, Refused, Store
from processor.stores.elasticsearch import ElasticsearchStore
from processor.tables.base import FieldType, View
from tests.conformance import VIEW_FIELDS, CompareAndSetConformance, body


@pytest.fixture
def raw(settings: Settings) -> Iterator[Elasticsearch]:
    client = Elasticsearch(settings.search.url)
    yield client
    client.close()


@pytest.fixture
def view(settings: Settings, raw: Elasticsearch) -> Iterator[View]:
    view = View(store="elasticsearch", name=f"test-{uuid.uuid4().hex}", fields=VIEW_FIELDS)
    yield view
    raw.indices.delete(index=f"{settings.search.index_prefix}{view.name}", ignore_unavailable=True)


@pytest.fixture
def store(settings: Settings, view: View) -> Iterator[Store]:
    store = ElasticsearchStore(settings.search)
    store.ensure(view)
    yield store
    store.close()


STAMP = Stamp(1, 1, 1, "f")


class TestElasticsearchStore(CompareAndSetConformance):
    """The suite that every store passes."""


def test_korean_is_searched_by_its_words(store: Store, view: View, raw: Elasticsearch) -> None:
    store.apply(view, [Put("k", None, STAMP, body() | {"title": "소상공인을 위한 저금리 대출을 지원합니다"})])
    store.settle(view)
    found = [
        hit["_id"]
        for word in ("소상공인", "대출", "지원")
        for hit in raw.search(index=f"aegis-{view.name}", query={"match": {"title": word}})["hits"]["hits"]
    ]
    assert found == ["k", "k", "k"]


def test_a_value_of_the_wrong_type_is_refused_with_its_field(store: Store, view: View) -> None:
    outcomes = store.apply(
        view, [Put("bad", None, STAMP, body() | {"amount": "much"}), Put("good", None, STAMP, body())]
    )
    assert isinstance(outcomes[0], Refused)
    assert "amount" in outcomes[0].reason
    assert outcomes[1] == Applied()
    assert set(store.stamps(view, ["bad", "good"])) == {"good"}


def test_a_field_that_the_view_does_not_name_is_refused(store: Store, view: View) -> None:
    (outcome,) = store.apply(view, [Put("k", None, STAMP, body() | {"surprise": 1})])
    assert isinstance(outcome, Refused)
    assert "surprise" in outcome.reason


def test_a_keyword_too_long_for_the_index_is_kept_all_the_same(store: Store, view: View) -> None:
    long = "가" * 40_000
    assert store.apply(view, [Put("k", None, STAMP, body() | {"name": long})]) == [Applied()]
    assert store.read(view, ["k"])["k"].body["name"] == long


def test_an_index_of_another_shape_is_a_misconfiguration_that_says_what_to_do(
    store: Store, view: View
) -> None:
    other = dataclasses.replace(view, fields={**VIEW_FIELDS, "amount": FieldType.KEYWORD})
    with pytest.raises(Misconfigured, match="field amount of index") as caught:
        store.ensure(other)
    assert "delete index" in str(caught.value.hint)


def test_a_missing_index_is_a_misconfiguration(store: Store) -> None:
    absent = View(store="elasticsearch", name=f"absent-{uuid.uuid4().hex}", fields=VIEW_FIELDS)
    with pytest.raises(Misconfigured, match="index_not_found"):
        store.stamps(absent, ["k"])
    with pytest.raises(Misconfigured, match="index_not_found"):
        store.apply(absent, [Put("k", None, STAMP, body())])
    with pytest.raises(Misconfigured, match="index_not_found"):
        list(store.scan(absent))


def test_a_server_that_is_away_is_unavailable_and_names_the_command(settings: Settings, view: View) -> None:
    away = ElasticsearchStore(settings.search.model_copy(update={"url": "http://127.0.0.1:9"}))
    with pytest.raises(Unavailable, match="does not answer") as caught:
        away.stamps(view, ["k"])
    assert "aegis stack up elasticsearch" in str(caught.value.hint)
    with pytest.raises(Unavailable):
        away.ping()
    away.close()


def test_credentials_are_sent_when_they_are_set(settings: Settings) -> None:
    search = settings.search.model_copy(update={"user": "app", "password": SecretStr("s3cret")})
    store = ElasticsearchStore(search)
    store.ping()  # a server without security accepts them
    store.close()
