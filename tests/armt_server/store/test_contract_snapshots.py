"""The contract of every store: snapshots, and forks, which copy them with the log."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
from worlds import a_session, whole_log

from armt_server.errors import LogTrimmed, OffsetMismatch, SessionExists, SessionNotFound

if TYPE_CHECKING:
    from armt_server.store import StateStore


@pytest.fixture
async def source(store: StateStore, session_id: str) -> str:
    """A session of three appends and two snapshots."""
    for offset, piece in [(0, b"one "), (4, b"two "), (8, b"three")]:
        await store.append(session_id, offset, piece)
    await store.put_snapshot(session_id, 4, b"at four")
    await store.put_snapshot(session_id, 10, b"at ten")
    return session_id


async def test_snapshots_are_kept_by_offset_newest_first(store: StateStore, source: str):
    assert await store.snapshots(source) == [10, 4]
    assert await store.get_snapshot(source, 4) == b"at four"
    assert await store.get_snapshot(source, 10) == b"at ten"
    assert await store.get_snapshot(source, 5) is None
    assert (await store.get(source)).snapshot_offset == 10


async def test_a_session_starts_without_snapshots(store: StateStore, session_id: str):
    assert await store.snapshots(session_id) == []


async def test_an_older_snapshot_put_later_does_not_become_the_newest(store: StateStore, source: str):
    await store.put_snapshot(source, 7, b"at seven")
    assert await store.snapshots(source) == [10, 7, 4]
    assert (await store.get(source)).snapshot_offset == 10


async def test_a_snapshot_at_the_same_offset_replaces_the_one_before(store: StateStore, source: str):
    await store.put_snapshot(source, 4, b"better")
    assert await store.get_snapshot(source, 4) == b"better"
    assert await store.snapshots(source) == [10, 4]


async def test_a_snapshot_past_the_log_is_refused(store: StateStore, source: str):
    with pytest.raises(OffsetMismatch) as refused:
        await store.put_snapshot(source, 14, b"of the future")
    assert refused.value.current == 13
    assert await store.snapshots(source) == [10, 4]


async def test_deleting_snapshots_leaves_the_newest_of_those_left(store: StateStore, source: str):
    for deleted, left in [(5, 10), (10, 4), (10, 4), (4, 0)]:
        await store.delete_snapshot(source, deleted)
        assert (await store.get(source)).snapshot_offset == left
        assert await store.snapshots(source) == [offset for offset in (10, 4) if 0 < offset <= left]


async def test_snapshots_larger_than_a_packet_and_empty_ones_come_back_as_they_were(
    store: StateStore, source: str
):
    large = random.Random(2).randbytes(2**22)
    await store.put_snapshot(source, 12, large)
    await store.put_snapshot(source, 13, b"")
    assert await store.get_snapshot(source, 12) == large
    assert await store.get_snapshot(source, 13) == b""


async def test_a_trim_leaves_snapshots_alone(store: StateStore, source: str):
    await store.trim_log(source, 10)
    assert await store.snapshots(source) == [10, 4]


async def test_a_fork_has_the_whole_log_and_all_snapshots(store: StateStore, source: str):
    asked = a_session(metadata={"of": source}, ttl_seconds=3600)
    fork = await store.fork(source, asked)
    assert (fork.id, fork.metadata, fork.ttl_seconds) == (asked.id, asked.metadata, 3600)
    assert (fork.log_start, fork.log_end, fork.snapshot_offset) == (0, 13, 10)
    assert fork.expires_at is not None
    assert await store.get(fork.id) == fork
    assert await whole_log(store, fork.id) == b"one two three"
    assert await store.get_snapshot(fork.id, 4) == b"at four"
    assert await store.get_snapshot(fork.id, 10) == b"at ten"


@pytest.mark.parametrize(
    ("offset", "snapshots"), [(0, []), (2, []), (4, [4]), (9, [4]), (10, [10, 4]), (13, [10, 4])]
)
async def test_a_fork_at_an_offset_ends_there(
    store: StateStore, source: str, offset: int, snapshots: list[int]
):
    fork = await store.fork(source, a_session(), offset=offset)
    assert (fork.log_start, fork.log_end) == (0, offset)
    assert await whole_log(store, fork.id) == b"one two three"[:offset]
    assert await store.snapshots(fork.id) == snapshots
    assert fork.snapshot_offset == max(snapshots, default=0)


async def test_fork_and_source_go_their_own_ways(store: StateStore, source: str):
    before = await store.get(source)
    fork = await store.fork(source, a_session())
    assert await store.get(source) == before
    await store.append(fork.id, 13, b" four")
    await store.append(source, 13, b" five")
    await store.delete_snapshot(fork.id, 4)
    assert await whole_log(store, fork.id) == b"one two three four"
    assert await whole_log(store, source) == b"one two three five"
    await store.delete(source)
    assert await whole_log(store, fork.id) == b"one two three four"
    assert await store.get_snapshot(fork.id, 10) == b"at ten"


async def test_a_fork_of_a_trimmed_session_starts_where_the_source_does(store: StateStore, source: str):
    await store.trim_log(source, 10)
    fork = await store.fork(source, a_session(), offset=12)
    assert (fork.log_start, fork.log_end, fork.snapshot_offset) == (8, 12, 10)
    assert await whole_log(store, fork.id, 8) == b"thre"


async def test_a_fork_before_the_log_needs_a_snapshot_right_there(store: StateStore, source: str):
    await store.trim_log(source, 10)
    fork = await store.fork(source, a_session(), offset=4)
    assert (fork.log_start, fork.log_end, fork.snapshot_offset) == (4, 4, 4)
    assert await store.append(fork.id, 4, b"anew") == 8
    with pytest.raises(LogTrimmed):
        await store.fork(source, a_session(), offset=5)


async def test_a_fork_past_the_end_is_refused_and_makes_nothing(store: StateStore, source: str):
    asked = a_session()
    with pytest.raises(OffsetMismatch) as refused:
        await store.fork(source, asked, offset=14)
    assert refused.value.current == 13
    with pytest.raises(SessionNotFound):
        await store.get(asked.id)


async def test_a_fork_does_not_overwrite_a_session(store: StateStore, source: str):
    taken = await store.create(a_session())
    await store.append(taken.id, 0, b"mine")
    with pytest.raises(SessionExists):
        await store.fork(source, a_session(taken.id))
    assert await whole_log(store, taken.id) == b"mine"
    assert await store.snapshots(taken.id) == []


async def test_a_fork_taken_while_the_source_grows_and_is_trimmed_is_of_one_moment(
    store: StateStore, other_worker: StateStore
):
    source = (await store.create(a_session())).id
    text = b"".join(b"%02d" % i for i in range(40))

    async def grow() -> None:
        for i in range(40):
            end = await other_worker.append(source, 2 * i, text[2 * i : 2 * i + 2])
            if i % 10 == 9:
                await other_worker.put_snapshot(source, end, b"memory")
                await other_worker.trim_log(source, end)
                await other_worker.delete_snapshot(source, end - 20)

    async with asyncio.TaskGroup() as tasks:
        growing = tasks.create_task(grow())
        while not growing.done():
            fork = await store.fork(source, a_session())
            assert await whole_log(store, fork.id, fork.log_start) == text[fork.log_start : fork.log_end]
            assert fork.log_start <= fork.snapshot_offset <= fork.log_end  # so its memory can be made
            if fork.snapshot_offset:
                assert await store.get_snapshot(fork.id, fork.snapshot_offset) == b"memory"
