"""Raw contents of everything that is not a row of `users`: what somebody could find there."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import neo4j
import redis
import sqlalchemy as sa
from confluent_kafka import Consumer, KafkaError, TopicPartition

from processor.settings import Settings
from processor.stores.milvus_client import connect
from tests.integration.path import unique

Found = tuple[str, bytes]
"""Where, and what is there."""
Offsets = Mapping[tuple[str, int], int]
PAGE = 1000


def spellings(value: str) -> set[bytes]:
    """How a text may be written: UTF-8, UTF-16, escaped in JSON or in an address."""
    return {
        value.encode(),
        value.encode("utf-16-le"),
        value.encode("utf-16-be"),
        json.dumps(value)[1:-1].encode(),
        quote(value).encode(),
    }


def places_of(value: str, dump: Iterator[Found] | list[Found]) -> list[str]:
    """Where it occurs, in any spelling."""
    wanted = spellings(value)
    return [place for place, raw in dump if any(each in raw for each in wanted)]


def kafka_ends(settings: Settings) -> dict[tuple[str, int], int]:
    """The next offset of every partition of every topic, internal ones included."""
    consumer = _consumer(settings)
    topics = consumer.list_topics(timeout=10).topics
    places = [(name, number) for name, topic in topics.items() for number in topic.partitions]
    found = {place: consumer.get_watermark_offsets(TopicPartition(*place), timeout=10)[1] for place in places}
    consumer.close()
    return found


def kafka(settings: Settings, begin: Offsets) -> list[Found]:
    """Key, value and headers of every record since `begin`."""
    consumer = _consumer(settings)
    open_ends = set(kafka_ends(settings))
    consumer.assign([TopicPartition(*place, begin.get(place, 0)) for place in open_ends])
    found: list[Found] = []
    while open_ends:
        message = consumer.poll(30)
        assert message is not None, open_ends
        place = (str(message.topic()), int(message.partition() or 0))
        if error := message.error():
            assert error.code() == KafkaError._PARTITION_EOF, error
            open_ends.discard(place)
            continue
        headers = [part for header in message.headers() or () for part in header]
        parts = (message.key(), message.value(), *headers)
        raw = b"\n".join(part if isinstance(part, bytes) else str(part).encode() for part in parts)
        found.append((f"kafka {place[0]}[{place[1]}]@{message.offset()}", raw))
    consumer.close()
    return found


def _consumer(settings: Settings) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "group.id": unique("look"),
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 10,
        }
    )


def stores(settings: Settings) -> Iterator[Found]:
    """Everything in the four stores, in their own words."""
    yield from _neo4j(settings)
    yield from _elasticsearch(settings)
    yield from _redis(settings)
    yield from _milvus(settings)


def _neo4j(settings: Settings) -> Iterator[Found]:
    at = settings.neo4j
    with neo4j.GraphDatabase.driver(at.uri, auth=(at.user, at.password.get_secret_value())) as driver:
        for query in (
            "MATCH (n) RETURN labels(n) AS kind, properties(n) AS properties",
            "MATCH ()-[r]->() RETURN type(r) AS kind, properties(r) AS properties",
        ):
            with driver.session(database=at.database) as session:
                for record in session.run(query):
                    yield f"neo4j {record['kind']}", _text(record["properties"])


def _elasticsearch(settings: Settings) -> Iterator[Found]:
    with httpx.Client(base_url=settings.search.url, timeout=30) as client:
        yield "elasticsearch mappings", client.get("/_all").raise_for_status().content
        query = {"size": PAGE, "sort": ["_doc"]}
        page = client.post("/_all/_search", params={"scroll": "1m"}, json=query).raise_for_status().json()
        while page["hits"]["hits"]:
            for hit in page["hits"]["hits"]:
                yield f"elasticsearch {hit['_index']}", _text(hit)
            scroll = {"scroll": "1m", "scroll_id": page["_scroll_id"]}
            page = client.post("/_search/scroll", json=scroll).raise_for_status().json()


def _redis(settings: Settings) -> Iterator[Found]:
    with redis.Redis.from_url(settings.redis.url) as client:
        for key in client.scan_iter(count=PAGE):
            value = client.hgetall(key) if client.type(key) == b"hash" else client.get(key)
            raw = b"\n".join(b"\n".join(pair) for pair in value.items()) if isinstance(value, dict) else value
            yield f"redis {key!r}", key + b"\n" + (raw or b"")


def _milvus(settings: Settings) -> Iterator[Found]:
    client = connect(settings.milvus)
    for name in client.list_collections():
        described = client.describe_collection(name)
        fields = [field["name"] for field in described["fields"] if "dim" not in field.get("params", {})]
        yield f"milvus {name}", _text(described)
        client.load_collection(name)
        rows = client.query_iterator(name, batch_size=PAGE, output_fields=fields)
        while page := rows.next():
            yield from ((f"milvus {name}", _text(row)) for row in page)
        rows.close()
    client.close()


def other_tables(engine: sa.Engine) -> Iterator[Found]:
    """Every row of every other table of the database: the audit log, runs of the reconciler, letters ..."""
    tables = sa.text(
        "SELECT schemaname, tablename FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND tablename <> 'users' ORDER BY 1, 2"
    )
    with engine.connect() as connection:
        names = [".".join(row) for row in connection.execute(tables)]
        for name in names:
            for row in connection.execute(sa.text(f"SELECT to_jsonb(t)::text FROM {name} t")).scalars():
                yield f"postgresql {name}", row.encode()


def files(folder: Path, *but: str) -> Iterator[Found]:
    """Every file under the folder, but for those under the named parts of it."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not any(inside.is_relative_to(part) for part in but):
            raw = path.read_bytes()
            yield f"file {inside}", gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


def _text(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=str).encode()
