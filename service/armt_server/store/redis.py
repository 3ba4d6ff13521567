"""The shared store: one Redis server (6.2 or newer) for any number of workers.

Keys of a session, all with one hash tag: `armt:{id}:meta` hash, `armt:{id}:log` stream whose entry id is the
end offset of the entry's bytes, `armt:{id}:snap:<offset>` values, `armt:{id}:snaps` sorted set of offsets.
The index for listing, `armt:sessions`, lives in another slot: a hint that may name sessions that are gone.

Durability is the server's: with `appendonly yes`, `appendfsync always` keeps every acknowledged append,
`everysec` may lose the last second when the machine (not only the server) fails. `maxmemory-policy` must be
`noeviction`. Opening warns if either is otherwise. Time is the server's, so workers' clocks do not matter.
"""

from __future__ import annotations

import json
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Final, cast
from uuid import uuid4

from armt_server.errors import LogTrimmed, OffsetMismatch, SessionExpired, SessionNotFound, StoreUnavailable
from armt_server.store.base import UNSET, Offsets, Page, SessionRecord, Unset, check_ttl
from armt_server.store.redis_client import RedisClient
from armt_server.store.redis_keys import INDEX, Part, Stage, fields, index_member, indexed, key, record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armt_server.store.redis_keys import Meta

_STALE_SECONDS: Final = 3600.0  # a session may be in the index a moment before it exists, but not this long
_REMEMBER_DELETED_MS: Final = 60_000
_READ_ENTRIES: Final = 4096
_STAGED_MS: Final = 600_000
_FORK_PIECE: Final = 4 * 2**20
_FORK_ATTEMPTS: Final = 10


