"""`aegis stack`: the local servers, without Docker or in it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from processor.output import err, out, print_json

app = typer.Typer(help="Local servers: start, inspect, stop.", no_args_is_help=True, rich_markup_mode=None)

Services = Annotated[list[str] | None, typer.Argument(metavar="[SERVICE]...", help="All when none is named.")]
Docker = Annotated[bool, typer.Option("--docker", help="The servers of compose.yaml in Docker.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command("up")
def up(services: Services = None, in_docker: Docker = False) -> None:
    """Download what is missing, start, and wait until each server answers.

    Servers that a named one needs are started, too. What runs already is left alone.

    Example: aegis stack up postgres connect
    """
    from ops.stack import docker, supervisor
    from ops.stack.layout import load_layout

    if in_docker:
        docker.up(docker.docker_layout(load_layout()), services or ())
    else:
        supervisor.up(load_layout(), services or ())


@app.command("down")
def down(services: Services = None, in_docker: Docker = False) -> None:
    """End the servers (and those that need them); their data stays.

    Example: aegis stack down
    """
    from ops.stack import docker, supervisor
    from ops.stack.layout import load_layout

    if in_docker:
        docker.down(docker.docker_layout(load_layout()), services or ())
    elif not supervisor.down(load_layout(), services or ()):
        err.print("nothing was running")


@app.command("status")
def status(as_json: Json = False, in_docker: Docker = False) -> None:
    """Show state, pid, port, memory and health of every server.

    Exit code 1 when a server that was started crashed or does not answer.

    Example: aegis stack status --json
    """
    from rich.table import Table

    from ops.stack import docker
    from ops.stack import status as stack_status
    from ops.stack.layout import load_layout

    layout = load_layout()
    rows = docker.status(docker.docker_layout(layout)) if in_docker else stack_status.status(layout)
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        table = Table("service", "state", "pid", "port", "memory MB", "health", box=None, pad_edge=False)
        for row in rows:
            cells = (row.service, row.state, row.pid, row.port, row.memory_mb, row.health)
            table.add_row(*("" if cell is None else str(cell) for cell in cells))
        out.print(table)
    if any(row.state in ("crashed", "unhealthy") for row in rows):
        raise typer.Exit(1)


@app.command("logs")
def logs(
    service: Annotated[str, typer.Argument(help="A server, or install-NAME for the log of a download.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 50,
    in_docker: Docker = False,
) -> None:
    """Show the last lines that a server wrote.

    Example: aegis stack logs kafka -f
    """
    from ops.stack import docker
    from ops.stack.layout import load_layout
    from ops.stack.logs import show

    if in_docker:
        docker.logs(docker.docker_layout(load_layout()), service, lines=lines, follow=follow)
    else:
        show(load_layout(), service, lines=lines, follow=follow)


@app.command("reset")
def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False, in_docker: Docker = False
) -> None:
    """End the servers and delete their data, logs and passwords. Downloads and images stay.

    Example: aegis stack reset --yes
    """
    from ops.stack import docker, supervisor
    from ops.stack.layout import load_layout

    layout = load_layout()
    where = "the volumes of this checkout's containers" if in_docker else str(layout.state_dir)
    if not yes:
        typer.confirm(f"Delete all data in {where}?", abort=True, err=True)
    if in_docker:
        docker.reset(docker.docker_layout(layout))
    else:
        supervisor.reset(layout)
    err.print(f"deleted {where}", highlight=False)


@app.command("env")
def env(as_json: Json = False, in_docker: Docker = False) -> None:
    """Print shell exports of every endpoint of this stack, passwords included.

    Example: eval "$(aegis stack env)" && psql "$POSTGRES_DSN"
    """
    from ops.stack import docker
    from ops.stack.environment import known_endpoints, shell_exports
    from ops.stack.layout import load_layout

    layout = load_layout()
    known = docker.known_variables if in_docker else known_endpoints
    variables = known(docker.docker_layout(layout) if in_docker else layout)
    if as_json:
        print_json(variables)
    else:
        sys.stdout.write(shell_exports(variables))
