"""The embedded store: one SQLite file, for any number of processes on one machine.

Bytes of expired sessions are swept by later writes, at most once in `_SWEEP_SECONDS`.
"""

from __future__ import annotations

import json
import math
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from armt_server.errors import BadSettings, LogTrimmed, OffsetMismatch, SessionNotFound
from armt_server.store.base import UNSET, Offsets, Page, SessionRecord, Unset, check_ttl
from armt_server.store.sqlite_file import SqliteFile, scalar
from armt_server.store.sqlite_rows import insert, living, note_newest_snapshot, record, renew, sweep

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection

_T = TypeVar("_T")
_SWEEP_SECONDS: Final = 60.0
_PAGE: Final = """SELECT * FROM session
    WHERE (expires_at IS NULL OR expires_at > :now) AND (created_at, id) < (:newest, :after)
    ORDER BY created_at DESC, id DESC LIMIT :count"""
_SNAPSHOT_AT: Final = "SELECT 1 FROM snapshot WHERE session = :old AND offset = :end"
_FORK: Final = (
    "INSERT INTO log SELECT :new, start, end, data FROM log WHERE session = :old AND end <= :end",
    """INSERT INTO log SELECT :new, start, :end, substr(data, 1, :end - start)
    FROM log WHERE session = :old AND start < :end AND end > :end""",
    "INSERT INTO snapshot SELECT :new, offset, data FROM snapshot WHERE session = :old AND offset <= :end",
    """UPDATE session SET log_end = :end,
    log_start = min(:end, (SELECT log_start FROM session WHERE id = :old)) WHERE id = :new""",
)


