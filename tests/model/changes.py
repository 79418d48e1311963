"""What the model's transactions do: which changes are possible, and making one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from tests.model.postgres import Database, Row, State, Transaction
from tests.model.tables import ITEM_KEYS

Move = tuple[Any, ...]
"""A kind, and its arguments."""

ITEM_VALUES: Final = (
    {"name": "a", "size": 1, "shown": True},
    {"name": "b", "size": 1, "shown": True},
    {"name": "a", "size": 2, "shown": True},
    {"name": "a", "size": 1, "shown": False},
)
TAG_VALUES: Final = tuple(
    {"item_id": item, "label": label}
    for item, label in ((ITEM_KEYS[0], "x"), (ITEM_KEYS[0], "y"), (ITEM_KEYS[1], "x"))
)


def item(key: str, value: int) -> Row:
    """The row of an item, by the number of its value."""
    return {"item_id": key, **ITEM_VALUES[value]}


def writes(
    database: Database, items: Sequence[str], tags: Sequence[str], values: int, transactions: int
) -> list[Move]:
    """In a transaction that is running, or (None) in a new one, if there are fewer than `transactions`."""
    choices: list[Transaction | None] = [t for t in database.transactions if t.state is State.RUNNING]
    if len(database.transactions) < transactions:
        choices.append(None)
    moves: list[Move] = []
    for transaction in choices:
        number = None if transaction is None else transaction.xid
        writer = transaction or Transaction(0)
        moves += [("write", number, *move) for move in _of_items(database, writer, items, values)]
        moves += [("write", number, *move) for move in _of_tags(database, writer, tags)]
    return moves


def _of_items(database: Database, writer: Transaction, keys: Sequence[str], values: int) -> Iterator[Move]:
    for key in keys:
        yield from _of_any(database, writer, "items", key, values)
        there = database.newest("items", key)
        if there is None or not database.may_lock(writer, "items", key, alone=False):
            continue
        yield from (("toast", key, n) for n in range(values) if ITEM_VALUES[n]["name"] == there["name"])
        yield ("share", key)
        for other in keys:
            free = all(database.may_lock(writer, "items", one, alone=True) for one in (key, other))
            if free and database.newest("items", other) is None:
                yield ("move", key, other)
    if database.may_truncate(writer, "items"):
        yield ("truncate", "items")


def _of_tags(database: Database, writer: Transaction, keys: Sequence[str]) -> Iterator[Move]:
    for key in keys:
        yield from _of_any(database, writer, "tags", key, len(TAG_VALUES))
    if keys and database.may_truncate(writer, "tags"):
        yield ("truncate", "tags")


def _of_any(database: Database, writer: Transaction, table: str, key: str, values: int) -> Iterator[Move]:
    """Usual changes several times: they are to happen more often."""
    if database.may_lock(writer, table, key, alone=False):
        yield from [("put", table, key, number) for number in range(values)] * 3
    if database.newest(table, key) is not None and database.may_lock(writer, table, key, alone=True):
        yield from [("delete", table, key)] * 2


def write(database: Database, transaction: Transaction, kind: str, *arguments: Any) -> None:
    """Make one of those changes."""
    if kind == "put":
        table, key, value = arguments
        row = item(key, value) if table == "items" else {"tag_id": key, **TAG_VALUES[value]}
        database.write(transaction, table, key, row, toast=False)
    elif kind == "toast":
        key, value = arguments
        database.write(transaction, "items", key, item(key, value), toast=True)
    elif kind == "delete":
        table, key = arguments
        database.write(transaction, table, key, None, toast=False)
    elif kind == "move":
        key, other = arguments
        there = database.newest("items", key)
        assert there is not None
        database.move(transaction, "items", key, other, {**there, "item_id": other})
    elif kind == "share":
        database.share(transaction, "items", *arguments)
    else:
        database.truncate(transaction, *arguments)
