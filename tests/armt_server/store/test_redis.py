"""What only the Redis store has: keys, staged copies, an index that is a hint."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis
from worlds import RedisWorld, a_session, all_listed, keys_of

from armt_server.errors import SessionNotFound, StoreUnavailable
from armt_server.store import GRACE_SECONDS
from armt_server.store.redis import RedisStore
from armt_server.store.redis_keys import Part, Stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from armt_server.store import StateStore
    from redis_server import RedisServer


@pytest.fixture
def world(redis_server: RedisServer) -> RedisWorld:
    return RedisWorld(redis_server)


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_server.url) as client:
        yield client


async def test_all_keys_of_a_session_share_a_tag_and_end_together(store: StateStore, redis: Redis):
    session_id = (await store.create(a_session(ttl_seconds=1000))).id
    await store.append(session_id, 0, b"text")
    await store.put_snapshot(session_id, 3, b"memory")
    await store.put_snapshot(session_id, 4, b"memory")
    keys = await keys_of(redis, session_id)
    names = sorted(key.decode().removeprefix(f"armt:{{{session_id}}}:") for key in keys)
    assert names == ["log", "meta", "snap:3", "snap:4", "snaps"]
    times = {key.decode().rpartition("}:")[2]: await redis.pexpiretime(key) for key in keys}
    meta_time = times.pop("meta")
    (ends,) = set(times.values())
    assert meta_time == ends + GRACE_SECONDS * 1000
    assert (await store.get(session_id)).expires_at == ends / 1000


async def test_a_deleted_session_leaves_only_a_short_note(store: StateStore, redis: Redis):
    session_id = (await store.create(a_session())).id
    await store.append(session_id, 0, b"text")
    await store.put_snapshot(session_id, 4, b"memory")
    await store.delete(session_id)
    (note,) = await keys_of(redis, session_id)
    assert 0 < await redis.pttl(note) <= 60_000


async def test_a_fork_leaves_no_staged_keys(store: StateStore, redis: Redis):
    source = (await store.create(a_session())).id
    await store.append(source, 0, b"text")
    await store.put_snapshot(source, 4, b"memory")
    fork = (await store.fork(source, a_session())).id
    keys = await keys_of(redis, fork)
    assert not [key for key in keys if b"stage" in key]
    assert {await redis.pttl(key) for key in keys} == {-1}  # the staging's time to live is gone


async def test_a_fork_whose_staged_keys_vanish_makes_nothing(store: StateStore):
    assert isinstance(store, RedisStore)
    made = a_session()
    part, stage = Part(end=4, snapshots=(4,)), Stage(made.id)  # never copied, as if it had taken too long
    with pytest.raises(StoreUnavailable, match="too long"):
        await store._create(made, part, stage)
    with pytest.raises(SessionNotFound):
        await store.get(made.id)


@pytest.mark.parametrize(
    "seen_before", [Part(end=8), Part(end=8, snapshots=(8, 4)), Part(end=8, log_start=4, snapshots=(4,))]
)
async def test_a_copy_of_what_has_changed_since_is_not_used(store: StateStore, seen_before: Part):
    assert isinstance(store, RedisStore)
    source = (await store.create(a_session())).id
    await store.append(source, 0, b"text")
    await store.append(source, 4, b"more")
    await store.put_snapshot(source, 4, b"memory")
    assert not await store._copied(source, seen_before, Stage(a_session().id))
    assert await store._copied(source, Part(end=8, snapshots=(4,)), Stage(a_session().id))


async def test_a_trim_gives_the_memory_back(store: StateStore, redis: Redis):
    session_id = (await store.create(a_session())).id
    await store.append(session_id, 0, b"text")
    await store.append(session_id, 4, b"more")
    await store.trim_log(session_id, 4)
    assert await redis.xlen(f"armt:{{{session_id}}}:log") == 1
    await store.trim_log(session_id, 8)
    assert await redis.xlen(f"armt:{{{session_id}}}:log") == 0


async def test_a_log_that_the_server_lost_is_told_as_such(store: StateStore, redis: Redis):
    session_id = (await store.create(a_session())).id
    await store.append(session_id, 0, b"text")
    await store.append(session_id, 4, b"more")
    await redis.xdel(f"armt:{{{session_id}}}:log", "4-0")
    with pytest.raises(StoreUnavailable, match="noeviction"):
        await store.read_log(session_id, 0, 10)
    await redis.delete(f"armt:{{{session_id}}}:log")
    with pytest.raises(StoreUnavailable, match="noeviction"):
        await store.read_log(session_id, 5, 10)


async def test_a_list_passes_over_sessions_that_are_only_in_the_index_and_drops_old_ones(
    store: StateStore, redis: Redis
):
    now = time.time()
    ghosts = [f"{round((now - age) * 1e6):020d}:ghost-{now}-{age}" for age in (0, 4000)]
    await redis.zadd("armt:sessions", dict.fromkeys(ghosts, 0))
    record = await store.create(a_session(created_at=now - 5000))
    listed = await all_listed(store, 1)
    assert record.id in listed
    assert not [session_id for session_id in listed if session_id.startswith("ghost")]
    assert await redis.zscore("armt:sessions", ghosts[0]) == 0  # it may be about to be created
    assert await redis.zscore("armt:sessions", ghosts[1]) is None
    await redis.zrem("armt:sessions", ghosts[0])


async def test_numbers_beyond_fifteen_digits_are_kept_exactly(store: StateStore, redis: Redis):
    session_id = (await store.create(a_session())).id
    far = 2**53 - 100
    await redis.hset(f"armt:{{{session_id}}}:meta", mapping={"log_end": far, "log_start": far})
    assert await store.append(session_id, far, b"text") == far + 4
    assert await store.read_log(session_id, far + 1, 10) == b"ext"
    await store.put_snapshot(session_id, far + 3, b"memory")
    assert await store.snapshots(session_id) == [far + 3]