class SqliteStore:
    """A `StateStore` in one SQLite file."""

    def __init__(self, file: SqliteFile, *, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._clock = clock
        self._swept_at = 0.0

    @classmethod
    async def open(cls, url: str, *, clock: Callable[[], float] = time.time) -> SqliteStore:
        """Opens the file, making it and its folders as needed.

        Args:
            url: `sqlite:///relative/path`, `sqlite:////absolute/path` or `sqlite:///~/path`.
            clock: unix time in seconds.

        Raises:
            BadSettings: the address names no file.
            StoreUnavailable: the path cannot be used, or holds something else.
        """
        return cls(await SqliteFile.open(_path(url)), clock=clock)

    async def create(self, new: SessionRecord) -> SessionRecord:
        """See `StateStore`."""
        return await self._write(lambda db, now: insert(db, now, new))

    async def get(self, session_id: str) -> SessionRecord:
        """See `StateStore`."""
        return await self._read(lambda db, now: record(living(db, now, session_id)))

    async def list(self, limit: int, after: str | None = None) -> Page:
        """See `StateStore`."""
        assert limit >= 1

        def work(db: Connection, now: float) -> Page:
            newest = math.inf
            if after is not None:
                newest = scalar(db, "SELECT created_at FROM session WHERE id = ?", after)
                if newest is None:
                    raise SessionNotFound(after)
            rows = db.execute(_PAGE, {"now": now, "newest": newest, "after": after or "", "count": limit + 1})
            found = [record(row) for row in rows]
            return found[:limit], len(found) > limit

        return await self._read(work)

    async def update(
        self,
        session_id: str,
        *,
        ttl_seconds: int | Unset | None = UNSET,
        metadata: dict[str, str] | Unset = UNSET,
    ) -> SessionRecord:
        """See `StateStore`."""

        def work(db: Connection, now: float) -> SessionRecord:
            living(db, now, session_id)
            if metadata is not UNSET:
                db.execute("UPDATE session SET metadata = ? WHERE id = ?", (json.dumps(metadata), session_id))
            if ttl_seconds is not UNSET:
                check_ttl(ttl_seconds)
                db.execute(
                    "UPDATE session SET ttl_seconds = :ttl, expires_at = :now + :ttl WHERE id = :id",
                    {"ttl": ttl_seconds, "now": now, "id": session_id},
                )
            return record(living(db, now, session_id))

        return await self._write(work)

    async def touch(self, session_id: str) -> None:
        """See `StateStore`."""

        def work(db: Connection, now: float) -> None:
            living(db, now, session_id)
            renew(db, now, session_id)

        await self._write(work)

    async def delete(self, session_id: str) -> None:
        """See `StateStore`."""

        def work(db: Connection, now: float) -> None:
            living(db, now, session_id)
            db.execute("DELETE FROM session WHERE id = ?", (session_id,))

        await self._write(work)

    async def append(self, session_id: str, offset: int, data: bytes) -> int:
        """See `StateStore`."""
        digest = sha256(data).digest()

        def work(db: Connection, now: float) -> int:
            row = living(db, now, session_id)
            end: int = row["log_end"]
            last = (row["last_start"], row["last_length"], row["last_sha256"])
            if offset == end and data:
                end += len(data)
                db.execute("INSERT INTO log VALUES (?, ?, ?, ?)", (session_id, offset, end, data))
                db.execute(
                    "UPDATE session SET log_end = ?, last_start = ?, last_length = ?, last_sha256 = ? "
                    "WHERE id = ?",
                    (end, offset, len(data), digest, session_id),
                )
            elif offset != end and (offset, len(data), digest) != last:
                raise OffsetMismatch(end)
            renew(db, now, session_id)
            return end

        return await self._write(work)

    async def read_log(self, session_id: str, start: int, limit: int) -> bytes:
        """See `StateStore`."""
        assert limit >= 1

        def work(db: Connection, now: float) -> bytes:
            row = living(db, now, session_id)
            if start < row["log_start"]:
                raise LogTrimmed(start, row["log_start"])
            if start >= row["log_end"]:
                return b""
            found = bytearray()
            chunks = db.execute(
                "SELECT start, data FROM log WHERE session = ? AND end > ? ORDER BY end", (session_id, start)
            )
            for chunk in chunks:
                found += memoryview(chunk["data"])[max(start - chunk["start"], 0) :][: limit - len(found)]
                if len(found) == limit:
                    break
            return bytes(found)

        return await self._read(work)

    async def trim_log(self, session_id: str, before: int) -> None:
        """See `StateStore`."""

        def work(db: Connection, now: float) -> None:
            before_end = min(before, living(db, now, session_id)["log_end"])
            log_start = scalar(
                db, "SELECT max(end) FROM log WHERE session = ? AND end <= ?", session_id, before_end
            )
            if log_start is not None:
                db.execute("DELETE FROM log WHERE session = ? AND end <= ?", (session_id, log_start))
                db.execute("UPDATE session SET log_start = ? WHERE id = ?", (log_start, session_id))

        await self._write(work)

    async def put_snapshot(self, session_id: str, offset: int, data: bytes) -> None:
        """See `StateStore`."""
        assert offset >= 1

        def work(db: Connection, now: float) -> None:
            row = living(db, now, session_id)
            if offset > row["log_end"]:
                raise OffsetMismatch(row["log_end"])
            db.execute("INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?)", (session_id, offset, data))
            note_newest_snapshot(db, session_id)

        await self._write(work)

    async def snapshots(self, session_id: str) -> Offsets:
        """See `StateStore`."""

        def work(db: Connection, now: float) -> Offsets:
            living(db, now, session_id)
            rows = db.execute(
                "SELECT offset FROM snapshot WHERE session = ? ORDER BY offset DESC", (session_id,)
            )
            return [row["offset"] for row in rows]

        return await self._read(work)

    async def get_snapshot(self, session_id: str, offset: int) -> bytes | None:
        """See `StateStore`."""

        def work(db: Connection, now: float) -> bytes | None:
            living(db, now, session_id)
            data: bytes | None = scalar(
                db, "SELECT data FROM snapshot WHERE session = ? AND offset = ?", session_id, offset
            )
            return data

        return await self._read(work)

    async def delete_snapshot(self, session_id: str, offset: int) -> None:
        """See `StateStore`."""

        def work(db: Connection, now: float) -> None:
            living(db, now, session_id)
            db.execute("DELETE FROM snapshot WHERE session = ? AND offset = ?", (session_id, offset))
            note_newest_snapshot(db, session_id)

        await self._write(work)

    async def fork(
        self, session_id: str, new_record: SessionRecord, *, offset: int | None = None
    ) -> SessionRecord:
        """See `StateStore`."""

        def work(db: Connection, now: float) -> SessionRecord:
            row = living(db, now, session_id)
            end = row["log_end"] if offset is None else offset
            if end > row["log_end"]:
                raise OffsetMismatch(row["log_end"])
            source = {"old": session_id, "new": new_record.id, "end": end}
            if end < row["log_start"] and not db.execute(_SNAPSHOT_AT, source).fetchone():
                raise LogTrimmed(end, row["log_start"])
            insert(db, now, new_record)
            for statement in _FORK:
                db.execute(statement, source)
            note_newest_snapshot(db, new_record.id)
            return record(living(db, now, new_record.id))

        return await self._write(work)

    async def ping(self) -> None:
        """See `StateStore`."""
        await self._read(lambda db, _: db.execute("SELECT count(*) FROM sqlite_master").fetchone())

    async def close(self) -> None:
        """See `StateStore`."""
        await self._file.close()

    async def _read(self, work: Callable[[Connection, float], _T]) -> _T:
        return await self._file.read(lambda db: work(db, self._clock()))

    async def _write(self, work: Callable[[Connection, float], _T]) -> _T:
        def swept_work(db: Connection) -> _T:
            now = self._clock()
            if now >= self._swept_at + _SWEEP_SECONDS:
                sweep(db, now)
                self._swept_at = now
            return work(db, now)

        return await self._file.write(swept_work)


def _path(url: str) -> Path:
    _, slashes, path = url.partition(":///")
    if not slashes or path in ("", ":memory:"):
        raise BadSettings(
            f"ARMT_STORE_URL={url} names no file: write sqlite:///relative/path.db or sqlite:////absolute/path.db"
        )
    return Path(path).expanduser()
