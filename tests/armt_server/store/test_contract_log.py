"""The contract of every store: the log."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
from worlds import World, a_session, whole_log

from armt_server.errors import LogTrimmed, OffsetMismatch

if TYPE_CHECKING:
    from armt_server.store import StateStore


async def test_appended_bytes_are_read_back_in_order_by_any_worker(
    store: StateStore, other_worker: StateStore, session_id: str
):
    every_byte = bytes(range(256))
    assert await store.append(session_id, 0, every_byte) == 256
    assert await other_worker.append(session_id, 256, b"\r\n\0 and so on") == 269
    assert await whole_log(store, session_id) == every_byte + b"\r\n\0 and so on"
    assert (await other_worker.get(session_id)).log_end == 269


async def test_what_was_acknowledged_is_there_after_the_store_is_opened_again(world: World):
    before = await world.open()
    session_id = (await before.create(a_session())).id
    await before.append(session_id, 0, b"durable")
    await before.put_snapshot(session_id, 7, b"memory")
    record = await before.get(session_id)
    await before.close()
    after = await world.open()
    assert await after.get(session_id) == record
    assert await whole_log(after, session_id) == b"durable"
    assert await after.get_snapshot(session_id, 7) == b"memory"
    await after.close()


@pytest.mark.parametrize("offset", [-1, 0, 3, 5, 2**70])
async def test_a_wrong_offset_is_refused_and_names_the_right_one(
    store: StateStore, session_id: str, offset: int
):
    await store.append(session_id, 0, b"text")
    with pytest.raises(OffsetMismatch) as refused:
        await store.append(session_id, offset, b"more")
    assert refused.value.current == 4
    assert await whole_log(store, session_id) == b"text"


async def test_the_last_append_sent_again_is_recognised_and_not_added(store: StateStore, session_id: str):
    await store.append(session_id, 0, b"one ")
    assert await store.append(session_id, 4, b"two") == 7
    for _ in range(2):
        assert await store.append(session_id, 4, b"two") == 7
    assert await whole_log(store, session_id) == b"one two"
    assert await store.append(session_id, 7, b"!") == 8


@pytest.mark.parametrize(
    ("offset", "data"),
    [(4, b"TWO"), (4, b"tw"), (4, b"two!"), (4, b""), (0, b"one "), (0, b"one two"), (3, b" two")],
)
async def test_only_the_very_same_append_is_recognised(
    store: StateStore, session_id: str, offset: int, data: bytes
):
    await store.append(session_id, 0, b"one ")
    await store.append(session_id, 4, b"two")
    with pytest.raises(OffsetMismatch):
        await store.append(session_id, offset, data)
    assert await whole_log(store, session_id) == b"one two"


async def test_the_last_append_is_recognised_after_its_bytes_were_trimmed(store: StateStore, session_id: str):
    await store.append(session_id, 0, b"text")
    await store.trim_log(session_id, 4)
    assert await store.append(session_id, 0, b"text") == 4


async def test_appending_nothing_at_the_end_adds_nothing(store: StateStore, session_id: str):
    assert await store.append(session_id, 0, b"") == 0
    assert await store.append(session_id, 0, b"text") == 4
    assert await store.append(session_id, 4, b"") == 4
    assert await store.append(session_id, 0, b"text") == 4


async def test_of_concurrent_appends_at_one_offset_exactly_one_wins(
    store: StateStore, other_worker: StateStore, session_id: str
):
    rivals = [f"rival {i};".encode() for i in range(10)]
    end = 0
    for _ in range(5):
        outcomes = await asyncio.gather(
            *((store, other_worker)[i % 2].append(session_id, end, data) for i, data in enumerate(rivals)),
            return_exceptions=True,
        )
        winners = [data for data, outcome in zip(rivals, outcomes, strict=True) if isinstance(outcome, int)]
        refusals = [outcome for outcome in outcomes if isinstance(outcome, OffsetMismatch)]
        assert len(winners) == 1
        assert len(refusals) == len(rivals) - 1
        assert await whole_log(store, session_id, end) == winners[0]
        end += len(winners[0])
        assert {refusal.current for refusal in refusals} == {end}


async def test_one_append_sent_many_times_at_once_is_added_once(
    store: StateStore, other_worker: StateStore, session_id: str
):
    sent = (worker.append(session_id, 0, b"same") for worker in (store, other_worker) * 5)
    assert set(await asyncio.gather(*sent)) == {4}
    assert await whole_log(store, session_id) == b"same"


async def test_any_stretch_can_be_read_also_from_inside_an_append(store: StateStore, session_id: str):
    pieces = [b"a", b"bcdef", b"gh", b"i" * 100, b"jklmnopqrs"]
    text = b"".join(pieces)
    offset = 0
    for piece in pieces:
        offset = await store.append(session_id, offset, piece)
    for start in range(len(text) + 1):
        for limit in (1, 2, 7, 1000):
            assert await store.read_log(session_id, start, limit) == text[start : start + limit]


@pytest.mark.parametrize("start", [4, 5, 2**40])
async def test_reading_at_or_past_the_end_gives_nothing(store: StateStore, session_id: str, start: int):
    await store.append(session_id, 0, b"text")
    assert await store.read_log(session_id, start, 10) == b""


async def test_a_large_append_and_thousands_of_small_ones_are_read_back_whole(
    store: StateStore, session_id: str
):
    large = random.Random(1).randbytes(3 * 2**20)
    offset = await store.append(session_id, 0, large)
    for i in range(300):
        offset = await store.append(session_id, offset, b"%03d" % i)
    small = b"".join(b"%03d" % i for i in range(300))
    assert await whole_log(store, session_id, limit=2**19) == large + small
    assert await whole_log(store, session_id, start=len(large) + 10) == small[10:]


async def test_a_trim_drops_whole_appends_and_tells_where_the_log_now_starts(
    store: StateStore, session_id: str
):
    offset = 0
    for piece in (b"one ", b"two ", b"three"):
        offset = await store.append(session_id, offset, piece)
    for before, log_start in [(0, 0), (3, 0), (-5, 0), (4, 4), (7, 4), (2, 4), (8, 8), (12, 8), (13, 13)]:
        await store.trim_log(session_id, before)
        record = await store.get(session_id)
        assert (record.log_start, record.log_end) == (log_start, 13)
        assert await whole_log(store, session_id, log_start) == b"one two three"[log_start:]
        if log_start:
            with pytest.raises(LogTrimmed):
                await store.read_log(session_id, log_start - 1, 1)
    assert await store.append(session_id, 13, b"!") == 14
    assert await whole_log(store, session_id, 13) == b"!"


async def test_a_trim_past_the_end_stops_at_the_end(store: StateStore, session_id: str):
    await store.append(session_id, 0, b"text")
    await store.trim_log(session_id, 2**40)
    assert (await store.get(session_id)).log_start == 4
    assert await store.append(session_id, 4, b"more") == 8
    assert await whole_log(store, session_id, 4) == b"more"


async def test_a_cancelled_append_leaves_the_store_usable(store: StateStore, session_id: str):
    for _ in range(20):
        task = asyncio.create_task(store.append(session_id, 0, b"text"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await store.append(session_id, 0, b"text") == 4
    assert await whole_log(store, session_id) == b"text"