class RedisStore:
    """A `StateStore` on a Redis server."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    @classmethod
    async def open(cls, url: str) -> RedisStore:
        """Connects to a server.

        Args:
            url: `redis://`, `rediss://` (TLS) or `unix://` address as redis-py reads it; its options, such as
                `?socket_timeout=30`, win over ours.

        Raises:
            BadSettings: the address cannot be read.
            StoreUnavailable: the server cannot be reached.
        """
        return cls(await RedisClient.open(url))

    async def create(self, new: SessionRecord) -> SessionRecord:
        """See `StateStore`."""
        return await self._create(new, Part())

    async def get(self, session_id: str) -> SessionRecord:
        """See `StateStore`."""
        now, [meta] = await self._metas([session_id])
        return record(session_id, meta, now)

    async def list(self, limit: int, after: str | None = None) -> Page:
        """See `StateStore`."""
        assert limit >= 1
        below = b"+"
        if after is not None:
            _, [meta] = await self._metas([after])
            if b"id" not in meta:
                raise SessionNotFound(after)
            below = b"(" + index_member(after, float(meta[b"created_at"]))
        found: list[SessionRecord] = []
        more_in_index = True
        while more_in_index and len(found) <= limit:
            with self._client.told_in_our_words() as redis:
                reply = await redis.zrevrangebylex(INDEX, below, b"-", start=0, num=limit + 1)
            members = cast("Sequence[bytes]", reply)  # replies are not decoded
            found += await self._living(members)
            more_in_index = len(members) > limit
            below = b"(" + members[-1] if members else below
        return found[:limit], len(found) > limit

    async def update(
        self,
        session_id: str,
        *,
        ttl_seconds: int | Unset | None = UNSET,
        metadata: dict[str, str] | Unset = UNSET,
    ) -> SessionRecord:
        """See `StateStore`."""
        args = ["", "", "", ""]
        if ttl_seconds is not UNSET:
            check_ttl(ttl_seconds)
            args[:2] = "ttl", _ttl_text(ttl_seconds)
        if metadata is not UNSET:
            args[2:] = "metadata", json.dumps(metadata)
        await self._client.run("update", session_id, *args)
        return await self.get(session_id)

    async def touch(self, session_id: str) -> None:
        """See `StateStore`."""
        await self._client.run("touch", session_id)

    async def delete(self, session_id: str) -> None:
        """See `StateStore`."""
        (created_at,) = await self._client.run("delete", session_id, uuid4().hex, _REMEMBER_DELETED_MS)
        with self._client.told_in_our_words() as redis:
            await redis.zrem(INDEX, index_member(session_id, float(created_at)))

    async def append(self, session_id: str, offset: int, data: bytes) -> int:
        """See `StateStore`."""
        (log_end,) = await self._client.run("append", session_id, offset, data, sha256(data).hexdigest())
        return int(log_end)

    async def read_log(self, session_id: str, start: int, limit: int) -> bytes:
        """See `StateStore`."""
        assert limit >= 1
        (data,) = await self._client.run("read", session_id, start, limit, _READ_ENTRIES)
        return bytes(data)

    async def trim_log(self, session_id: str, before: int) -> None:
        """See `StateStore`."""
        await self._client.run("trim", session_id, before)

    async def put_snapshot(self, session_id: str, offset: int, data: bytes) -> None:
        """See `StateStore`."""
        assert offset >= 1
        await self._client.run("put_snapshot", session_id, offset, data)

    async def snapshots(self, session_id: str) -> Offsets:
        """See `StateStore`."""
        (offsets,) = await self._client.run("snapshots", session_id)
        return [int(offset) for offset in offsets]

    async def get_snapshot(self, session_id: str, offset: int) -> bytes | None:
        """See `StateStore`."""
        with self._client.told_in_our_words() as redis:
            data = await redis.get(key(session_id, f"snap:{offset}"))
        assert not isinstance(data, str)  # replies are not decoded
        if data is None:
            await self.get(session_id)  # a session that is gone is told from a snapshot that never was
        return data

    async def delete_snapshot(self, session_id: str, offset: int) -> None:
        """See `StateStore`."""
        await self._client.run("delete_snapshot", session_id, offset)

    async def fork(
        self, session_id: str, new_record: SessionRecord, *, offset: int | None = None
    ) -> SessionRecord:
        """See `StateStore`.

        Source and copy may live on different servers of a cluster, so no script can see both: the bytes go
        through this worker to staged keys, and one script then turns these into a session.
        """
        for _ in range(_FORK_ATTEMPTS):
            part = await self._fork_part(session_id, offset)
            stage = Stage(new_record.id)
            try:
                if await self._copied(session_id, part, stage):
                    return await self._create(new_record, part, stage)
            except BaseException:
                with suppress(
                    StoreUnavailable
                ):  # it would vanish by itself, but a full server needs the room
                    await self._unstage(stage, part)
                raise
            await self._unstage(stage, part)
        raise StoreUnavailable(f"session {session_id!r} changes too fast to be copied: try again")

    async def ping(self) -> None:
        """See `StateStore`."""
        with self._client.told_in_our_words() as redis:
            await redis.ping()

    async def close(self) -> None:
        """See `StateStore`."""
        await self._client.close()

    async def _create(self, new: SessionRecord, part: Part, stage: Stage | None = None) -> SessionRecord:
        check_ttl(new.ttl_seconds)
        with (
            self._client.told_in_our_words() as redis
        ):  # first, so that no session is ever missing in the index
            await redis.zadd(INDEX, {index_member(new.id, new.created_at): 0})
        meta = fields(new, part)
        args: list[str | int] = [
            len(meta),
            *(text for item in meta.items() for text in item),
            *part.snapshots,
        ]
        keys = stage.keys(part) if stage else ()
        await self._client.run("create", new.id, uuid4().hex, _ttl_text(new.ttl_seconds), *args, keys=keys)
        return await self.get(new.id)

    async def _fork_part(self, session_id: str, offset: int | None) -> Part:
        source = await self.get(session_id)
        end = source.log_end if offset is None else offset
        if end > source.log_end:
            raise OffsetMismatch(source.log_end)
        snapshots = tuple(at for at in await self.snapshots(session_id) if at <= end)
        if end < source.log_start and end not in snapshots:
            raise LogTrimmed(end, source.log_start)
        return Part(end, min(source.log_start, end), snapshots)

    async def _copied(self, session_id: str, part: Part, stage: Stage) -> bool:
        """Copies to the staged keys; False if the part changed meanwhile: the copy is of no one moment."""
        try:
            whole = await self._copy(session_id, part, stage)
            return whole and part == await self._fork_part(session_id, part.end)
        except LogTrimmed:
            return False

    async def _copy(self, session_id: str, part: Part, stage: Stage) -> bool:
        at = part.log_start
        while at < part.end:
            data = await self.read_log(session_id, at, min(_FORK_PIECE, part.end - at))
            if not data:  # deleted meanwhile, and made again
                return False
            at += len(data)
            await self._client.run("stage", stage.session_id, at, data, _STAGED_MS, keys=[stage.log])
        for offset in part.snapshots:
            snapshot = await self.get_snapshot(session_id, offset)
            if snapshot is None:
                return False
            with self._client.told_in_our_words() as redis:
                await redis.set(stage.snapshot(offset), snapshot, px=_STAGED_MS)
        return True

    async def _unstage(self, stage: Stage, part: Part) -> None:
        if staged := stage.keys(part):
            with self._client.told_in_our_words() as redis:
                await redis.unlink(*staged)

    async def _metas(self, session_ids: Sequence[str]) -> tuple[float, Sequence[Meta]]:
        """The server's time in seconds, and the meta of each session, empty where there is none."""
        with self._client.told_in_our_words() as redis:
            commands = redis.pipeline(transaction=False)
            commands.time()
            for session_id in session_ids:
                commands.hgetall(key(session_id, "meta"))
            (seconds, microseconds), *metas = await commands.execute()
        return seconds + microseconds / 1e6, metas

    async def _living(self, members: Sequence[bytes]) -> Sequence[SessionRecord]:
        """The sessions of these entries of the index; drops entries that have long been of no session."""
        entries = [indexed(member) for member in members]
        now, metas = await self._metas([session_id for session_id, _ in entries])
        living, stale = [], []
        for member, (session_id, created_at), meta in zip(members, entries, metas, strict=True):
            # an id that was used again, or was to be although it was taken, has more than one entry
            if b"id" in meta and member == index_member(session_id, float(meta[b"created_at"])):
                with suppress(SessionExpired):
                    living.append(record(session_id, meta, now))
            elif created_at < now - _STALE_SECONDS:
                stale.append(member)
        if stale:
            with self._client.told_in_our_words() as redis:
                await redis.zrem(INDEX, *stale)
        return living


def _ttl_text(ttl_seconds: int | None) -> str:
    return "" if ttl_seconds is None else str(ttl_seconds)
