"""`armt append`: a text of any length into a session, resumed where it was cut off."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from armt_client import DEFAULT_SERVER, Client, ConnectionFailed, ServerFault, TryLater
from armt_server.cli import common
from armt_server.cli.progress import Meter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armt_client import Session

STDIN = "-"
_HEAD_BYTES = 64 * 1024  # of a file, by which a later run knows it again
_HEAD = "source_head"  # among the session's metadata: "BYTES:SHA256"


def append(
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="A UTF-8 text file, or - for standard input.")
    ],
    *,
    session: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Go on in this session; left out, a new one is made."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="OFFSET|end",
            help="Where in the session the text begins; what the session holds from there on counts as sent. "
            "Left out: 0 for a file, so that the same command resumes; end for standard input.",
        ),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait until the server has read it all into the memory.")] = True,
    ttl: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", help="Of a new session: it is forgotten after so long unused."),
    ] = None,
    server: common.Server = DEFAULT_SERVER,
    api_key: common.ApiKey = None,
) -> None:
    """Stream a text into a session, however long it is.

    The session's id is printed on standard output, the progress on standard error. After Ctrl-C, a lost
    connection or a restart of the server, the same command with --session goes on where the server's copy
    ends; nothing is sent twice. A file is known again by its first 64 kB; that the rest is unchanged is
    trusted.

    Examples:

    \b
      armt append book.txt                                # a new session
      armt append book.txt --session ses_...              # resume it
      armt append second.txt --session ses_... --at end   # another text after it
      zcat log.gz | armt append -                         # from a pipe
    """  # noqa: D301, D412  typer's \b keeps lines as they are
    with _opened(file) as text, common.connect(server, api_key) as client:
        if session is None:
            target = client.create_session(**_new(file, text, ttl))
        else:
            target = client.get_session(session)
        start = _start(at or ("end" if file == STDIN else "0"), target)
        if session is None:
            typer.echo(target.id)
        elif start < target.context.bytes:
            _check_same(file, text, target, start)
        _send(client, text, target, _Upload(file, target.id, start, server), wait=wait)


@dataclass(frozen=True)
class _Upload:
    """What is sent where, as the command that does it again."""

    file: str
    session_id: str
    start: int
    server: str

    @property
    def resume(self) -> str:
        """The command that goes on with this upload."""
        place = ["--at", str(self.start)] if self.start or self.file == STDIN else []
        command = ["armt", "append", self.file, "--session", self.session_id, *place]
        told = shlex.join([*command, *common.server_flag(self.server)])
        return f"THE SAME TEXT | {told}" if self.file == STDIN else told

    @contextlib.contextmanager
    def told_if_cut_off(self) -> Iterator[None]:
        """Within this block Ctrl-C and a server that is away end the command with how to go on."""
        try:
            yield
        except KeyboardInterrupt:
            common.note(f"\ninterrupted; nothing is lost. To go on:\n  {self.resume}")
            raise typer.Exit(common.INTERRUPTED) from None
        except (ConnectionFailed, TryLater, ServerFault) as error:
            common.tell_error(error.title, error.detail)
            common.note(f"what the server has acknowledged is kept. To go on:\n  {self.resume}")
            raise typer.Exit(1) from None


def _send(client: Client, text: BinaryIO, session: Session, upload: _Upload, *, wait: bool) -> None:
    # At the very end of the session another writer must be noticed; otherwise we join our own earlier run.
    at = None if upload.start == session.context.bytes else upload.start
    with upload.told_if_cut_off(), Meter(client, session) as meter:
        offset = client.append(session.id, text, at=at, progress=meter.sent)
        meter.end(offset)
        if wait:
            client.wait_absorbed(session.id, upto=offset, progress=meter.read, waiting=meter.waiting)
    sent = offset - session.context.bytes
    common.note(
        f"sent {sent:,} bytes" if sent else f"nothing to send: the session holds all {offset:,} bytes"
    )
    if wait:
        context = meter.session.context
        common.note(
            f"the session has read {context.absorbed_bytes:,} bytes, {context.tokens:,} tokens "
            f"({meter.tokens_per_second:,.0f} tokens/s); its memory takes {common.size(context.memory_bytes)}"
        )
    ask = shlex.join(["--session", session.id, *common.server_flag(upload.server)])
    common.note(f'ask it: armt ask "..." {ask}')


@contextlib.contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    with contextlib.ExitStack() as closing:
        if file == STDIN:
            text: BinaryIO = sys.stdin.buffer
            empty = isinstance(text, io.BufferedReader) and not text.peek(1)
        else:
            try:
                text = closing.enter_context(open(file, "rb"))  # noqa: PTH123  a name from the command line
            except OSError as error:
                common.refuse(f"Cannot read {file}", error.strerror or str(error))
            empty = text.seekable() and os.fstat(text.fileno()).st_size == 0
        if empty:
            common.refuse("Nothing to send", f"{'standard input' if file == STDIN else file} is empty")
        yield text


def _new(file: str, text: BinaryIO, ttl: int | None) -> dict[str, Any]:
    """What to ask of a new session: its time to live, and notes by which a resumed text is known again."""
    options: dict[str, Any] = {} if ttl is None else {"ttl_seconds": ttl}
    if file != STDIN and text.seekable():
        head = _read_head(text, _HEAD_BYTES)
        options["metadata"] = {"source": os.path.basename(file)[:512], _HEAD: _named(head)}  # noqa: PTH119
    return options


def _start(at: str, session: Session) -> int:
    if at == "end":
        return session.context.bytes
    if not (at.isascii() and at.isdigit()):
        common.refuse("Bad --at", f"{at!r} is neither a number of bytes nor `end`")
    if int(at) > session.context.bytes:
        common.refuse(
            "Bad --at",
            f"the session holds {session.context.bytes} bytes, so nothing can start at byte {at} yet",
        )
    return int(at)


def _check_same(file: str, text: BinaryIO, session: Session, start: int) -> None:
    """Refuse a file that is not the one this session began with, where that can be told cheaply."""
    noted = session.metadata.get(_HEAD, "")
    size = noted.partition(":")[0]
    known = start == 0 and file != STDIN and text.seekable() and size.isascii() and size.isdigit()
    if known and _named(_read_head(text, min(int(size), _HEAD_BYTES))) != noted:
        common.refuse(
            "Another text",
            f"session {session.id} began with {session.metadata.get('source', 'another file')}, which began "
            f"otherwise than {file}: to add it after what is there, use --at end",
        )
    held = session.context.bytes - start
    trusted = "" if known else " (trusted: use --at end if this is another text)"
    common.note(f"the session holds the first {held:,} bytes of {file} already{trusted}")


def _read_head(text: BinaryIO, size: int) -> bytes:
    head = text.read(size)
    text.seek(0)
    return head


def _named(head: bytes) -> str:
    return f"{len(head)}:{hashlib.sha256(head).hexdigest()}"
