"""For each kind of store: where its data are, how workers open it, and how time passes there."""

from __future__ import annotations

import time
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from redis.asyncio import Redis

from armt_server.store import GRACE_SECONDS, SessionRecord, open_store
from armt_server.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from armt_server.store import StateStore
    from redis_server import RedisServer


class World(Protocol):
    async def open(self) -> StateStore:
        """One more worker's store on the same data."""
        ...

    async def let_pass(self, seconds: float, session_id: str) -> None:
        """Makes the session (at least it) that much older."""
        ...


class SqliteWorld:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "armt.db"
        self._ahead = 0.0

    async def open(self) -> SqliteStore:
        return await SqliteStore.open(f"sqlite:///{self.path}", clock=lambda: time.time() + self._ahead)

    async def let_pass(self, seconds: float, session_id: str) -> None:  # noqa: ARG002 - one clock for all
        self._ahead += seconds


class RedisWorld:
    """The clock is the server's; instead of it, everything that is to happen to the session moves nearer."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server

    async def open(self) -> StateStore:
        return await open_store(self.server.url)

    async def let_pass(self, seconds: float, session_id: str) -> None:
        async with Redis.from_url(self.server.url) as redis:
            meta = f"armt:{{{session_id}}}:meta"
            expires_at = await redis.hget(meta, "expires_at")
            if expires_at:
                earlier = int(expires_at) - round(seconds * 1000)
                await redis.hset(meta, "expires_at", str(earlier))
                for key in await keys_of(redis, session_id):
                    await redis.pexpireat(
                        key, earlier + (GRACE_SECONDS * 1000 if key == meta.encode() else 0)
                    )


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[StateStore]:
    store = await open_store(url)
    try:
        yield store
    finally:
        await store.close()


async def keys_of(redis: Redis, session_id: str) -> list[bytes]:
    return [key async for key in redis.scan_iter(f"armt:{{{session_id}}}:*", count=1000)]


def a_session(session_id: str | None = None, **fields: object) -> SessionRecord:
    given = {"id": session_id or uuid.uuid4().hex, "model": "tiny", "created_at": time.time(), **fields}
    return SessionRecord(**given)  # type: ignore[arg-type]  # whatever the test gives


async def whole_log(store: StateStore, session_id: str, start: int = 0, limit: int = 2**20) -> bytes:
    found = b""
    while piece := await store.read_log(session_id, start + len(found), limit):
        assert len(piece) <= limit
        found += piece
    return found


async def all_listed(store: StateStore, limit: int) -> list[str]:
    """The ids on all pages; other tests may have sessions on the same server."""
    found: list[str] = []
    more, after = True, None
    while more:
        page, more = await store.list(limit, after)
        assert len(page) == limit or not more
        for record in page:
            assert record.id not in found
            found.append(record.id)
        after = found[-1] if found else None
    return found
