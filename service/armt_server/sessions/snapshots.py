"""Snapshots of folds: saved so that they are known to be readable, recovered from the newest that is.

The log is trimmed before the *older* of the two snapshots that are kept, not before the newest. Otherwise the
older one could not be read on from, and one bad snapshot would lose a session. It costs at most one more
interval of log.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Final

from armt.errors import CodecError
from armt_server.errors import FingerprintMismatch
from armt_server.sessions.fold import Folded

if TYPE_CHECKING:
    from armt_server.engine import Engine
    from armt_server.sessions.values import MemorySource
    from armt_server.store import StateStore

log = logging.getLogger(__name__)

MARGIN: Final = 4
"""Bytes kept before a snapshot: an append looks at the last three to find a character it continues."""

_LOOKS: Final = 3  # at a session's snapshots, when other workers replace them while we look


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A fold that was recovered, and from what."""

    folded: Folded
    source: MemorySource


class Snapshots:
    """Saves and recovers the folds of a store's sessions for the model of an engine."""

    def __init__(self, store: StateStore, engine: Engine) -> None:
        self._store = store
        self._engine = engine

    async def recover(self, session_id: str) -> Loaded:
        """The fold to read on from: the newest usable snapshot, else nothing if the log is whole.

        Raises:
            FingerprintMismatch: no snapshot is usable and the log's beginning is gone.
        """
        reasons: dict[int, str] = {}
        for _ in range(_LOOKS):
            listed = await self._store.snapshots(session_id)
            record = await self._store.get(session_id)  # after the list: the log only gets longer
            for offset in listed:
                if offset > record.log_end or offset in reasons:
                    continue
                folded = await self._read(session_id, offset, reasons)
                if folded is not None and offset >= record.log_start:
                    return Loaded(folded, "snapshot")
                if folded is not None:
                    reasons[offset] = f"the text after the snapshot at {offset} is gone"
            if record.log_start == 0:
                return Loaded(Folded.nothing(self._engine), "replay")
        told = "; ".join(reasons.values()) or "there is no snapshot"
        raise FingerprintMismatch(
            f"this session's memory cannot be used by the running model ({told}) and the beginning of its "
            "text is no longer kept: make a new session and send the text again (`keep_source: true` lets a "
            "session survive this)"
        )

    async def save(self, session_id: str, folded: Folded, previous: int) -> bool:
        """Put a snapshot, see that it can be read back, then drop what it makes superfluous.

        Args:
            session_id: the session.
            folded: what to save, at an offset past 0.
            previous: offset of the last snapshot known to be good, 0 for none.

        Returns:
            Whether the snapshot is good. If not, nothing was dropped.
        """
        try:
            data = await self._engine.pack(folded.to_snapshot(self._engine.fingerprint))
        except CodecError as error:  # such as a memory that is not finite any more
            log.warning("session %s cannot be saved at %d: %s", session_id, folded.offset, error)
            return False
        await self._store.put_snapshot(session_id, folded.offset, data)
        if await self._read(session_id, folded.offset, {}) is None:
            return False
        older = [offset for offset in await self._store.snapshots(session_id) if offset < folded.offset]
        for offset in older[1:]:
            if offset != previous:
                await self._store.delete_snapshot(session_id, offset)
        record = await self._store.get(session_id)
        if not record.keep_source and previous - MARGIN > record.log_start:
            await self._store.trim_log(session_id, previous - MARGIN)
        return True

    async def look(self, session_id: str, offset: int) -> Folded | None:
        """What the snapshot at `offset` holds; None if it cannot be used."""
        return await self._read(session_id, offset, {})

    async def _read(self, session_id: str, offset: int, reasons: dict[int, str]) -> Folded | None:
        """The snapshot at `offset`, or None; why it cannot be used goes to `reasons`."""
        data = await self._store.get_snapshot(session_id, offset)
        if data is None:
            return None  # another worker dropped it for a newer one
        try:
            snapshot = await self._engine.unpack(data)
            if snapshot.offset != offset:
                raise CodecError(f"it was made at offset {snapshot.offset}")  # noqa: TRY301  one reason of many
        except CodecError as error:
            reasons[offset] = f"snapshot at {offset}: {error}"
            log.warning("session %s: the snapshot at %d is passed over: %s", session_id, offset, error)
            return None
        return Folded.of(snapshot)
