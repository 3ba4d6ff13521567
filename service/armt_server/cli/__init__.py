"""The command line: `armt serve | append | ask | sessions | demo | train | average | eval`.

One file a command. Only `armt serve` and the lab's commands import torch, and only when they run.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from armt_client import ClientError, ConnectionFailed
from armt_server import __version__
from armt_server.cli import common, evaluate, sessions
from armt_server.cli.append import append
from armt_server.cli.ask import ask
from armt_server.cli.average import average
from armt_server.cli.demo import demo
from armt_server.cli.serve import serve
from armt_server.cli.train import train

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    help="A service that remembers: stream a text of any length into a session, and ask about it.",
    epilog="Start with: armt serve, and in another terminal: armt demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)
app.command()(append)
app.command()(ask)
app.add_typer(sessions.app, name="sessions")
app.command()(demo)
app.command()(train)
app.command()(average)
app.add_typer(evaluate.app, name="eval")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; always ends in SystemExit, never in a traceback.

    Args:
        arguments: those of the process, if left out.
    """
    try:
        app(args=arguments, prog_name="armt")
    except common.Stop as stop:
        common.tell_error(stop.title, stop.detail)
        sys.exit(stop.code)
    except ClientError as error:
        hint = "; start one with: armt serve" if isinstance(error, ConnectionFailed) else ""
        common.tell_error(error.title, error.detail + hint)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(common.INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone; without this Python complains once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("ARMT_TRACEBACK"):
            raise
        common.tell_error(
            "Unexpected", f"{type(error).__name__}: {error} (a mistake of ours; ARMT_TRACEBACK=1 shows where)"
        )
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _version(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False
) -> None:
    if version:
        typer.echo(f"armt {__version__}")
        raise typer.Exit
