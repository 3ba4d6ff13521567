from __future__ import annotations

import asyncio
import logging
import shutil
from typing import TYPE_CHECKING

import hash_chain
import pytest
import torch
from hash_chain import HashChain, answer_at_once
from workers import PROSE, SOON, Worker, assert_read, working

from armt.sampling import Sampling
from armt.state import MemoryState
from armt_server.errors import SessionNotFound, StoreUnavailable
from armt_server.sessions.reading import FOLD_BYTES
from redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ASKED = Sampling(max_tokens=24)
MEMORY = HashChain().empty_state().nbytes


@pytest.fixture
async def model() -> HashChain:
    return HashChain()


@pytest.fixture
async def worker(url: str, model: HashChain) -> AsyncIterator[Worker]:
    async with working(url, model) as made:
        yield made


async def _absorbing(worker: Worker, model: HashChain) -> str:
    """A session that is being absorbed, and goes on when the gate is opened."""
    session_id = await worker.create()
    model.gate.clear()
    model.arrived.clear()
    await worker.append(session_id, PROSE * 20)
    assert await asyncio.to_thread(model.arrived.wait, SOON)
    return session_id


async def test_sessions_are_absorbed_together(worker: Worker, model: HashChain):
    sessions = [await worker.create() for _ in range(5)]
    model.gate.clear()
    for i, session_id in enumerate(sessions):
        await worker.append(session_id, f"{i} " + PROSE)
    assert await asyncio.to_thread(model.arrived.wait, SOON)
    model.gate.set()
    for i, session_id in enumerate(sessions):
        await worker.read(session_id)
        assert_read(worker, session_id, f"{i} " + PROSE)
    assert max(model.batches) > 1


