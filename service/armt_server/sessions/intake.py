"""The intake: what is asked of an append before its bytes go into the log."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from armt.errors import TextError
from armt.text import utf8_carry, validate_utf8
from armt_server.errors import (
    BodyTooLarge,
    EmptyBody,
    InvalidRequest,
    InvalidText,
    OffsetMismatch,
    StoreUnavailable,
    TooManyPending,
)

if TYPE_CHECKING:
    from armt_server.sessions.absorber import Absorber
    from armt_server.settings import Settings
    from armt_server.store import StateStore

LOOK_SECONDS: Final = 1.0
"""How often an append that waits for room looks whether another worker has made some."""

PAUSE_SECONDS: Final = 0.05
"""Its pause between two looks at least, so that a store that takes no snapshot is not pestered."""

LARGE_BYTES: Final = 256 * 1024
"""Appends from here on are checked off the event loop."""


class Intake:
    """Adds text to the logs of a store: at the right offset, in UTF-8, and while there is room."""

    def __init__(self, settings: Settings, store: StateStore, absorber: Absorber) -> None:
        self._settings = settings
        self._store = store
        self._absorber = absorber
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def add(self, session_id: str, offset: int | None, data: bytes) -> int:
        """The log's new end. Arguments and errors are those of `Sessions.append`."""
        if not data:
            raise EmptyBody
        if len(data) > self._settings.max_append_bytes:
            raise BodyTooLarge(self._settings.max_append_bytes)
        if offset is not None and offset < 0:
            raise InvalidRequest(f"the offset {offset} is negative: offsets count bytes from 0")
        deadline = time.monotonic() + self._settings.backpressure_seconds
        # One at a time, so that two clients of this worker who add the same text are not taken for a retry.
        async with self._locks.setdefault(session_id, asyncio.Lock()):
            return await self._add(session_id, offset, data, deadline)

    async def _add(self, session_id: str, offset: int | None, data: bytes, deadline: float) -> int:
        while True:
            record = await self._absorber.record(session_id)
            start = record.log_end if offset is None else offset
            if start > record.log_end:
                raise OffsetMismatch(record.log_end)  # the store's log may have grown to it meanwhile
            if start < record.log_end:
                return await self._store.append(session_id, start, data)  # the last one again, or refused
            resident = self._absorber.find(session_id)
            if resident is not None and resident.refusal is not None:
                raise resident.refusal
            if record.log_end + len(data) - record.snapshot_offset > self._settings.max_pending_bytes:
                await self._wait_for_room(session_id, deadline)
                continue
            await self._check_text(session_id, start, data)
            try:
                return await self._store.append(session_id, start, data)
            except OffsetMismatch:
                if offset is not None:
                    raise

    async def _wait_for_room(self, session_id: str, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            limit = self._settings.max_pending_bytes
            raise TooManyPending(
                f"the session would have more than {limit} bytes that are not absorbed and saved yet: send "
                "this again, at the same offset, in a moment",
                retry_after=max(1, round(self._settings.backpressure_seconds)),
            )
        await self._absorber.wake(session_id, hurry=True).saved(min(left, LOOK_SECONDS))
        await asyncio.sleep(min(left, PAUSE_SECONDS))

    async def _check_text(self, session_id: str, start: int, data: bytes) -> None:
        """Refuse what would make the log something else than UTF-8; the carry is in the log itself."""
        before = b""
        while len(before) < min(start, 3):
            at = max(0, start - 3) + len(before)
            more = await self._store.read_log(session_id, at, start - at)
            if not more:
                raise StoreUnavailable(
                    f"the store lost what it had accepted after byte {at}: ask its offset again"
                )
            before += more
        check = (utf8_carry(before), data, start)
        try:
            if len(data) < LARGE_BYTES:
                validate_utf8(*check)
            else:
                await asyncio.to_thread(validate_utf8, *check)
        except TextError as error:
            raise InvalidText(error.offset) from error
