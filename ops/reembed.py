"""`aegis reembed`: move the vectors to another model beside the old ones, then let readers see those."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from processor.errors import ConfigurationError
from processor.output import err, out
from processor.settings import Settings, load_settings

if TYPE_CHECKING:
    from processor.embed import Embedder
    from processor.reembed import Copied, Rebuild
    from processor.stores.milvus import MilvusStore
    from processor.tables.base import Projection, View

MAX_PASSES: Final = 5
"""Passes while the processor may still write; what a pass leaves is what changed during it."""
FEW: Final = 50


def reembed(
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Switch though records with a change on its way are missing.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the old model's collection.")] = False,
) -> None:
    """Rebuild all vectors with the model that is configured now (EMBEDDING_*), then switch readers to them.

    The processor may go on with the old model while the new collection is filled; only for the switch it
    must be stopped. Run it again after an interruption, or after stopping the processor: what is done is
    not done again. Exit 0 when readers see the new vectors, 1 when the switch has to wait.

    Example: EMBEDDING_ENGINE=multilingual aegis reembed
    """
    from processor.build import make_embedder
    from processor.tables import PROJECTIONS

    settings = load_settings()
    new = _store(settings, settings.embedding.model_id, settings.embedding.vector_dim)
    todo = [
        (table, view) for table in PROJECTIONS for view in table.views if view.text and _differs(new, view)
    ]
    if not todo:
        out.print(f"readers see vectors of {settings.embedding.model_id} already: nothing to do")
        return
    embedder = make_embedder(settings)
    assert embedder is not None
    switched = [
        _rebuild(settings, projection, view, new, embedder, leave_out, keep) for projection, view in todo
    ]
    new.close()
    embedder.close()
    if not all(switched):
        raise typer.Exit(code=1)


def _store(settings: Settings, model: str, dim: int) -> MilvusStore:
    from processor.stores.milvus import MilvusStore

    return MilvusStore(settings.milvus, model, dim)


def _differs(new: MilvusStore, view: View) -> bool:
    """Whether readers see vectors of another model.

    Raises:
        ConfigurationError: there are none at all: the processor makes them.
    """
    shown = new.shown(view)
    if shown is None:
        raise ConfigurationError(f"{view.name} does not exist yet", hint="aegis process makes and fills it")
    return shown != (new.model, new.dim)


def _rebuild(
    settings: Settings,
    projection: Projection,
    view: View,
    new: MilvusStore,
    embedder: Embedder,
    leave_out: bool,
    keep: bool,
) -> bool:
    """Copy, and switch if nobody writes; whether it was switched."""
    from processor.database import engine_of
    from processor.reembed import Rebuild

    model, dim = new.shown(view) or (new.model, new.dim)
    old = _store(settings, model, dim)
    out.print(f"{view.name}: {model} ({dim}) -> {new.model} ({new.dim})", highlight=False)
    new.build(view)
    with engine_of(settings.postgres.processor_url()) as engine, closing(old):
        rebuild = Rebuild(engine, projection, view, old, new, embedder)
        for _ in range(MAX_PASSES):
            done = _copy(rebuild)
            if done.written + done.removed <= FEW:
                break
        return _switch(settings, rebuild, new, leave_out, keep)


def _copy(rebuild: Rebuild) -> Copied:
    """One pass, with its progress."""
    columns = (TextColumn("  records"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("", total=rebuild.old.count(rebuild.view))
        done = rebuild.copy(lambda count: bar.update(task, completed=count))
    out.print(
        f"  {done.written:,} records written, {done.removed:,} removed, {done.left:,} whose text is changing",
        highlight=False,
    )
    return done


def _switch(settings: Settings, rebuild: Rebuild, new: MilvusStore, leave_out: bool, keep: bool) -> bool:
    """The last pass and the switch, unless a processor runs or records would be missing; whether done."""
    if _running(settings):
        return False
    left = _copy(rebuild).left
    if left and not leave_out:
        err.print(
            f"{left:,} records show another text than their row, and readers would miss them: a change is on "
            "its way, or a store has refused it.\n"
            "next: `aegis process --until-caught-up` with the old setting, `aegis dlq replay` where "
            "`aegis dlq list` shows letters, then `aegis reembed` again; or --leave-out",
            highlight=False,
        )
        return False
    if _running(settings):  # somebody started one meanwhile
        return False
    new.switch(rebuild.view)
    out.print(f"  readers of {rebuild.view.name} see vectors of {new.model} now", highlight=False)
    if not keep:
        _drop_others(rebuild.view, new)
    out.print("next: start the processor with the new setting", highlight=False)
    return True


def _running(settings: Settings) -> bool:
    """Whether processes are in the group; tells it."""
    from processor.offsets import group_members

    members = group_members(settings.kafka)
    if members:
        err.print(
            f"{members} process(es) of {settings.kafka.group_id} still write vectors of the old model.\n"
            "next: stop them, run `aegis reembed` again, then start them with the new setting",
            highlight=False,
        )
    return members > 0


def _drop_others(view: View, new: MilvusStore) -> None:
    for name in new.drop_others(view):
        out.print(f"  dropped {name}", highlight=False)
