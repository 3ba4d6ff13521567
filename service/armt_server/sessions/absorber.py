"""The absorber: a task for each session with unread text, which reads the log to its end, rests, saves, ends.

Batches form by themselves: each task hands its segments to the engine, which serves many at once. A task is
only ever ahead of the store's snapshots, never of its log, so losing one loses nothing; and any other worker
may do the same work at the same time.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from typing import TYPE_CHECKING, Final

from armt_server.errors import (
    ContextFull,
    LogTrimmed,
    ServerError,
    SessionExpired,
    SessionNotFound,
    ShuttingDown,
    StoreFull,
    StoreUnavailable,
)
from armt_server.residency import Residency
from armt_server.sessions.fold import fold
from armt_server.sessions.reading import Reached, Reading, Resident
from armt_server.sessions.snapshots import Snapshots

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from armt_server.engine import Engine
    from armt_server.sessions.fold import Folded
    from armt_server.settings import Settings
    from armt_server.store import SessionRecord, StateStore

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS: Final = 0.1
LAST_RETRY_SECONDS: Final = 5.0


class Absorber:
    """Reads sessions in the background and keeps what they come to at hand.

    Args:
        settings: budgets and intervals.
        store: where logs and snapshots are.
        engine: makes memories.
    """

    def __init__(self, settings: Settings, store: StateStore, engine: Engine) -> None:
        self._settings = settings
        self._store = store
        self._engine = engine
        self.snapshots = Snapshots(store, engine)
        self._residency: Residency[Resident] = Residency(settings.residency_bytes)
        self._readings: dict[str, Reading] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._moving: asyncio.Task[None] | None = None
        self._closing = False

    async def record(self, session_id: str) -> SessionRecord:
        """The session as the store has it. What is at hand here and does not fit it any more is let go."""
        resident = self.find(session_id)
        try:
            record = await self._store.get(session_id)
        except (SessionNotFound, SessionExpired) as gone:
            await self.forget(session_id, gone)
            raise
        if resident is not None and resident.folded.offset > record.log_end:
            lost = f"the store lost what it had accepted after byte {record.log_end}: ask again"
            log.warning("session %s: %s", session_id, lost)
            await self.forget(session_id, StoreUnavailable(lost))
        return record

    def find(self, session_id: str) -> Resident | None:
        """What this worker has at hand of a session; looking does not count as use."""
        reading = self._readings.get(session_id)
        return self._residency.peek(session_id) if reading is None else reading.resident

    def wake(self, session_id: str, *, hurry: bool = False) -> Reading:
        """Sees to it that the session is read to its end; with `hurry`, also saved at once."""
        if self._closing:
            raise ShuttingDown
        reading = self._readings.get(session_id)
        if reading is None:
            reading = self._readings[session_id] = Reading(session_id, self._residency.get(session_id))
            self._tasks[session_id] = asyncio.create_task(self._run(reading))
        reading.wake(hurry=hurry)
        return reading

    async def reach(self, session_id: str, upto: int) -> Reached:
        """The session's fold once the first `upto` bytes of its log are in it.

        Raises:
            ServerError: what stops the session from being read so far.
        """
        self._residency.get(session_id)  # it is used now
        resident = self.find(session_id)
        if resident is not None and resident.refusal is not None:
            raise resident.refusal
        if resident is not None and resident.folded.offset >= upto:
            return Reached(resident.folded, "resident", 0)
        return await self.wake(session_id).reach(upto)

    async def forget(self, session_id: str, error: ServerError) -> None:
        """Lets go of a session; who waits for it is told `error`."""
        self._residency.drop(session_id)
        task = self._tasks.get(session_id)
        if task is not None:
            self._readings[session_id].gone = error
            task.cancel()
            await asyncio.wait((task,))

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109  what is not saved in time is left
        """Stops reading at a segment boundary and saves what was read, as far as `timeout` seconds allow."""
        self._closing = True
        tasks = [*self._tasks.values(), *([self._moving] if self._moving else [])]
        try:
            async with asyncio.timeout(timeout):
                await self._engine.drain()
                for reading in self._readings.values():
                    reading.wake(hurry=True)
                await asyncio.gather(*tasks, return_exceptions=True)
        except TimeoutError:  # the gathered tasks are cancelled with it
            log.warning("%d sessions could not be saved in time: they will be read again", len(self._tasks))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, reading: Reading) -> None:
        """The task of a session: tells those who wait how it ended, and leaves no trace."""
        error: Exception | None = None
        try:
            await self._attend(reading)
        except (SessionNotFound, SessionExpired) as gone:
            error = gone
            self._residency.drop(reading.id)
        except ServerError as refused:
            error = refused
            log.warning("session %s is not read on: %s", reading.id, refused)
        except Exception as unforeseen:
            error = unforeseen
            log.exception("session %s is not read on", reading.id)
        except asyncio.CancelledError:
            error = reading.gone or ShuttingDown()
            raise
        finally:
            del self._readings[reading.id], self._tasks[reading.id]
            reading.end(error)

    async def _attend(self, reading: Reading) -> None:
        """Read to the log's end, rest, save; again while there is more, and while the store is away."""
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                await self._catch_up(reading)
                delay = FIRST_RETRY_SECONDS
                if await self._more_comes(reading):
                    continue
                await self._save(reading)
                if not reading.woken.is_set():
                    return
            except (ContextFull, ShuttingDown) as error:
                if isinstance(error, ContextFull) and reading.resident is not None:
                    self._publish(reading, dataclasses.replace(reading.resident, refusal=error))
                reading.fail(error)
                await self._save(reading)
                return
            except StoreUnavailable as error:
                reading.fail(error)
                if self._closing:
                    raise
                log.warning("session %s waits for the store: %s", reading.id, error)
                await _set_within(reading.woken, delay)
                delay = min(2 * delay, LAST_RETRY_SECONDS)

    async def _catch_up(self, reading: Reading) -> None:
        """Fold the log from where the reading is to its end."""
        reading.woken.clear()
        while True:
            resident = reading.resident
            if resident is None:
                resident = reading.begin(await self.snapshots.recover(reading.id))
                self._publish(reading, resident)
            try:
                if not await self._fold(reading, resident.folded):
                    return
            except LogTrimmed:  # another worker is ahead of us and has saved its work: take that
                reading.resident = None

    async def _fold(self, reading: Reading, folded: Folded) -> bool:
        """Take a reading from this fold to the log's end as it is then; whether there was any more."""
        async with (
            contextlib.aclosing(self._pieces(reading, folded.offset)) as pieces,
            contextlib.aclosing(fold(self._engine, folded, pieces)) as steps,
        ):
            began, offset = time.perf_counter(), folded.offset
            async for further in steps:
                reading.pace(further.offset - offset, time.perf_counter() - began)
                await self._step(reading, further)
                if self._closing:
                    raise ShuttingDown
                began, offset = time.perf_counter(), further.offset
        return offset > folded.offset

    async def _pieces(self, reading: Reading, offset: int) -> AsyncGenerator[bytes, None]:
        """The log from an offset to its end."""
        while piece := await self._store.read_log(reading.id, offset, reading.piece_bytes):
            yield piece
            offset += len(piece)

    async def _step(self, reading: Reading, folded: Folded) -> None:
        """Take a fold one piece further on, and save it when it is time."""
        resident = reading.resident
        assert resident is not None, "only a recovered session is folded"
        self._publish(reading, dataclasses.replace(resident, folded=folded))
        before = reading.tried or resident.folded
        if (
            folded.segments - before.segments >= self._settings.snapshot_segments
            or folded.offset - before.offset >= self._settings.max_pending_bytes // 2
        ):
            await self._save(reading)

    async def _more_comes(self, reading: Reading) -> bool:
        """Rest at the log's end. Whether something happens before the session counts as idle."""
        if reading.hurry or self._closing:
            return False
        return await _set_within(reading.woken, self._settings.idle_seconds)

    async def _save(self, reading: Reading) -> None:
        """Put a snapshot of what was read, if there is anything new."""
        resident = reading.resident
        if resident is not None and resident.folded.offset > resident.saved_offset:
            reading.tried = resident.folded
            try:
                good = await self.snapshots.save(reading.id, resident.folded, resident.saved_offset)
            except StoreFull as error:  # reading and answering go on without; only recovery gets longer
                log.warning("session %s is not saved: %s", reading.id, error)
                good = False
            if good:
                saved = dataclasses.replace(resident, saved_offset=resident.folded.offset)
                reading.resident = saved
                self._residency.replace(reading.id, resident, saved)
        reading.tell_saved()

    def _publish(self, reading: Reading, resident: Resident) -> None:
        """Make a fold the session's own, keep it at hand, and answer those who waited for it."""
        reading.resident = resident
        self._residency.put(reading.id, resident)
        reading.tell_reached()
        self._evict(reading)
        if self._moving is None and self._residency.next_to_move() is not None:
            self._moving = asyncio.create_task(self._move_to_host())

    def _evict(self, publishing: Reading | None = None) -> None:
        """Keep to the budget. What is being read stays with its task, which then saves it without resting."""
        for session_id, _ in self._residency.evict():
            evicted = self._readings.get(session_id)
            if evicted is publishing and publishing is not None:
                publishing.hurry = True  # it is awake already
            elif evicted is not None:
                evicted.wake(hurry=True)

    async def _move_to_host(self) -> None:
        try:
            with contextlib.suppress(ShuttingDown):
                while (chosen := self._residency.next_to_move()) is not None:
                    session_id, resident = chosen
                    memory = await self._engine.to_host(resident.folded.memory)
                    folded = dataclasses.replace(resident.folded, memory=memory)
                    moved = dataclasses.replace(resident, folded=folded)
                    self._residency.replace(session_id, resident, moved)
            self._evict()
        finally:
            self._moving = None


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event is set within so many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