async def test_the_log_is_fetched_on_while_a_piece_of_it_is_absorbed(
    worker: Worker, model: HashChain, monkeypatch: pytest.MonkeyPatch
):
    text = PROSE * (FOLD_BYTES // len(PROSE.encode()) + 1)
    fetched, on = [], asyncio.Event()
    read_log = worker.store.read_log

    async def noted(session_id: str, start: int, limit: int) -> bytes:
        fetched.append(start)
        if start:
            on.set()
        return await read_log(session_id, start, limit)

    monkeypatch.setattr(worker.store, "read_log", noted)
    session_id = await worker.create()
    model.gate.clear()
    await worker.append(session_id, text)
    async with asyncio.timeout(SOON):
        await on.wait()
    assert fetched == [0, FOLD_BYTES]
    assert model.batches == []  # the first piece waits at the gate
    model.gate.set()
    await worker.read(session_id)
    assert_read(worker, session_id, text)


async def test_a_session_deleted_while_it_is_absorbed_ends_quietly(
    worker: Worker, model: HashChain, caplog: pytest.LogCaptureFixture
):
    session_id = await _absorbing(worker, model)
    asked = asyncio.create_task(worker.ask(session_id))
    await asyncio.sleep(0)
    await worker.sessions.delete(session_id)
    model.gate.set()
    with pytest.raises(SessionNotFound):
        await asked
    await worker.idle()
    assert worker.sessions._absorber.find(session_id) is None
    assert caplog.messages == []


async def test_a_session_deleted_by_another_worker_ends_quietly_too(
    url: str, worker: Worker, model: HashChain, caplog: pytest.LogCaptureFixture
):
    session_id = await _absorbing(worker, model)
    async with working(url) as other:
        await other.sessions.delete(session_id)
    model.gate.set()
    await worker.idle()
    assert worker.sessions._absorber.find(session_id) is None
    with pytest.raises(SessionNotFound):
        await worker.ask(session_id)
    assert caplog.messages == []


async def test_what_goes_wrong_in_the_model_is_told_and_tried_again_when_asked(
    worker: Worker, model: HashChain, caplog: pytest.LogCaptureFixture
):
    session_id = await _absorbing(worker, model)
    right, model.absorb = model.absorb, lambda *_: 1 / 0  # type: ignore[assignment,method-assign]
    model.gate.set()
    await worker.append(session_id, PROSE)
    with pytest.raises(ZeroDivisionError):
        await worker.read(session_id)
    assert f"session {session_id} is not read on" in caplog.text
    model.absorb = right  # type: ignore[method-assign]  # mended
    await worker.read(session_id)
    assert_read(worker, session_id, PROSE * 21)


async def test_a_store_that_goes_away_is_waited_for_and_nothing_is_lost():
    model = HashChain()
    with RedisServer.running() as server:
        async with working(server.url, model, idle_seconds=0.01) as worker:
            session_id = await _absorbing(worker, model)
            await asyncio.to_thread(server.kill)
            model.gate.set()
            with pytest.raises(StoreUnavailable):
                await worker.ask(session_id)
            with pytest.raises(StoreUnavailable):
                await worker.append(session_id, PROSE)
            await asyncio.to_thread(server.start)
            answer = await worker.ask(session_id)
            assert answer.text == answer_at_once(PROSE * 20, "Where?", ASKED)
            await worker.idle()
            assert (await worker.store.get(session_id)).snapshot_offset == len(PROSE.encode()) * 20


async def test_a_worker_closes_in_time_though_its_store_is_gone():
    model = HashChain()
    with RedisServer.running() as server:
        async with working(server.url, model) as worker:
            await _absorbing(worker, model)
            await asyncio.to_thread(server.kill)
            model.gate.set()
            async with asyncio.timeout(SOON):
                await worker.sessions.close(1)
            assert not worker.sessions._absorber._tasks


async def test_what_does_not_fit_is_saved_and_let_go(url: str):
    async with working(url, residency_bytes=2 * MEMORY + 1000) as worker:
        sessions = [await worker.create() for _ in range(4)]
        for i, session_id in enumerate(sessions):
            await worker.append(session_id, f"{i} " + PROSE)
            await worker.read(session_id)
        for session_id in sessions[:2]:
            while (found := worker.sessions._absorber._tasks.get(session_id)) is not None:
                await asyncio.wait((found,), timeout=SOON)
        residents = [(await worker.sessions.status(session_id)).resident for session_id in sessions]
        assert residents == [False, False, True, True]
        assert (await worker.ask(sessions[0])).usage.memory_source == "snapshot"
        for i, session_id in enumerate(sessions):
            expected = answer_at_once(f"{i} " + PROSE, "Where?", ASKED)
            assert (await worker.ask(session_id)).text == expected


async def test_without_any_room_everything_still_works(url: str):
    async with working(url, residency_bytes=0) as worker:
        session_id = await worker.create()
        for i in range(3):
            await worker.append(session_id, PROSE)
            answer = await worker.ask(session_id)
            assert answer.text == answer_at_once(PROSE * (i + 1), "Where?", ASKED)
        await worker.idle()
        status = await worker.sessions.status(session_id)
        assert not status.resident
        assert status.absorbed_offset == len(PROSE.encode()) * 3


async def test_a_store_that_came_back_shorter_is_followed(tmp_path: Path):
    with RedisServer.running() as server:
        async with working(server.url) as worker:
            session_id = await worker.create()
            await worker.append(session_id, PROSE)
            await asyncio.to_thread(server.kill)
            files, copy = server._folder / "appendonlydir", tmp_path / "copy"
            shutil.copytree(files, copy)
            await asyncio.to_thread(server.start)
            await worker.append(session_id, "This is lost. ")
            await worker.read(session_id)
            await asyncio.to_thread(server.kill)
            shutil.rmtree(files)
            shutil.copytree(copy, files)
            await asyncio.to_thread(server.start)
            await worker.append(session_id, "And so it goes on, longer than before. ")
            answer = await worker.ask(session_id)
            expected = PROSE + "And so it goes on, longer than before. "
            assert answer.text == answer_at_once(expected, "Where?", ASKED)


class _OnDevice(MemoryState):
    """A fake: a memory that says it is on a device until it is moved from there."""

    @property
    def device(self) -> torch.device:
        return torch.device("cuda")

    def row(self, i: int) -> MemoryState:
        row = super().row(i)
        return _OnDevice(row.W, row.z, row.segments, row.recent)


class _DeviceChain(HashChain):
    def absorb(self, ids: torch.Tensor, state: MemoryState) -> MemoryState:
        after = super().absorb(ids, state)
        return _OnDevice(after.W, after.z, after.segments, after.recent)


async def test_what_the_device_has_no_room_for_goes_on_living_on_the_host(url: str):
    async with working(url, _DeviceChain(), residency_bytes=2 * MEMORY + 1000) as worker:
        sessions = [await worker.create() for _ in range(4)]
        for session_id in sessions:
            await worker.append(session_id, PROSE)
            await worker.read(session_id)
        absorber = worker.sessions._absorber
        while absorber._moving is not None:
            await asyncio.wait((absorber._moving,), timeout=SOON)
        values = [absorber._residency.peek(session_id) for session_id in sessions]
        assert [value is not None and value.on_host for value in values] == [True, True, False, False]
        expected = answer_at_once(PROSE, "Where?", ASKED)
        assert {(await worker.ask(session_id)).text for session_id in sessions} == {expected}


def test_the_fake_model_tells_order_and_text_apart():
    memories = [
        hash_chain.fold_at_once(text)[0].W
        for text in ("ab cd ef gh ij kl", "cd ab ef gh ij kl", "ab cd ef gi ij kl")
    ]
    assert not any(torch.equal(memories[0], other) for other in memories[1:])


@pytest.fixture(autouse=True)
def _warnings_are_seen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "armt_server")
