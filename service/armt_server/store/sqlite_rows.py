"""The rows of the `session` table: what each step of the SQLite store has in common.

Every function runs inside the caller's transaction; `now` is unix time in seconds.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from armt_server.errors import SessionExists, SessionExpired, SessionNotFound
from armt_server.store.base import GRACE_SECONDS, SessionRecord, check_ttl

if TYPE_CHECKING:
    from sqlite3 import Connection, Row

_COLUMNS: Final = (
    "id",
    "model",
    "created_at",
    "ttl_seconds",
    "expires_at",
    "log_end",
    "log_start",
    "snapshot_offset",
)


def living(db: Connection, now: float, session_id: str) -> Row:
    """The row of a session that can be used now.

    Raises:
        SessionNotFound: there is none.
        SessionExpired: its time to live is over.
    """
    row: Row | None = db.execute("SELECT * FROM session WHERE id = ?", (session_id,)).fetchone()
    if row is None or (row["expires_at"] is not None and row["expires_at"] + GRACE_SECONDS <= now):
        raise SessionNotFound(session_id)
    if row["expires_at"] is not None and row["expires_at"] <= now:
        raise SessionExpired(session_id)
    return row


def insert(db: Connection, now: float, new: SessionRecord) -> SessionRecord:
    """Makes an empty session.

    Raises:
        SessionExists: the id is taken.
    """
    check_ttl(new.ttl_seconds)
    forgotten = (new.id, now - GRACE_SECONDS)
    db.execute("DELETE FROM session WHERE id = ? AND expires_at <= ?", forgotten)
    added = db.execute(
        "INSERT INTO session (id, model, created_at, ttl_seconds, expires_at, metadata, keep_source) "
        "VALUES (:id, :model, :created_at, :ttl, :now + :ttl, :metadata, :keep_source) "
        "ON CONFLICT DO NOTHING",
        {
            "id": new.id,
            "model": new.model,
            "created_at": new.created_at,
            "ttl": new.ttl_seconds,
            "now": now,
            "metadata": json.dumps(new.metadata),
            "keep_source": new.keep_source,
        },
    )
    if not added.rowcount:
        raise SessionExists(new.id)
    return record(living(db, now, new.id))


def renew(db: Connection, now: float, session_id: str) -> None:
    """Lets the time to live begin anew, if it has one."""
    db.execute("UPDATE session SET expires_at = ? + ttl_seconds WHERE id = ?", (now, session_id))


def note_newest_snapshot(db: Connection, session_id: str) -> None:
    """Brings `snapshot_offset` in line with the snapshots."""
    db.execute(
        "UPDATE session SET snapshot_offset = "
        "(SELECT coalesce(max(offset), 0) FROM snapshot WHERE session = :id) WHERE id = :id",
        {"id": session_id},
    )


def sweep(db: Connection, now: float) -> None:
    """Forgets the bytes of expired sessions, and those that expired before the grace period altogether."""
    expired = "FROM session WHERE swept = 0 AND expires_at <= ?"
    for table in ("log", "snapshot"):
        db.execute(f"DELETE FROM {table} WHERE session IN (SELECT id {expired})", (now,))  # noqa: S608 - constants
    db.execute("UPDATE session SET swept = 1 WHERE swept = 0 AND expires_at <= ?", (now,))
    db.execute("DELETE FROM session WHERE swept = 1 AND expires_at <= ?", (now - GRACE_SECONDS,))


def record(row: Row) -> SessionRecord:
    """The row as the rest of the server knows it."""
    columns = {name: row[name] for name in _COLUMNS}
    return SessionRecord(
        **columns, metadata=json.loads(row["metadata"]), keep_source=bool(row["keep_source"])
    )
