"""The `aegis` command: mounts the commands of all rooms."""

from __future__ import annotations

import sys

import typer

from intake.commands import app as intake_app
from intake.taxonomy_commands import app as taxonomy_app
from ops.connector.commands import app as connector_app
from ops.database import migrate, seed
from ops.demo import demo
from ops.dlq.commands import app as dlq_app
from ops.keys.commands import app as keys_app
from ops.notify import notify
from ops.reembed import reembed
from ops.refresh import refresh
from ops.stack.commands import app as stack_app
from ops.status import status
from ops.trace import trace
from processor.commands import process
from processor.errors import AegisError
from processor.output import report
from reconciler.commands import app as reconcile_app

app = typer.Typer(
    name="aegis",
    help="Keeps Milvus, Neo4j, an Elasticsearch-API index and Redis in step with PostgreSQL.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(stack_app, name="stack")
app.command()(migrate)
app.command()(seed)
app.add_typer(connector_app, name="connector")
app.command()(process)
app.command()(reembed)
app.command()(refresh)
app.add_typer(dlq_app, name="dlq")
app.add_typer(reconcile_app, name="reconcile")
app.add_typer(intake_app, name="intake")
app.add_typer(taxonomy_app, name="taxonomy")
app.add_typer(keys_app, name="keys")
app.command()(trace)
app.command()(status)
app.command()(notify)
app.command()(demo)


def main() -> None:
    """Entry point: our own errors end as what, why and next command; anything else shows its trace."""
    try:
        app()
    except AegisError as error:
        sys.exit(report(error))
    except KeyboardInterrupt:
        sys.exit(130)
