"""`armt sessions`: what the server remembers, and forgetting it."""

from __future__ import annotations

import datetime as dt
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from armt_client import DEFAULT_SERVER
from armt_server.cli import common

if TYPE_CHECKING:
    from armt_client import Session

app = typer.Typer()


@app.callback(invoke_without_command=True)
def list_sessions(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Show the newest so many.")] = 50,
    as_json: common.AsJson = False,
    server: common.Server = DEFAULT_SERVER,
    api_key: common.ApiKey = None,
) -> None:
    """List sessions, newest first; with a command, show or delete one.

    Examples:

    \b
      armt sessions
      armt sessions show ses_...
      armt sessions delete ses_... ses_...
    """  # noqa: D301, D412  typer's \b keeps lines as they are
    if context.invoked_subcommand is not None:
        return
    with common.connect(server, api_key) as client:
        found = list(islice(client.sessions(), limit))
    if as_json:
        for session in found:
            common.print_json(session.raw)
    elif not found:
        common.note("no sessions yet; make one with: armt append FILE")
    else:
        common.print_table(_table(found))


@app.command()
def show(
    session_id: Annotated[str, typer.Argument(metavar="ID")],
    *,
    as_json: common.AsJson = False,
    server: common.Server = DEFAULT_SERVER,
    api_key: common.ApiKey = None,
) -> None:
    """Show one session: what it has read, and what its memory takes."""
    with common.connect(server, api_key) as client:
        session = client.get_session(session_id)
    if as_json:
        common.print_json(session.raw)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in _facts(session):
        table.add_row(name, value)
    common.print_table(table)


@app.command()
def delete(
    session_ids: Annotated[list[str], typer.Argument(metavar="ID...")],
    *,
    server: common.Server = DEFAULT_SERVER,
    api_key: common.ApiKey = None,
) -> None:
    """Forget sessions and all that they read. This cannot be undone."""
    with common.connect(server, api_key) as client:
        for session_id in session_ids:
            client.delete_session(session_id)
            common.note(f"deleted {session_id}")


def _table(sessions: list[Session]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("id", "created"):
        table.add_column(name, no_wrap=True)
    for name in ("bytes", "read", "tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("source")
    for session in sessions:
        context = session.context
        table.add_row(
            session.id,
            _when(session.created_at),
            f"{context.bytes:,}",
            f"{context.absorbed_bytes / context.bytes:.0%}" if context.bytes else "-",
            f"{context.tokens:,}",
            session.metadata.get("source", ""),
        )
    return table


def _facts(session: Session) -> list[tuple[str, str]]:
    context = session.context
    ttl = "" if session.ttl_seconds is None else f", after {session.ttl_seconds:,} s unused"
    return [
        ("id", session.id),
        ("model", session.model),
        ("created", _when(session.created_at)),
        ("expires", _when(session.expires_at) + ttl),
        ("bytes", f"{context.bytes:,}, of which {context.absorbed_bytes:,} are read"),
        ("tokens", f"{context.tokens:,} in {context.segments:,} full segments"),
        ("memory", f"{context.memory_bytes:,} bytes{', resident' if context.resident else ''}"),
        ("source kept", "yes" if session.keep_source else "no"),
        *((f"note {name}", value) for name, value in session.metadata.items()),
    ]


def _when(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return dt.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
