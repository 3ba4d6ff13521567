"""What every store can do: keep sessions as a log of bytes, snapshots of bytes and a little about them.

A store knows nothing of text or tensors. Its one promise: when `append` returns, the bytes are durable and
follow, without gap or overlap, those accepted before. Everything else can be made again from the log.

One contract suite (`tests/armt_server/store`) runs over every implementation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

GRACE_SECONDS: Final = 24 * 60 * 60
"""How long an expired session is still told apart from one that never was."""

MAX_TTL_SECONDS: Final = 10**9
"""The longest time to live a store takes (31 years); the edge refuses more."""


class _Unset(Enum):
    UNSET = "unset"


Unset: TypeAlias = Literal[_Unset.UNSET]
UNSET: Final = _Unset.UNSET
"""Stands for "leave it as it is" where None has a meaning of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """What a store knows of a session, besides its bytes.

    Attributes:
        id: the session's name, any text.
        model: the model it was made for.
        created_at: unix time in seconds.
        ttl_seconds: lifetime after the last append or touch, 1 to `MAX_TTL_SECONDS`; None for ever.
        expires_at: unix time in seconds at which it ends unless renewed; None with `ttl_seconds` None.
        metadata: the client's own notes.
        keep_source: the whole log is to be kept (the store never trims by itself; its callers ask).
        log_end: bytes accepted so far, where the next append must start.
        log_start: the first byte that can still be read.
        snapshot_offset: offset of the newest snapshot, 0 for none.
    """

    id: str
    model: str
    created_at: float
    ttl_seconds: int | None = None
    expires_at: float | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    keep_source: bool = False
    log_end: int = 0
    log_start: int = 0
    snapshot_offset: int = 0


Page: TypeAlias = tuple[list[SessionRecord], bool]
Offsets: TypeAlias = list[int]


@runtime_checkable
class StateStore(Protocol):
    """Sessions, their logs and their snapshots.

    Every method that names a session raises `SessionNotFound` for an unknown or deleted one and
    `SessionExpired` for `GRACE_SECONDS` after its time to live is over. Every method raises
    `StoreUnavailable` when the store does not answer and, where it writes, `StoreFull` when it has no room;
    then nothing of the call was done, or all of it (a lost reply), never a part. Repeating a call is safe.
    """

    async def create(self, new: SessionRecord) -> SessionRecord:
        """Makes an empty session and returns it as stored.

        `expires_at` and the offsets of `new` are not used: the store's clock sets the one, the others are 0.

        Raises:
            SessionExists: the id is taken, if only by a session that expired within `GRACE_SECONDS`.
        """
        ...

    async def get(self, session_id: str) -> SessionRecord:
        """The session as it is now; does not renew its time to live."""
        ...

    async def list(self, limit: int, after: str | None = None) -> Page:
        """Up to `limit` (>= 1) living sessions, newest first, and whether there are more.

        Args:
            limit: the most sessions to return.
            after: the last id of the page before; sessions made in between do not move the pages.

        Raises:
            SessionNotFound: no session `after`.
        """
        ...

    async def update(
        self,
        session_id: str,
        *,
        ttl_seconds: int | Unset | None = UNSET,
        metadata: dict[str, str] | Unset = UNSET,
    ) -> SessionRecord:
        """Sets a new time to live, counted from now, or replaces the metadata; returns the result."""
        ...

    async def touch(self, session_id: str) -> None:
        """Lets the time to live begin anew."""
        ...

    async def delete(self, session_id: str) -> None:
        """Forgets the session, its log and its snapshots."""
        ...

    async def append(self, session_id: str, offset: int, data: bytes) -> int:
        """Adds `data` at the end of the log, durably, if the log ends at `offset`; renews the time to live.

        The last accepted append sent again (same offset, same bytes: its reply was lost) is recognised:
        nothing is added and the answer is as before. Empty `data` adds nothing.

        Returns:
            The log's new end.

        Raises:
            OffsetMismatch: the log ends elsewhere; `current` says where.
        """
        ...

    async def read_log(self, session_id: str, start: int, limit: int) -> bytes:
        """Bytes of the log from `start` on; b"" only at or past its end.

        Returns:
            At most `limit` (>= 1) bytes, and perhaps fewer although more follow: read on from where they end.

        Raises:
            LogTrimmed: `start` is before `log_start`.
        """
        ...

    async def trim_log(self, session_id: str, before: int) -> None:
        """Drops bytes before offset `before`: whole appends only, so some may stay; `log_start` tells."""
        ...

    async def put_snapshot(self, session_id: str, offset: int, data: bytes) -> None:
        """Keeps `data` as the snapshot at `offset` (>= 1), replacing one that is there.

        Raises:
            OffsetMismatch: the log does not reach `offset`.
        """
        ...

    async def snapshots(self, session_id: str) -> Offsets:
        """The offsets of the session's snapshots, newest first."""
        ...

    async def get_snapshot(self, session_id: str, offset: int) -> bytes | None:
        """The snapshot at `offset`, None if there is none."""
        ...

    async def delete_snapshot(self, session_id: str, offset: int) -> None:
        """Forgets the snapshot at `offset`, if there is one; `snapshot_offset` becomes the newest left."""
        ...

    async def fork(
        self, session_id: str, new_record: SessionRecord, *, offset: int | None = None
    ) -> SessionRecord:
        """Makes a session of its own from the log and the snapshots of another up to `offset`.

        The new session appears whole or not at all; the source is not changed or renewed. Of `new_record` the
        same fields are used as by `create`.

        Args:
            session_id: the source.
            new_record: the session to make.
            offset: where the copy ends, None for the whole.

        Raises:
            SessionExists: the new id is taken.
            OffsetMismatch: the source's log does not reach `offset`.
            LogTrimmed: the source's log starts after `offset` and no snapshot stands there.
        """
        ...

    async def ping(self) -> None:
        """Returns if the store answers."""
        ...

    async def close(self) -> None:
        """Lets go of connections and threads; closing again does nothing, other calls then fail."""
        ...


def check_ttl(ttl_seconds: int | None) -> None:
    """Stops on a time to live that the edge should have refused."""
    assert ttl_seconds is None or 1 <= ttl_seconds <= MAX_TTL_SECONDS, f"ttl_seconds={ttl_seconds}"
