"""One session that this worker is reading: how far it is, and who waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from typing import TYPE_CHECKING, Final

from armt_server.errors import StoreUnavailable

if TYPE_CHECKING:
    from armt_server.errors import ContextFull, ServerError
    from armt_server.sessions.fold import Folded
    from armt_server.sessions.snapshots import Loaded
    from armt_server.sessions.values import MemorySource

FOLD_BYTES: Final = 16 * 1024
"""Bytes folded at once: how often progress is published, and how much of it a shutdown may cost."""

MOST_FOLD_BYTES: Final = 64 * 1024
FOLD_SECONDS: Final = 0.25
"""More bytes are folded at once where that takes no longer: a fast model loses time between two folds."""


@dataclasses.dataclass(frozen=True)
class Resident:
    """A session's fold at hand.

    Attributes:
        folded: the value.
        saved_offset: of the last snapshot that this worker knows to be good, 0 for none.
        refusal: why the model cannot read on, if it cannot.
    """

    folded: Folded
    saved_offset: int = 0
    refusal: ContextFull | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the memory and the tail."""
        return self.folded.memory.nbytes + 8 * len(self.folded.tail_ids)

    @property
    def on_host(self) -> bool:
        """Whether the memory is in the host's RAM."""
        return self.folded.memory.device.type == "cpu"


@dataclasses.dataclass(frozen=True)
class Reached:
    """A fold that reaches as far as was asked for, and what it took to have it."""

    folded: Folded
    source: MemorySource
    segments_replayed: int


class Reading:
    """The state of one session's task. `resident` is None until the session is recovered.

    Attributes:
        resident: the fold so far.
        origin: what this worker began from: None was at hand; replaced when the session is recovered anew.
        woken: set when there may be something to do: more log, or hurry.
        hurry: save and end as soon as the log's end is reached, without resting first.
        piece_bytes: how much of the log is folded at once.
        tried: the fold that was last saved, or tried to be.
        gone: why the task is cancelled, when it is because of the session and not because the server stops.
    """

    def __init__(self, session_id: str, resident: Resident | None) -> None:
        self.id = session_id
        self.resident = resident
        self.origin: Loaded | None = None
        self.woken = asyncio.Event()
        self.hurry = False
        self.piece_bytes = FOLD_BYTES
        self.gone: ServerError | None = None
        self.tried: Folded | None = None if resident is None else resident.folded
        self._waiters: list[tuple[int, asyncio.Future[Folded]]] = []
        self._saves: list[asyncio.Future[None]] = []

    def wake(self, *, hurry: bool = False) -> None:
        """Tells the task that there may be something to do."""
        self.hurry |= hurry
        self.woken.set()

    def pace(self, count: int, seconds: float) -> None:
        """Choose the size of pieces by how long one of `count` bytes took."""
        fitting = int(FOLD_SECONDS * count / seconds)
        self.piece_bytes = min(max(FOLD_BYTES, fitting), MOST_FOLD_BYTES)

    def begin(self, loaded: Loaded) -> Resident:
        """Go on from a recovered fold."""
        self.origin, self.tried = loaded, loaded.folded
        self.resident = Resident(loaded.folded, saved_offset=loaded.folded.offset)
        return self.resident

    async def reach(self, upto: int) -> Reached:
        """Waits until the first `upto` bytes of the log are read; raises what keeps the task from it."""
        at_hand, origin = self.resident is not None, self.origin
        future: asyncio.Future[Folded] = asyncio.get_running_loop().create_future()
        self._waiters.append((upto, future))
        folded = await future
        if self.origin is None or (at_hand and self.origin is origin):
            return Reached(folded, "resident", 0)
        return Reached(folded, self.origin.source, folded.segments - self.origin.folded.segments)

    async def saved(self, timeout: float) -> None:  # noqa: ASYNC109  giving up is a normal end of this wait
        """Waits until a snapshot was tried, `timeout` seconds at most; raises what ends the task before."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._saves.append(future)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await future

    def tell_reached(self) -> None:
        """Answers those whom the fold as it is now is enough."""
        assert self.resident is not None, "nothing was read yet"
        folded = self.resident.folded
        for upto, future in self._waiters:
            if upto <= folded.offset and not future.done():
                future.set_result(folded)
        self._waiters = [(upto, future) for upto, future in self._waiters if not future.done()]

    def tell_saved(self) -> None:
        """Answers those who wait for a snapshot."""
        for future in self._saves:
            if not future.done():
                future.set_result(None)
        self._saves.clear()

    def end(self, error: Exception | None) -> None:
        """Answers all who still wait; `error` is what ended the task before its time."""
        self.fail(error or StoreUnavailable("the store holds less text than it accepted: ask again"))
        if error is None:
            self.tell_saved()
        for future in self._saves:
            if error is not None and not future.done():
                future.set_exception(error)

    def fail(self, error: Exception) -> None:
        """Answers all who wait for the fold with an error."""
        for _, future in self._waiters:
            if not future.done():
                future.set_exception(error)
        self._waiters.clear()
