"""The life of a collection: made for one view and one model, shown to readers by an alias, dropped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from processor.errors import Misconfigured
from processor.stores.milvus_client import NAME, Connection, Doubt, library
from processor.stores.milvus_schema import KEY, VECTOR, collection_name, columns_of, is_collection_of
from processor.stores.milvus_values import MAX_ITEMS
from processor.tables.base import View

MODEL: Final = "aegis.model"
"""Property of a collection: identity of the weights that made its vectors."""
METRIC: Final = "IP"
"""Vectors have unit length, so the inner product is the cosine. COSINE would let a server keep vectors that
it has normalised again, whose last bits differ from ours."""
INDEX: Final = "AUTOINDEX"
"""The server's choice: exact in small segments (1,024 rows), a graph (HNSW) in larger ones."""
T = TypeVar("T")


class Collections:
    """The collections of one model."""

    def __init__(self, connection: Connection, model: str, dim: int) -> None:
        self._connection = connection
        self._model = model
        self._dim = dim

    def name(self, view: View) -> str:
        """Name of the view's collection for this model."""
        return collection_name(view, self._model, self._dim)

    def shown(self, view: View) -> tuple[str, int] | None:
        """Model and dimension of the vectors that readers see; None for none at all."""
        visible = self._visible(view)
        return None if visible is None else _origin(visible)

    def ensure(self, view: View) -> None:
        """Create collection, index and alias where they are missing.

        Raises:
            Misconfigured: readers see a collection of another model; the alias' name is a collection's; there
                is no such database.
        """
        self._check_database()
        shown = self._visible(view)
        self._refuse_other(view, shown)
        self.build(view)
        if shown is None and not self._created_alias(view):
            # another process was faster, or the alias has outlived its collection: a server keeps it
            shown = self._visible(view)
            self._refuse_other(view, shown)
            if shown is None:
                self._alter_alias(view)

    def build(self, view: View) -> str:
        """Create, index and load the collection, each where it was not done; its name."""
        name = self.name(view)
        self._make(
            lambda client: client.has_collection(name, timeout=self._seconds),
            lambda client: self._create(client, view, name),
        )
        self._check(view, name)
        self._make(
            lambda client: client.list_indexes(name, timeout=self._seconds),
            lambda client: self._index(client, name),
        )
        self._call(lambda client: client.load_collection(name, timeout=self._seconds))
        # teaches the client the columns: an upsert within the lease must not begin with asking for them
        self._call(lambda client: client.get(name, ids=[""], timeout=self._seconds))
        return name

    def switch(self, view: View) -> None:
        """Move the alias in one step.

        Raises:
            Misconfigured: the collection was not built.
        """
        if not self._call(lambda client: client.has_collection(self.name(view), timeout=self._seconds)):
            raise Misconfigured(NAME, f"collection {self.name(view)} is missing", hint="aegis reembed")
        if not self._created_alias(view):
            self._alter_alias(view)

    def drop_others(self, view: View) -> list[str]:
        """Drop the collections of other models; their names.

        Raises:
            Misconfigured: readers see another one than this model's.
        """
        shown = self._visible(view)
        if shown is None or shown["collection_name"] != self.name(view):
            raise Misconfigured(NAME, f"{view.name} does not show {self.name(view)}", hint="aegis reembed")
        names = self._call(lambda client: client.list_collections(timeout=self._seconds))
        others = [name for name in names if is_collection_of(view, name) and name != self.name(view)]
        for name in others:
            self._call(partial(_drop, name=name, seconds=self._seconds))
        return others

    def _make(self, there: Callable[[Any], Any], make: Callable[[Any], object]) -> None:
        """Make something unless it is there; another process may be faster."""
        if self._call(there):
            return
        try:
            self._connection.ask(make)
        except Doubt as doubt:
            if not self._call(there):
                raise doubt.error() from doubt

    def _create(self, client: Any, view: View, name: str) -> None:
        client.create_collection(
            name,
            schema=_schema(view, self._dim),
            properties={MODEL: self._model},
            consistency_level="Strong",
            timeout=self._seconds,
        )

    def _index(self, client: Any, name: str) -> None:
        index = client.prepare_index_params()
        index.add_index(VECTOR, index_type=INDEX, metric_type=METRIC)
        client.create_index(name, index, timeout=self._seconds)

    def _check_database(self) -> None:
        """Asked for something in a database that does not exist, servers answer anything."""
        database = self._connection.database
        if database and database not in self._call(
            lambda client: client.list_databases(timeout=self._seconds)
        ):
            raise Misconfigured(
                NAME, f"there is no database {database}", hint="create it, or check MILVUS_DATABASE"
            )

    def _check(self, view: View, name: str) -> None:
        """The collection is of this model, and has the view's columns as of today."""
        found = self._describe(name)
        have = {field["name"]: field["type"].name for field in found["fields"]}
        wanted = {column: kind.kind for column, kind in columns_of(view, self._dim).items()}
        problems = [
            f"{column} is {have.get(column, 'missing')}"
            for column in wanted
            if have.get(column) != wanted[column]
        ]
        problems += [f"{column} is not the view's" for column in have if column not in wanted]
        if _origin(found) != (self._model, self._dim):
            problems.append("its vectors are of model {} ({})".format(*_origin(found)))
        if problems:
            raise Misconfigured(
                NAME,
                f"collection {name} is not as Aegis makes it: {'; '.join(problems)}",
                hint=f"drop collection {name}, restart the processor, "
                "aegis refresh TABLE --where true --stores milvus",
            )

    def _refuse_other(self, view: View, shown: Mapping[str, Any] | None) -> None:
        """Readers see something else than this model's collection."""
        if shown is None or shown["collection_name"] == self.name(view):
            return
        if shown["collection_name"] == view.name:
            raise Misconfigured(
                NAME,
                f"{view.name} is a collection, where readers need an alias of that name",
                hint=f"rename or drop collection {view.name}",
            )
        raise Misconfigured(
            NAME,
            "{} holds vectors of model {} ({})".format(view.name, *_origin(shown))
            + f", configured is {self._model} ({self._dim})",
            hint="aegis reembed",
        )

    def _visible(self, view: View) -> dict[str, Any] | None:
        """The collection that readers see, by alias."""
        if not self._call(lambda client: client.has_collection(view.name, timeout=self._seconds)):
            return None
        return self._describe(view.name)

    def _describe(self, name: str) -> dict[str, Any]:
        return dict(self._call(lambda client: client.describe_collection(name, timeout=self._seconds)))

    def _created_alias(self, view: View) -> bool:
        """Whether there was none of that name."""
        name = self.name(view)
        try:
            self._connection.ask(lambda client: client.create_alias(name, view.name, timeout=self._seconds))
        except Doubt:
            return False
        return True

    def _alter_alias(self, view: View) -> None:
        name = self.name(view)
        self._call(lambda client: client.alter_alias(name, view.name, timeout=self._seconds))

    def _call(self, request: Callable[[Any], T]) -> T:
        return self._connection.call(request)

    @property
    def _seconds(self) -> float:
        return self._connection.seconds


def _schema(view: View, dim: int) -> Any:
    """The columns as pymilvus wants them."""
    pymilvus = library()
    schema = pymilvus.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    for name, column in columns_of(view, dim).items():
        options: dict[str, Any] = {
            "VARCHAR": {"max_length": column.size},
            "ARRAY": {
                "element_type": pymilvus.DataType.VARCHAR,
                "max_length": column.size,
                "max_capacity": MAX_ITEMS,
            },
            "FLOAT_VECTOR": {"dim": column.size},
        }.get(column.kind, {})
        schema.add_field(name, pymilvus.DataType[column.kind], is_primary=name == KEY, **options)
    return schema


def _drop(client: Any, name: str, seconds: float) -> None:
    client.drop_collection(name, timeout=seconds)


def _origin(collection: Mapping[str, Any]) -> tuple[str, int]:
    """Model and dimension of a collection's vectors; empty and 0 for one that is not ours."""
    dims = [field["params"].get("dim", 0) for field in collection["fields"] if field["name"] == VECTOR]
    return collection["properties"].get(MODEL, ""), int(dims[0]) if dims else 0
