"""The two bars of a text on its way: sent to the server, and read into the memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from armt_client import Client, ClientError
from armt_server.cli import common

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Task

    from armt_client import Progress as Sent
    from armt_client import Session

_LOOK_SECONDS = 0.5  # between two looks at how far the server has read


class Meter:
    """Shows an append on stderr, with the tokens per second at which the server reads.

    Args:
        client: looks at the session from time to time.
        session: as it is before the append.

    Attributes:
        session: as it was at the last look.
        seconds: from the meter's making to the last look.
    """

    def __init__(self, client: Client, session: Session) -> None:
        self.session = session
        self._client = client
        self._first = session
        self.seconds = 0.0
        self._started = time.monotonic()
        self._looked = self._started
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            DownloadColumn(),
            _TokensPerSecond(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}"),
            console=common.err,
        )
        context = session.context
        self._sent = self._bars.add_task("sent", total=None, completed=context.bytes, note="")
        self._read = self._bars.add_task(
            "read", total=None, completed=context.absorbed_bytes, note="", tokens_per_second=0.0
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    @property
    def tokens_per_second(self) -> float:
        """At which the server read, from the meter's making to its last look."""
        return (self.session.context.tokens - self._first.context.tokens) / max(self.seconds, 1e-9)

    def sent(self, progress: Sent) -> None:
        """Take in how far the append is; for `Client.append(progress=...)`."""
        if progress.waiting is not None:
            self.waiting(progress.waiting, progress.wait_seconds)
            return
        self._bars.update(self._sent, completed=progress.offset, total=progress.end)
        self._bars.update(self._read, total=progress.end, note="")
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._look()

    def read(self, session: Session) -> None:
        """Take in how far the server has read; for `Client.wait_absorbed(progress=...)`."""
        self.session = session
        self.seconds = time.monotonic() - self._started
        self._bars.update(
            self._read,
            completed=session.context.absorbed_bytes,
            tokens_per_second=self.tokens_per_second,
            note="",
        )

    def waiting(self, error: ClientError, seconds: float) -> None:
        """Say why nothing moves; for `Client.wait_absorbed(waiting=...)`."""
        self._bars.update(self._read, note=f"{error.title}; next try in {seconds:.0f} s")

    def end(self, offset: int) -> None:
        """All is sent: the bars now have an end, also where a stream had none."""
        self._bars.update(self._sent, completed=offset, total=offset)
        self._bars.update(self._read, total=offset)

    def _look(self) -> None:
        self._looked = time.monotonic()
        try:
            self.read(self._client.get_session(self.session.id))
        except ClientError:
            return  # only the bar is late; the append itself tells of what is wrong


class _TokensPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        rate = task.fields.get("tokens_per_second")
        return Text("" if rate is None else f"{rate:,.0f} tokens/s", style="progress.data.speed")
