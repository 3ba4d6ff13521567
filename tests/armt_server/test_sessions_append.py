from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hash_chain import HashChain, answer_at_once
from workers import PROSE, SOON, Worker, assert_read, working

from armt.sampling import Sampling
from armt_server.errors import (
    BodyTooLarge,
    ContextFull,
    EmptyBody,
    InvalidRequest,
    InvalidText,
    OffsetMismatch,
    SessionNotFound,
    ShuttingDown,
    TooManyPending,
    UnknownModel,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CAT = "🐈".encode()


@pytest.fixture
async def worker(url: str) -> AsyncIterator[Worker]:
    async with working(url, max_append_bytes=1000, max_pending_bytes=2000) as made:
        yield made


async def test_a_new_session_is_empty_and_belongs_to_the_model(worker: Worker):
    record = await worker.sessions.create(metadata={"title": "Emma"}, ttl_seconds=60, keep_source=True)
    assert (record.model, record.metadata, record.keep_source) == ("hash-chain", {"title": "Emma"}, True)
    status = await worker.sessions.status(record.id)
    assert (status.absorbed_offset, status.segments, status.tokens, status.resident) == (0, 0, 0, False)
    assert status.memory_bytes == HashChain().empty_state().nbytes


async def test_a_session_for_a_model_that_is_not_served_is_refused(worker: Worker):
    with pytest.raises(UnknownModel, match="hash-chain"):
        await worker.create(model="another")


async def test_an_append_is_durable_and_then_absorbed(worker: Worker):
    session_id = await worker.create()
    assert await worker.append(session_id, PROSE) == len(PROSE.encode())
    await worker.read(session_id)
    assert_read(worker, session_id, PROSE)
    status = await worker.sessions.status(session_id)
    assert status.absorbed_offset == status.record.log_end == len(PROSE.encode())
    assert status.tokens >= status.segments * 8 > 0
    assert status.resident


async def test_the_same_append_again_is_recognised(worker: Worker):
    session_id = await worker.create()
    await worker.append(session_id, PROSE, 0)
    assert await worker.append(session_id, PROSE, 0) == len(PROSE.encode())
    await worker.read(session_id)
    assert_read(worker, session_id, PROSE)


async def test_a_repeated_append_that_continues_a_character_is_recognised(worker: Worker):
    session_id = await worker.create()
    await worker.append(session_id, CAT[:2], 0)
    for _ in range(2):
        assert await worker.append(session_id, CAT[2:], 2) == 4


async def test_a_wrong_offset_is_refused_and_names_the_right_one(worker: Worker):
    session_id = await worker.create()
    await worker.append(session_id, "four", 0)
    for offset in (0, 3, 5, 100):
        with pytest.raises(OffsetMismatch) as refused:
            await worker.append(session_id, "more", offset)
        assert refused.value.current == 4
    with pytest.raises(InvalidRequest, match="negative"):
        await worker.append(session_id, "more", -1)


@pytest.mark.parametrize(
    ("before", "data", "offset"),
    [
        ([], b"ab\xff", 2),
        ([b"ab", CAT[:2]], b"x", 2),
        ([b"ab", CAT[:3]], b"\xc3\xa9", 2),
        ([CAT[:1], CAT[1:2], CAT[2:3]], b"\xff", 0),
        ([CAT], b"\x80", 4),
        ([CAT[:2]], CAT[2:] + b"ok\xc0", 6),
    ],
)
async def test_bytes_that_are_not_utf8_are_refused_with_their_offset_and_change_nothing(
    worker: Worker, before: list[bytes], data: bytes, offset: int
):
    session_id = await worker.create()
    for piece in before:
        await worker.append(session_id, piece)
    with pytest.raises(InvalidText) as refused:
        await worker.append(session_id, data)
    assert refused.value.offset == offset
    assert (await worker.sessions.get(session_id)).log_end == sum(map(len, before))


async def test_an_empty_or_too_large_append_is_refused(worker: Worker):
    session_id = await worker.create()
    with pytest.raises(EmptyBody):
        await worker.append(session_id, b"")
    with pytest.raises(BodyTooLarge):
        await worker.append(session_id, b"x" * 1001)
    assert (await worker.sessions.get(session_id)).log_end == 0


async def test_an_unknown_session_is_told(worker: Worker):
    with pytest.raises(SessionNotFound):
        await worker.append("ses_nobody", "text")
    with pytest.raises(SessionNotFound):
        await worker.ask("ses_nobody")
    with pytest.raises(SessionNotFound):
        await worker.read("ses_nobody")


async def test_two_clients_that_add_the_same_text_add_it_twice(worker: Worker):
    session_id = await worker.create()
    ends = await asyncio.gather(*(worker.append(session_id, "same ") for _ in range(4)))
    assert sorted(ends) == [5, 10, 15, 20]


async def test_appends_of_two_workers_without_offsets_all_get_in(url: str, worker: Worker):
    async with working(url) as other:
        session_id = await worker.create()
        texts = [f"{i} " for i in range(10, 30)]
        await asyncio.gather(
            *(
                one.append(session_id, text)
                for i, text in enumerate(texts)
                for one in [(worker, other)[i % 2]]
            )
        )
        log = (await worker.store.read_log(session_id, 0, 1000)).decode()
        assert sorted(log.split()) == sorted(text.strip() for text in texts)
        for one in (worker, other):
            await one.read(session_id)
            assert_read(one, session_id, log)


async def test_one_byte_at_a_time_is_the_same_as_all_at_once(worker: Worker):
    session_id = await worker.create()
    for i, byte in enumerate(PROSE.encode()):
        await worker.append(session_id, bytes([byte]), i)
    await worker.read(session_id)
    assert_read(worker, session_id, PROSE)
    assert (await worker.ask(session_id)).text == answer_at_once(PROSE, "Where?", Sampling(max_tokens=24))


async def test_an_append_is_held_back_while_too_much_is_not_saved_and_goes_on_when_it_is(url: str):
    model = HashChain()
    limits = {"max_append_bytes": 1000, "max_pending_bytes": 1000, "backpressure_seconds": SOON}
    async with working(url, model, **limits) as worker:
        session_id = await worker.create()
        model.gate.clear()
        await worker.append(session_id, "a " * 400, 0)
        held = asyncio.create_task(worker.append(session_id, "b " * 400, 800))
        assert await asyncio.to_thread(model.arrived.wait, SOON)
        assert not held.done()
        model.gate.set()
        assert await asyncio.wait_for(held, SOON) == 1600
        assert (await worker.store.get(session_id)).snapshot_offset >= 600
        await worker.read(session_id)
        assert_read(worker, session_id, "a " * 400 + "b " * 400)


async def test_an_append_for_which_no_room_comes_is_told_to_come_again(url: str):
    model = HashChain()
    async with working(url, model, max_append_bytes=1000, max_pending_bytes=1000) as worker:
        session_id = await worker.create()
        model.gate.clear()
        await worker.append(session_id, "a " * 400, 0)
        with pytest.raises(TooManyPending) as refused:
            await worker.append(session_id, "b " * 400, 800)
        assert int(refused.value.headers["Retry-After"]) >= 1
        assert await worker.append(session_id, "a " * 400, 0) == 800  # a retry needs no room
        assert await worker.append(session_id, "c" * 200, 800) == 1000


async def test_a_session_without_positions_is_full_and_says_so(url: str):
    async with working(url, HashChain(max_segments=2)) as worker:
        session_id = await worker.create()
        await worker.append(session_id, PROSE)
        with pytest.raises(ContextFull, match="start a new session"):
            await worker.read(session_id)
        with pytest.raises(ContextFull):
            await worker.append(session_id, PROSE)
        with pytest.raises(ContextFull):
            await worker.ask(session_id)
        await worker.idle()  # the task does not go on trying
        other = await worker.create()
        await worker.append(other, "short ")
        await worker.ask(other)


async def test_a_closed_worker_takes_no_more(url: str):
    async with working(url) as worker:
        session_id = await worker.create()
        await worker.sessions.close(SOON)
        with pytest.raises(ShuttingDown):
            await worker.append(session_id, PROSE)
        with pytest.raises(ShuttingDown):
            await worker.ask(session_id)
