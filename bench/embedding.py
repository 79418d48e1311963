"""How fast texts that changed reach the stores, beside the bare engine on the same texts.

Each round changes the title and content of every row to a text of its own. The processor brings them into all
four stores; the bare engine embeds the same texts in its own token-sorted batches, and does nothing else;
sentence-transformers' own `encode`, as it comes, embeds them too where it is installed.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import sqlalchemy as sa
import typer
from rich.table import Table

from bench.catch_up import (
    STORES,
    Contestant,
    ends,
    make_processor,
    policy,
    remove_groups,
    remove_rows,
)
from bench.views import drop, own_views
from processor.embedding import load_encoder
from processor.embedding.weights import weights_folder
from processor.output import err, out
from processor.settings import EmbeddingSettings, Settings, load_settings
from processor.source import read_all
from processor.tables.base import Projection
from sql.capture import SLOT
from sql.models import Policy
from sql.positions import mark, wait_streamed
from tests.embedding.texts import mixed_texts

TABLE: sa.Table = Policy.__table__  # type: ignore[assignment]
Encode = Callable[[Sequence[str]], Any]


def main(
    rows: Annotated[int, typer.Option(help="Rows whose text changes in every round.")] = 300,
    rounds: Annotated[int, typer.Option(help="Rounds that are measured.")] = 3,
) -> None:
    """Measure catching up with changed texts."""
    settings = load_settings()
    run = uuid.uuid4().hex[:8]
    engine = sa.create_engine(settings.postgres.url(), poolclass=sa.NullPool)
    begin, projection = ends(settings), own_views(run, *STORES)
    encoders: dict[str, Encode] = {"bare engine": load_encoder(settings.embedding).encode}
    try:
        encoders["sentence-transformers' encode"] = _stock(settings.embedding)
    except ImportError as error:
        err.print(f"sentence-transformers' encode is not measured: {error}. To have it: make torch")
    us = Contestant("processor, four stores", projection)
    others = {name: Contestant(name, projection) for name in encoders}
    _change(engine, run, rows, 0)
    processor = make_processor(settings, projection, begin, f"bench-{run}")
    try:
        processor.run(until_caught_up=True)
        for number in range(1, rounds + 1):
            _change(engine, run, rows, number)
            with us.measured(rows):
                processor.run(until_caught_up=True)
            texts = _texts(engine, projection, run)
            for name, encode in encoders.items():
                with others[name].measured(rows):
                    encode(texts)
            err.print(
                f"round {number} of {rounds}: {us.speed(others['bare engine']):.2f} of the bare engine's"
            )
        _print(settings, [us, *others.values()], others["bare engine"])
    finally:
        processor.close()
        remove_rows(engine, run)
        drop(settings, projection)
        remove_groups(settings, [f"bench-{run}"])


def _stock(settings: EmbeddingSettings) -> Encode:
    """As it comes: batches of 32, sorted by characters."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(weights_folder(settings)))
    model.max_seq_length = settings.max_tokens
    return lambda texts: model.encode(list(texts), show_progress_bar=False)


def _change(engine: sa.Engine, run: str, rows: int, number: int) -> None:
    """Insert the rows (round 0) or give each another text, and wait until Kafka has that."""
    contents = mixed_texts(rows, seed=number)
    random.Random(number).shuffle(contents)  # noqa: S311
    with engine.begin() as connection:
        if number == 0:
            connection.execute(sa.insert(Policy), [policy(run, n) for n in range(rows)])
        else:
            change = (
                sa.update(TABLE)
                .where(TABLE.c.policy_id == sa.bindparam("key"))
                .values(title=sa.bindparam("new_title"), content=sa.bindparam("new_content"))
            )
            values = [
                {"key": f"{run}-{n}", "new_title": f"공고 {number}-{n}", "new_content": contents[n]}
                for n in range(rows)
            ]
            connection.execute(change, values)
    wait_streamed(engine, SLOT, mark(engine), timeout_seconds=120)


def _texts(engine: sa.Engine, projection: Projection, run: str) -> list[str]:
    view = projection.view("milvus")
    with engine.connect() as connection:
        rows = read_all(connection, projection)
    return [projection.text(view, row) or "" for key, row in rows.items() if key.startswith(run)]


def _print(settings: Settings, sides: list[Contestant], bare: Contestant) -> None:
    table = Table(title=f"EMBEDDING_ENGINE={settings.embedding.engine}", box=None, pad_edge=False)
    for heading in ("", "texts/s", "of the bare engine's"):
        table.add_column(heading, justify="right" if heading else "left")
    for side in sides:
        table.add_row(side.name, f"{len(side.seconds) / sum(side.seconds):.1f}", f"{side.speed(bare):.2f}")
    out.print(table)
    out.print("ratios: the median of the rounds' own")


if __name__ == "__main__":
    typer.run(main)
