"""The contract of every store: sessions, their lists, their time to live, their end."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING

import pytest
from worlds import World, a_session, all_listed, whole_log

from armt_server.errors import SessionExists, SessionExpired, SessionNotFound, StoreUnavailable
from armt_server.store import GRACE_SECONDS, MAX_TTL_SECONDS, StateStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HOUR = 3600

EVERY_METHOD: dict[str, Callable[[StateStore, str], Awaitable[object]]] = {
    "get": lambda store, session: store.get(session),
    "update": lambda store, session: store.update(session, metadata={}),
    "touch": lambda store, session: store.touch(session),
    "append": lambda store, session: store.append(session, 0, b"x"),
    "append nothing": lambda store, session: store.append(session, 0, b""),
    "read_log": lambda store, session: store.read_log(session, 0, 1),
    "trim_log": lambda store, session: store.trim_log(session, 1),
    "put_snapshot": lambda store, session: store.put_snapshot(session, 1, b"x"),
    "snapshots": lambda store, session: store.snapshots(session),
    "get_snapshot": lambda store, session: store.get_snapshot(session, 1),
    "delete_snapshot": lambda store, session: store.delete_snapshot(session, 1),
    "fork": lambda store, session: store.fork(session, a_session()),
    "delete": lambda store, session: store.delete(session),
}
every_method = pytest.mark.parametrize("method", EVERY_METHOD.values(), ids=EVERY_METHOD.keys())


def test_every_store_speaks_the_protocol(store: StateStore):
    assert isinstance(store, StateStore)


async def test_a_created_session_is_given_back_as_it_was_asked_for(store: StateStore):
    asked = a_session(metadata={"book": "Emma é \n"}, keep_source=True)
    assert await store.create(asked) == asked
    assert await store.get(asked.id) == asked


async def test_a_session_begins_empty_whatever_offsets_the_record_names(store: StateStore):
    created = await store.create(a_session(log_end=9, log_start=3, snapshot_offset=5, expires_at=1.0))
    assert (created.log_end, created.log_start, created.snapshot_offset) == (0, 0, 0)
    assert created.expires_at is None


async def test_an_id_is_taken_only_once(store: StateStore, session_id: str):
    await store.append(session_id, 0, b"kept")
    with pytest.raises(SessionExists):
        await store.create(a_session(session_id))
    assert await whole_log(store, session_id) == b"kept"
    assert (await all_listed(store, 1)).count(session_id) == 1


@pytest.mark.parametrize("name", ["with:colon", "{braces}", "a}:meta", "ü ☃", "'; DROP TABLE session", " "])
async def test_any_text_may_name_a_session(store: StateStore, name: str):
    name += uuid.uuid4().hex
    await store.create(a_session(name))
    await store.append(name, 0, b"abc")
    await store.put_snapshot(name, 3, b"memory")
    assert (await store.get(name)).id == name
    assert name in await all_listed(store, 100)
    await store.delete(name)
    assert name not in await all_listed(store, 100)


@every_method
async def test_an_unknown_session_is_not_found(
    store: StateStore, method: Callable[[StateStore, str], Awaitable[object]]
):
    with pytest.raises(SessionNotFound):
        await method(store, "never-was")


@every_method
async def test_a_deleted_session_is_not_found_and_does_not_come_back(
    store: StateStore, session_id: str, method: Callable[[StateStore, str], Awaitable[object]]
):
    await store.append(session_id, 0, b"text")
    await store.put_snapshot(session_id, 4, b"memory")
    await store.delete(session_id)
    with pytest.raises(SessionNotFound):
        await method(store, session_id)
    with pytest.raises(SessionNotFound):
        await store.get(session_id)


async def test_an_id_can_be_used_anew_after_deletion_and_starts_empty(store: StateStore, session_id: str):
    await store.append(session_id, 0, b"text")
    await store.put_snapshot(session_id, 4, b"memory")
    await store.delete(session_id)
    created = await store.create(a_session(session_id))
    assert (created.log_end, created.snapshot_offset) == (0, 0)
    assert await store.snapshots(session_id) == []
    assert await store.append(session_id, 0, b"new") == 3
    assert await whole_log(store, session_id) == b"new"
    assert (await all_listed(store, 1)).count(session_id) == 1


async def test_sessions_are_listed_newest_first_in_pages_that_neither_miss_nor_repeat(store: StateStore):
    now = time.time()
    made = [await store.create(a_session(created_at=now + i)) for i in range(5)]
    twins = [await store.create(a_session(created_at=now - 1)) for _ in range(2)]
    newest_first = [record.id for record in reversed(made)]
    newest_first += sorted((twin.id for twin in twins), reverse=True)
    ours = set(newest_first)
    for limit in (1, 2, 3, 100):
        assert [listed for listed in await all_listed(store, limit) if listed in ours] == newest_first


async def test_a_page_tells_if_more_follow(store: StateStore):
    future = time.time() + 10**6  # newer than what other tests have made
    first, second = [await store.create(a_session(created_at=future - i)) for i in range(2)]
    page, more = await store.list(1)
    assert (page, more) == ([first], True)
    page, more = await store.list(1, first.id)
    assert page == [second]
    for record in (first, second):
        await store.delete(record.id)


async def test_a_page_after_an_unknown_session_is_refused(store: StateStore):
    with pytest.raises(SessionNotFound):
        await store.list(1, "never-was")


async def test_an_update_replaces_the_metadata_and_nothing_else(store: StateStore):
    created = await store.create(a_session(metadata={"a": "1"}, ttl_seconds=HOUR))
    updated = await store.update(created.id, metadata={"b": "2"})
    assert updated.metadata == {"b": "2"}
    assert updated.expires_at == created.expires_at
    assert await store.get(created.id) == updated


async def test_an_update_of_nothing_changes_nothing(store: StateStore, session_id: str):
    assert await store.update(session_id) == await store.get(session_id)


async def test_a_time_to_live_can_be_set_changed_and_taken_away(store: StateStore, session_id: str):
    await store.append(session_id, 0, b"text")
    await store.put_snapshot(session_id, 4, b"memory")
    for seconds in (HOUR, 2 * HOUR, MAX_TTL_SECONDS):
        updated = await store.update(session_id, ttl_seconds=seconds)
        assert updated.ttl_seconds == seconds
        assert updated.expires_at == pytest.approx(time.time() + seconds, abs=30)
    updated = await store.update(session_id, ttl_seconds=None)
    assert (updated.ttl_seconds, updated.expires_at) == (None, None)


async def test_a_time_to_live_taken_away_never_ends(store: StateStore, world: World):
    session_id = (await store.create(a_session(ttl_seconds=HOUR))).id
    await store.append(session_id, 0, b"text")
    await store.put_snapshot(session_id, 4, b"memory")
    await store.update(session_id, ttl_seconds=None)
    await world.let_pass(2 * HOUR, session_id)
    assert await whole_log(store, session_id) == b"text"
    assert await store.get_snapshot(session_id, 4) == b"memory"


@every_method
async def test_an_expired_session_is_told_from_an_unknown_one_for_a_day(
    store: StateStore, world: World, method: Callable[[StateStore, str], Awaitable[object]]
):
    session_id = (await store.create(a_session(ttl_seconds=HOUR))).id
    await store.append(session_id, 0, b"text")
    await store.put_snapshot(session_id, 4, b"memory")
    await world.let_pass(HOUR + 1, session_id)
    with pytest.raises(SessionExpired):
        await method(store, session_id)
    await world.let_pass(GRACE_SECONDS, session_id)
    with pytest.raises(SessionNotFound):
        await method(store, session_id)


async def test_an_expired_session_is_not_listed_and_its_id_stays_taken_for_a_day(
    store: StateStore, world: World
):
    session_id = (await store.create(a_session(ttl_seconds=HOUR))).id
    assert session_id in await all_listed(store, 100)
    await world.let_pass(HOUR + 1, session_id)
    assert session_id not in await all_listed(store, 100)
    with pytest.raises(SessionExists):
        await store.create(a_session(session_id))
    await world.let_pass(GRACE_SECONDS, session_id)
    assert session_id not in await all_listed(store, 100)
    await store.create(a_session(session_id))
    assert session_id in await all_listed(store, 100)


async def test_a_forgotten_id_can_be_used_anew_and_starts_empty(store: StateStore, world: World):
    session_id = (await store.create(a_session(ttl_seconds=HOUR))).id
    await store.append(session_id, 0, b"text")
    await world.let_pass(HOUR + GRACE_SECONDS + 1, session_id)
    await store.create(a_session(session_id))
    assert await store.append(session_id, 0, b"new") == 3
    assert await whole_log(store, session_id) == b"new"


@pytest.mark.parametrize("renewal", ["append", "append again", "append nothing", "touch"])
async def test_use_renews_the_whole_session(store: StateStore, world: World, renewal: str):
    session_id = (await store.create(a_session(ttl_seconds=HOUR))).id
    await store.append(session_id, 0, b"text")
    await store.put_snapshot(session_id, 4, b"memory")
    await world.let_pass(HOUR - 60, session_id)
    match renewal:
        case "append":
            await store.append(session_id, 4, b"!")
        case "append again":
            await store.append(session_id, 0, b"text")
        case "append nothing":
            await store.append(session_id, 4, b"")
        case "touch":
            await store.touch(session_id)
    await world.let_pass(HOUR - 60, session_id)
    assert (await whole_log(store, session_id)).startswith(b"text")
    assert await store.get_snapshot(session_id, 4) == b"memory"


@pytest.mark.parametrize("reading", ["get", "read_log", "get_snapshot", "update", "put_snapshot"])
async def test_looking_does_not_renew(store: StateStore, world: World, reading: str):
    session_id = (await store.create(a_session(ttl_seconds=HOUR))).id
    await store.append(session_id, 0, b"text")
    await store.put_snapshot(session_id, 4, b"memory")
    await world.let_pass(HOUR - 60, session_id)
    await EVERY_METHOD[reading](store, session_id)
    await world.let_pass(61, session_id)
    with pytest.raises(SessionExpired):
        await store.get(session_id)


async def test_a_store_answers_until_it_is_closed_and_closing_again_does_nothing(world: World):
    store = await world.open()
    await store.ping()
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.ping()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.append("any", 0, b"x")


async def test_a_call_that_is_cancelled_ends_at_whatever_moment(store: StateStore, session_id: str):
    async def two_calls() -> None:
        await store.get(session_id)
        await store.touch(session_id)

    for moment in range(200):
        calling = asyncio.create_task(two_calls())
        for _ in range(moment % 20):
            await asyncio.sleep(0)
        if calling.cancel():
            with pytest.raises(asyncio.CancelledError):
                await calling
