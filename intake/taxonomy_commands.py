"""`aegis taxonomy`: the tree that documents are filed in."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text
from rich.tree import Tree

from intake.results import tell_lines, with_bar
from processor.commands import stop_on_signals
from processor.database import connect, engine_of
from processor.output import out, print_json
from processor.settings import PostgresSettings, read_block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from intake.tree import Shown

app = typer.Typer(help="The tree that documents are filed in.", no_args_is_help=True)


@app.callback()
def taxonomy() -> None:
    """The tree that documents are filed in."""


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Nodes, one a line (JSON).")],
    version: Annotated[str, typer.Option("--version", help="Of the tree: 1 to 20 characters.")] = "1.0.0",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    r"""Add the nodes of a file to a version of the tree; what is there stays as it is.

    A line is {"path": ["정책", "창업"], "confidence": 0.9}. All of it comes in one transaction; bad lines are
    recorded in intake_letters and end the command with code 3, the others are kept.

    Example: aegis taxonomy import nodes.jsonl --version 1.1.0 --dry-run
    """
    from intake.tree import TreeImport

    if not 1 <= len(version) <= 20 or version != version.strip():
        raise typer.BadParameter(
            "a version has 1 to 20 characters, none of them blank at its ends", param_hint="--version"
        )
    stop = Event()
    stop_on_signals(lambda _: stop.set())
    with engine_of(read_block(PostgresSettings).url()) as engine:
        work = TreeImport(engine, version, file, stop, dry_run=dry_run)
        outcome = with_bar("importing nodes", work.run)
    what = f"taxonomy {version}, {outcome.ancestors:,} nodes added above them"
    tell_lines(outcome, what, as_json=as_json, would=dry_run)


@app.command()
def show(
    path: Annotated[
        str | None, typer.Argument(help=r"As 정책/창업; a slash in a label is \/, a backslash \\.")
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", help="Of the tree; each node's newest when not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the tree, or what stands at a path and below it. An unknown path: the closest ones, and code 1.

    Example: aegis taxonomy show 정책/창업 --version 1.0.0
    """
    from intake.paths import parse_path
    from intake.taxonomy import Taxonomy
    from intake.tree import subtree

    at = () if path is None else parse_path(path)
    with connect(read_block(PostgresSettings).url()) as connection:
        if at:
            Taxonomy().find(connection, [at], version)
        nodes = subtree(connection, at, version)
    if as_json:
        print_json([asdict(node) for node in nodes])
    elif nodes:
        out.print(_tree(nodes), highlight=False)
    else:
        out.print("the taxonomy has no nodes; next: aegis taxonomy import FILE", highlight=False)


def _tree(nodes: Sequence[Shown]) -> Tree:
    root = Tree(Text("taxonomy"))
    branches: dict[tuple[str, ...], Tree] = {(): root}
    for node in nodes:
        for depth in range(1, len(node.path) + 1):
            here = node.path[:depth]
            if here not in branches:
                label = _label(node) if depth == len(node.path) else Text(here[-1], style="dim")
                branches[here] = branches[here[:-1]].add(label)
    return root


def _label(node: Shown) -> Text:
    others = f", also {', '.join(node.other_versions)}" if node.other_versions else ""
    return Text.assemble(node.path[-1], (f"  {node.version}{others}, {node.confidence:g}", "dim"))
