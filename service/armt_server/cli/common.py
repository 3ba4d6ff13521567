"""What the commands share: the server's address, the terminal, and how a failure is told."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from armt.errors import ArmtError
from armt_client import DEFAULT_SERVER, Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

_PIPE_WIDTH = 200

USAGE = 2  # exit code: the command cannot work as it was given; nothing was done
INTERRUPTED = 130  # exit code: Ctrl-C

out = Console(highlight=False, markup=False, soft_wrap=True)  # results, which may be piped on
err = Console(highlight=False, markup=False, soft_wrap=True, stderr=True)  # everything about the work itself

Server = Annotated[str, typer.Option(envvar="ARMT_SERVER", metavar="URL", help="Address of the server.")]
ApiKey = Annotated[
    str | None,
    typer.Option(
        envvar="ARMT_API_KEY",
        metavar="KEY",
        help="Sent to servers that ask for one.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


class Stop(Exception):
    """Ends the command with a message for the user and an exit code."""

    def __init__(self, title: str, detail: str = "", *, code: int = 1) -> None:
        super().__init__(title)
        self.title = title
        self.detail = detail
        self.code = code


def refuse(title: str, detail: str) -> NoReturn:
    """End a command that cannot work as it was given."""
    raise Stop(title, detail, code=USAGE)


def connect(server: str, api_key: str | None) -> Client:
    """A client for `--server` and `--api-key`."""
    return Client(server, api_key=api_key)


def tell_error(title: str, detail: str) -> None:
    """`error: TITLE: DETAIL` on stderr, in one line."""
    line = Text("error: ", style="bold red")
    line.append(
        ": ".join(part for part in (title, " ".join(detail.split())) if part), style="not bold default"
    )
    err.print(line)


def note(text: str) -> None:
    """A line about the work, on stderr."""
    err.print(text)


def print_json(data: object) -> None:
    """One JSON object as one line on stdout."""
    typer.echo(json.dumps(data, ensure_ascii=False))


def print_table(table: Table) -> None:
    """A table on stdout, as wide as the terminal; into a pipe or a file as wide as it likes."""
    (out if out.is_terminal else Console(highlight=False, markup=False, width=_PIPE_WIDTH)).print(table)


def server_flag(server: str) -> list[str]:
    """`--server URL` as it must be repeated in a command that we suggest; nothing for the default."""
    return [] if server == DEFAULT_SERVER else ["--server", server]


def size(count: float) -> str:
    """Bytes for people: `1.2 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":  # noqa: PLR2004  the step between the units
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


@contextlib.contextmanager
def lab() -> Iterator[None]:
    """Of `armt[lab]`: says what to install, and what file, folder or option is not as it should be."""
    try:
        yield
    except ModuleNotFoundError as error:
        refuse("Cannot start", f"{error}: install the lab with `make lab`, or pip install 'armt[lab]'")
    except FileNotFoundError as error:
        refuse("Nothing to work on", str(error))
    except ArmtError as error:  # a model to start with
        refuse("Cannot start", str(error))
    except ValueError as error:  # a recipe or a file of stories that is not in its format
        refuse("Cannot be read", str(error))
