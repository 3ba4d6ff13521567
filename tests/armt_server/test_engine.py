from __future__ import annotations

import asyncio
import dataclasses
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import hash_chain
import pytest
import torch
from hash_chain import TOKENIZER, HashChain

import tiny
from armt.codec import Snapshot
from armt.errors import CodecError
from armt.sampling import Sampling
from armt.text import TextState
from armt_server.engine import Engine
from armt_server.errors import ContextFull, MissingModel, ShuttingDown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from armt.state import MemoryState

SIZE = 8
NEVER: frozenset[int] = frozenset()


@asynccontextmanager
async def running(model: HashChain | None = None, **options: object) -> AsyncIterator[Engine]:
    made = Engine(hash_chain.checkpoint(model), **{"decode": hash_chain.decode, **options})  # type: ignore[arg-type]
    try:
        yield made
    finally:
        if model is not None:
            model.gate.set()
        await made.close(30)


def segments(text: str) -> list[list[int]]:
    ids = TOKENIZER.encode(text)
    return [ids[i : i + SIZE] for i in range(0, len(ids) // SIZE * SIZE, SIZE)]


def assert_same(memory: MemoryState, text: str) -> None:
    expected, _ = hash_chain.fold_at_once(text)
    assert torch.equal(memory.W, expected.W)
    assert memory.segments.tolist() == expected.segments.tolist()


async def arrived(model: HashChain) -> None:
    """Until an absorption stands before the closed gate."""
    assert await asyncio.to_thread(model.arrived.wait, 30)


TEXTS = [
    "one segment or so ",
    "a text that is longer than the first ",
    "the last of the three texts is short ",
]


async def test_segments_are_absorbed_in_order_and_the_given_memory_is_left_as_it_is():
    async with running() as engine:
        assert_same(await engine.absorb(segments(TEXTS[1]), engine.empty), TEXTS[1])
        assert not engine.empty.W.any()


async def test_no_segments_are_no_change():
    async with running() as engine:
        assert await engine.absorb([], engine.empty) is engine.empty


async def test_sessions_are_absorbed_in_batches_and_each_as_if_alone():
    model = HashChain()
    async with running(model, max_batch=2) as engine:
        model.gate.clear()
        work = [asyncio.create_task(engine.absorb(segments(text), engine.empty)) for text in TEXTS]
        await arrived(model)
        await asyncio.sleep(0)  # the other two are with the engine by now
        model.gate.set()
        for text, memory in zip(TEXTS, await asyncio.gather(*work), strict=True):
            assert_same(memory, text)
    assert sum(model.batches) == sum(len(segments(text)) for text in TEXTS)
    assert max(model.batches) == 2


async def test_a_session_without_positions_is_told_so_and_its_batch_goes_on():
    model = HashChain(max_segments=3)
    short = TEXTS[0]
    async with running(model) as engine:
        model.gate.clear()
        full = asyncio.create_task(engine.absorb(segments(TEXTS[1]), engine.empty))
        fine = asyncio.create_task(engine.absorb(segments(short), engine.empty))
        await arrived(model)
        model.gate.set()
        assert_same(await fine, short)
        with pytest.raises(ContextFull, match="start a new session"):
            await full


async def test_absorption_that_nobody_awaits_any_more_ends():
    model = HashChain()
    async with running(model) as engine:
        model.gate.clear()
        work = asyncio.create_task(engine.absorb(segments(TEXTS[1]), engine.empty))
        await arrived(model)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        model.gate.set()
        assert_same(await engine.absorb(segments(TEXTS[0]), engine.empty), TEXTS[0])
    assert len(model.batches) == 1 + len(segments(TEXTS[0]))


async def test_an_answer_comes_token_by_token():
    async with running() as engine:
        sampling = Sampling(max_tokens=5)
        got = [token async for token in engine.generate(engine.empty, [1, 2], sampling, NEVER)]
    assert got == list(hash_chain.decode(HashChain(), HashChain().empty_state(), [1, 2], sampling, NEVER))


async def test_an_answer_does_not_wait_for_a_long_absorption():
    model, text = HashChain(), "a long text " * 20
    absorbed = []

    def watching(*_: object, **__: object) -> Iterator[int]:
        for _token in range(8):
            absorbed.append(len(model.batches))
            yield 7

    async with running(model, decode=watching) as engine:
        model.gate.clear()
        work = asyncio.create_task(engine.absorb(segments(text), engine.empty))
        await arrived(model)
        asked = engine.generate(engine.empty, [1], Sampling(), NEVER)
        first = asyncio.ensure_future(anext(asked))
        await asyncio.sleep(0)  # the question is with the engine by now
        model.gate.set()
        assert [await first, *[token async for token in asked]] == [7] * 8
        assert_same(await work, text)
    assert 0 < absorbed[0] < absorbed[-1] < 5  # neither waited for the end of the other


async def test_closing_an_answer_stops_the_work():
    made = 0

    def endless(*_: object, **__: object) -> Iterator[int]:
        nonlocal made
        while True:
            made += 1
            yield 7

    async with running(decode=endless) as engine:
        async with aclosing(engine.generate(engine.empty, [1], Sampling(), NEVER)) as tokens:
            assert await anext(tokens) == 7
        await engine.absorb(segments(TEXTS[0]), engine.empty)  # answers go first: it had turns by now
        before = made
        await engine.absorb(segments(TEXTS[1]), engine.empty)
        assert made == before


async def test_what_fails_in_an_answer_is_raised_where_it_is_read():
    def broken(*_: object, **__: object) -> Iterator[int]:
        yield 7
        raise ValueError("no more")

    async with running(decode=broken) as engine:
        tokens = engine.generate(engine.empty, [1], Sampling(), NEVER)
        assert await anext(tokens) == 7
        with pytest.raises(ValueError, match="no more"):
            await anext(tokens)


async def test_draining_ends_absorption_at_a_segment_boundary_and_answers_at_a_token():
    model = HashChain()

    def endless(*_: object, **__: object) -> Iterator[int]:
        while True:
            yield 7

    async with running(model, decode=endless) as engine:
        tokens = engine.generate(engine.empty, [1], Sampling(), NEVER)
        assert await anext(tokens) == 7
        model.gate.clear()
        work = asyncio.create_task(engine.absorb(segments(TEXTS[1]), engine.empty))
        await arrived(model)
        draining = asyncio.create_task(engine.drain())
        await asyncio.sleep(0)  # it is asked for before the model goes on
        model.gate.set()
        await draining
        with pytest.raises(ShuttingDown):
            await work
        with pytest.raises(ShuttingDown):
            _ = [token async for token in tokens]
        with pytest.raises(ShuttingDown):
            await engine.absorb(segments(TEXTS[0]), engine.empty)
        with pytest.raises(ShuttingDown):
            await anext(engine.generate(engine.empty, [1], Sampling(), NEVER))


async def test_a_drained_engine_still_packs_and_unpacks():
    async with running() as engine:
        memory = await engine.absorb(segments(TEXTS[0]), engine.empty)
        await engine.drain()
        pending = TextState(b"x", started=True)
        snapshot = Snapshot(
            fingerprint=engine.fingerprint, offset=17, tail_ids=(1, 2), text=pending, memory=memory
        )
        back = await engine.unpack(await engine.pack(snapshot))
        assert_same(back.memory, TEXTS[0])
        assert (back.offset, tuple(back.tail_ids), back.text) == (17, (1, 2), pending)
        with pytest.raises(CodecError):
            await engine.unpack(b"not a snapshot")


async def test_a_closed_engine_takes_nothing_and_its_thread_is_gone():
    async with running() as engine:
        await engine.close(30)
        assert not engine._thread.is_alive()
        with pytest.raises(ShuttingDown):
            await engine.absorb(segments(TEXTS[0]), engine.empty)


async def test_closing_gives_up_on_a_step_that_takes_too_long():
    model = HashChain()
    async with running(model) as engine:
        model.gate.clear()
        work = asyncio.create_task(engine.absorb(segments(TEXTS[0]), engine.empty))
        await arrived(model)
        await engine.close(0)
        model.gate.set()
        with pytest.raises(ShuttingDown):
            await work


def test_a_model_without_a_tokenizer_is_refused():
    with pytest.raises(MissingModel, match=r"tokenizer\.json"):
        Engine(dataclasses.replace(hash_chain.checkpoint(), tokenizer=None))


async def test_segments_that_write_nothing_are_read_ahead_and_give_the_same_memory():
    checkpoint = tiny.checkpoint(gate="hard", normalise_write=True, overlap=2)
    for memory in checkpoint.model.memories:
        memory.W_mb.bias.data.fill_(-2.6)  # some segments open a gate, most do not
    text = torch.randint(tiny.VOCABULARY, (60, 8), generator=torch.Generator().manual_seed(0)).tolist()
    engine = Engine(checkpoint)
    try:
        found = await engine.absorb(text, engine.empty)
    finally:
        await engine.close(10)

    expected = engine.empty
    with torch.inference_mode():
        for segment in text:
            expected = checkpoint.model.absorb(torch.tensor([segment]), expected)
    torch.testing.assert_close(found.W, expected.W, rtol=0, atol=1e-5)
    assert found.segments.tolist() == [len(text)]
    assert torch.equal(found.recent, expected.recent)
