"""How the Redis store names its keys and writes down a session: plain values, no server."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import uuid4

from armt_server.errors import SessionExpired, SessionNotFound
from armt_server.store.base import SessionRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

INDEX: Final = "armt:sessions"
"""Sorted set for listing, all scores 0: its members are ordered by time of creation, then by id."""

Meta: TypeAlias = "Mapping[bytes, bytes]"
"""The fields of a session's hash."""

_DIGITS: Final = 20


def key(session_id: str, part: str) -> str:
    """The key of a part of a session; all parts share a hash tag, so a cluster keeps them together."""
    return f"armt:{{{session_id}}}:{part}"


def index_member(session_id: str, created_at: float) -> bytes:
    """A session's entry in the index; `created_at` is unix time in seconds."""
    return f"{round(created_at * 1e6):0{_DIGITS}d}:{session_id}".encode()


def indexed(member: bytes) -> tuple[str, float]:
    """The session id and the time of creation of an entry in the index."""
    return member[_DIGITS + 1 :].decode(), int(member[:_DIGITS]) / 1e6


def fields(new: SessionRecord, part: Part) -> dict[str, str]:
    """The hash of a new session that starts with `part` of another."""
    return {
        "id": new.id,
        "model": new.model,
        "created_at": repr(new.created_at),
        "metadata": json.dumps(new.metadata),
        "keep_source": str(int(new.keep_source)),
        "log_end": str(part.end),
        "log_start": str(part.log_start),
        "snapshot_offset": str(max(part.snapshots, default=0)),
    }


def record(session_id: str, meta: Meta, now: float) -> SessionRecord:
    """The session whose hash this is.

    Raises:
        SessionNotFound: the hash is empty or remembers a deletion.
        SessionExpired: the session ended before `now` (unix seconds).
    """
    if b"id" not in meta:
        raise SessionNotFound(session_id)
    expires_at = int(meta[b"expires_at"]) / 1000 if meta[b"expires_at"] else None
    if expires_at is not None and expires_at <= now:
        raise SessionExpired(session_id)
    return SessionRecord(
        id=session_id,
        model=meta[b"model"].decode(),
        created_at=float(meta[b"created_at"]),
        ttl_seconds=int(meta[b"ttl"]) if meta[b"ttl"] else None,
        expires_at=expires_at,
        metadata=json.loads(meta[b"metadata"]),
        keep_source=meta[b"keep_source"] == b"1",
        log_end=int(meta[b"log_end"]),
        log_start=int(meta[b"log_start"]),
        snapshot_offset=int(meta[b"snapshot_offset"]),
    )


@dataclass(frozen=True, slots=True)
class Part:
    """What of a session goes into a fork: the log from `log_start` to `end`, the snapshots at offsets."""

    end: int = 0
    log_start: int = 0
    snapshots: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """Keys of a session that does not exist yet, under the tag that it will have."""

    session_id: str
    token: str = field(default_factory=lambda: uuid4().hex)

    @property
    def log(self) -> str:
        """The staged log."""
        return key(self.session_id, f"stage:{self.token}:log")

    def snapshot(self, offset: int) -> str:
        """The staged snapshot at `offset`."""
        return key(self.session_id, f"stage:{self.token}:snap:{offset}")

    def keys(self, part: Part) -> list[str]:
        """All keys that `part` takes: those of its snapshots, then the log unless it is empty."""
        log = [self.log] if part.log_start < part.end else []
        return [*map(self.snapshot, part.snapshots), *log]
