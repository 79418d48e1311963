"""`aegis reembed`: move the vectors to another model beside the old ones, then let readers see those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ops.output import err, out
from processor.errors import ConfigurationError
from processor.settings import Settings, load_settings

if TYPE_CHECKING:
    from processor.embed import Embedder
    from processor.reembed import Rebuild
    from processor.stores.milvus import MilvusStore
    from processor.tables.base import Projection, View

MAX_PASSES: Final = 5
"""Passes while the processor may still write; what a pass leaves is what changed during it."""
FEW: Final = 50


def reembed(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the old model's collection.")] = False,
) -> None:
    """Rebuild all vectors with the model that is configured now (EMBEDDING_*), then switch readers to them.

    The processor may go on with the old model while the new collection is filled; only for the switch it
    must be stopped. Run it again after an interruption, or after stopping the processor: what is done is
    not done again. Exit 0 when readers see the new vectors, 1 when the switch still waits for the processor.

    Example: EMBEDDING_ENGINE=multilingual aegis reembed
    """
    from processor.build import make_embedder
    from processor.tables import PROJECTIONS

    settings = load_settings()
    todo = [(projection, view) for projection in PROJECTIONS for view in projection.views if view.text]
    new = _store(settings, settings.embedding.model_id, settings.embedding.vector_dim)
    todo = [(projection, view) for projection, view in todo if _differs(new, view)]
    if not todo:
        out.print(f"readers see vectors of {settings.embedding.model_id} already: nothing to do")
        return
    embedder = make_embedder(settings)
    assert embedder is not None
    switched = [_rebuild(settings, projection, view, new, embedder, keep) for projection, view in todo]
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
    settings: Settings, projection: Projection, view: View, new: MilvusStore, embedder: Embedder, keep: bool
) -> bool:
    """Copy, and switch if nobody writes; whether it was switched."""
    from ops.database import engine_of
    from processor.reembed import Rebuild

    model, dim = new.shown(view) or (new.model, new.dim)
    old = _store(settings, model, dim)
    out.print(f"{view.name}: {model} ({dim}) -> {new.model} ({new.dim})", highlight=False)
    new.build(view)
    with engine_of(settings.postgres.processor_url()) as engine:
        rebuild = Rebuild(engine, projection, view, old, new, embedder)
        for _ in range(MAX_PASSES):
            if _copy(rebuild) <= FEW:
                break
        done = _switch(settings, rebuild, new, keep)
    old.close()
    return done


def _copy(rebuild: Rebuild) -> int:
    """One pass; how many records it touched."""
    columns = (TextColumn("  records"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("", total=rebuild.old.count(rebuild.view))
        done = rebuild.copy(lambda count: bar.update(task, completed=count))
    out.print(
        f"  {done.written:,} records written, {done.removed:,} removed, {done.left:,} whose text is changing",
        highlight=False,
    )
    return done.written + done.removed


def _switch(settings: Settings, rebuild: Rebuild, new: MilvusStore, keep: bool) -> bool:
    """The last pass and the switch, unless a processor runs; whether it was switched."""
    from processor.offsets import group_members

    group, view = settings.kafka.group_id, rebuild.view
    members = group_members(settings.kafka)
    if members:
        err.print(
            f"{members} process(es) of group {group} still write vectors of the old model.\n"
            "next: stop them, run `aegis reembed` again, then start them with the new setting",
            highlight=False,
        )
        return False
    _copy(rebuild)
    new.switch(view)
    _copy(rebuild)  # what a processor wrote that somebody started since we looked
    dropped = [] if keep else new.drop_others(view)
    out.print(f"  readers of {view.name} see vectors of {new.model} now", highlight=False)
    if dropped:
        out.print(f"  dropped {', '.join(dropped)}", highlight=False)
    out.print("next: start the processor with the new setting", highlight=False)
    return True
