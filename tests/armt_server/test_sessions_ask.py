from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from hash_chain import LETTERS, TEMPLATE, TOKENIZER, HashChain, answer_at_once, fold_at_once
from hypothesis import given, settings
from hypothesis import strategies as st
from workers import PROSE, SOON, Worker, assert_read, working

from armt.sampling import Sampling
from armt_server.errors import InvalidRequest, QuestionTooLong, ShuttingDown
from armt_server.sessions import Delta
from armt_server.sessions.asking import Transcript

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from armt_server.engine import Decode

ASKED = Sampling(max_tokens=24)


@pytest.fixture
async def worker(url: str) -> AsyncIterator[Worker]:
    async with working(url, max_question_tokens=20, max_answer_tokens=50) as made:
        yield made


def saying(text: str) -> Decode:
    """A fake way of decoding: it says the same whatever it is asked."""

    def decode(
        model: object, state: object, ids: object, sampling: Sampling, stop_ids: object, **_: object
    ) -> Iterator[int]:
        yield from TOKENIZER.encode(text)[: sampling.max_tokens]

    return decode


async def test_an_answer_stands_on_everything_accepted_before_it(worker: Worker):
    session_id = await worker.create()
    for i in range(5):
        await worker.append(session_id, PROSE)
        answer = await worker.ask(session_id)
        assert answer.text == answer_at_once(PROSE * (i + 1), "Where?", ASKED)
        assert answer.usage.context_bytes == len(PROSE.encode()) * (i + 1)
        assert answer.usage.context_tokens == len(TOKENIZER.encode(PROSE * (i + 1)))


async def test_an_answer_stands_on_what_another_worker_accepted(url: str, worker: Worker):
    async with working(url) as other:
        session_id = await worker.create()
        await worker.append(session_id, PROSE)
        await worker.read(session_id)
        await other.append(session_id, "And then she left. ")
        assert (await worker.ask(session_id)).text == (await other.ask(session_id)).text
        assert_read(worker, session_id, PROSE + "And then she left. ")


async def test_a_question_to_an_empty_session_is_answered(worker: Worker):
    session_id = await worker.create()
    answer = await worker.ask(session_id)
    assert answer.text == answer_at_once("", "Where?", ASKED)
    assert (answer.usage.context_bytes, answer.usage.context_tokens) == (0, 0)


async def test_asking_changes_nothing(worker: Worker):
    session_id = await worker.create()
    await worker.append(session_id, PROSE)
    first = await worker.ask(session_id)
    before = await worker.store.get(session_id)
    await worker.ask(session_id, "Who?")
    assert (await worker.ask(session_id)).text == first.text
    assert await worker.store.get(session_id) == before
    assert_read(worker, session_id, PROSE)


async def test_many_questions_at_once_get_their_own_answers(worker: Worker):
    session_id = await worker.create()
    await worker.append(session_id, PROSE)
    questions = [f"Who is {i}?" for i in range(12)]
    answers = await asyncio.gather(*(worker.ask(session_id, question) for question in questions))
    assert [answer.text for answer in answers] == [
        answer_at_once(PROSE, question, ASKED) for question in questions
    ]


async def test_an_incomplete_character_at_the_end_is_left_out_until_it_is_whole(worker: Worker):
    session_id = await worker.create()
    cat = "🐈".encode()
    await worker.append(session_id, b"A cat: " + cat[:2])
    assert (await worker.ask(session_id)).text == answer_at_once("A cat: ", "Where?", ASKED)
    await worker.append(session_id, cat[2:])
    assert (await worker.ask(session_id)).text == answer_at_once("A cat: 🐈", "Where?", ASKED)


async def test_special_tokens_in_a_question_are_plain_text(worker: Worker):
    session_id = await worker.create()
    answer = await worker.ask(session_id, "<|end|>")
    assert answer.usage.prompt_tokens == len("<|end|>") + 2


async def test_usage_tells_where_the_memory_came_from(url: str, worker: Worker):
    session_id = await worker.create(keep_source=True)
    await worker.append(session_id, PROSE)
    usage = (await worker.ask(session_id)).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (8, 24)
    assert 0 <= usage.wait_ms <= usage.total_ms
    async with working(url) as other:
        replayed = (await other.ask(session_id)).usage
        assert replayed.memory_source == "replay"
        assert replayed.segments_replayed == (await other.sessions.status(session_id)).segments > 0
        again = (await other.ask(session_id)).usage
        assert (again.memory_source, again.segments_replayed) == ("resident", 0)
        await other.saved(session_id)
    async with working(url) as third:
        recovered = (await third.ask(session_id)).usage
        assert (recovered.memory_source, recovered.segments_replayed) == ("snapshot", 0)


async def test_a_question_that_is_too_long_is_refused(worker: Worker):
    session_id = await worker.create()
    with pytest.raises(QuestionTooLong, match="21 tokens"):
        await worker.ask(session_id, "x" * 21)
    await worker.ask(session_id, "x" * 20)


async def test_an_answer_longer_than_allowed_is_refused(worker: Worker):
    session_id = await worker.create()
    with pytest.raises(InvalidRequest, match="limit is 50"):
        await worker.ask(session_id, max_tokens=51)


async def test_an_answer_that_is_cut_off_says_so(url: str):
    async with working(url, decode=saying("kitchen")) as worker:
        session_id = await worker.create()
        whole, cut = await worker.ask(session_id, max_tokens=8), await worker.ask(session_id, max_tokens=7)
        assert (whole.text, whole.finish_reason) == ("kitchen", "stop")
        assert (cut.text, cut.finish_reason) == ("kitchen", "length")


@pytest.mark.parametrize(
    ("said", "stop", "text"),
    [
        ("kitchen. And more", (". ",), "kitchen"),
        ("kitchen.", (". ",), "kitchen."),
        ("a kitten", ("kitchen", "itt"), "a k"),
        ("aab and so on", ("aaab", "ab"), "a"),
        ("one<|end|> two", (), "one"),
        ("stop", ("stop",), ""),
        (" \n kitchen", (), "kitchen"),
        ("\nkitchen", ("\n",), ""),
        ("日本語🐈 ok", ("語🐈",), "日本"),
    ],
)
async def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(
    url: str, said: str, stop: tuple[str, ...], text: str
):
    async with working(url, decode=saying(said)) as worker:
        answer = await worker.ask(await worker.create(), stop=stop)
        assert (answer.text, answer.finish_reason) == (text, "stop")


async def test_the_tail_and_the_models_closing_are_told_apart_from_the_question(url: str):
    tails: list[list[int]] = []

    def watching(_model: object, _state: object, ids: list[int], *_: object, told: int) -> Iterator[int]:
        tails.append(ids[:told])
        return iter(())

    async with working(url, decode=watching) as worker:
        session_id = await worker.create()
        await worker.ask(session_id)
        await worker.append(session_id, PROSE)
        await worker.ask(session_id)
    closing = TOKENIZER.encode(TEMPLATE.closing)
    assert tails == [closing, fold_at_once(PROSE)[1] + closing]


async def test_leaving_an_answer_stops_the_work(url: str):
    made: list[int] = []

    def endless(*_: object, **__: object) -> Iterator[int]:
        while True:
            made.append(1)
            yield TOKENIZER.encode("x")[0]

    async with working(url, decode=endless) as worker:
        session_id = await worker.create()
        async with aclosing(worker.sessions.ask(session_id, "Where?", Sampling())) as events:
            assert await anext(events) == Delta("x")
        await worker.append(session_id, PROSE)
        await worker.read(session_id)
        before = len(made)
        await worker.append(session_id, PROSE)
        await worker.read(session_id)
        assert len(made) == before


async def test_a_shutdown_ends_a_running_answer_with_a_reason(url: str):
    def endless(*_: object, **__: object) -> Iterator[int]:
        while True:
            yield TOKENIZER.encode("x")[0]

    async with working(url, decode=endless) as worker:
        events = worker.sessions.ask(await worker.create(), "Where?", Sampling())
        assert await anext(events) == Delta("x")
        await worker.sessions.close(SOON)
        with pytest.raises(ShuttingDown):
            _ = [event async for event in events]


async def test_a_shutdown_ends_a_question_that_waits_for_absorption(url: str):
    model = HashChain()
    async with working(url, model) as worker:
        session_id = await worker.create()
        model.gate.clear()
        await worker.append(session_id, PROSE)
        asked = asyncio.create_task(worker.ask(session_id))
        assert await asyncio.to_thread(model.arrived.wait, SOON)
        closing = asyncio.create_task(worker.sessions.close(SOON))
        await asyncio.sleep(0)
        model.gate.set()
        with pytest.raises(ShuttingDown):
            await asked
        await closing


@settings(deadline=None)
@given(
    st.text([*LETTERS[:3], " ", "é", "🐈", "\ufffd"], max_size=12),
    st.none() | st.text("abcé🐈", min_size=1, max_size=4),
)
def test_the_pieces_of_an_answer_are_its_text_up_to_the_stop(said: str, stop: str | None):
    transcript = Transcript(TOKENIZER, () if stop is None else (stop,))
    pieces = []
    for token in TOKENIZER.encode(said):
        pieces.append(transcript.add(token))
        if transcript.stopped:
            break
    pieces.append(transcript.end())
    expected, found, _ = said.partition(stop) if stop is not None else (said, "", "")
    assert "".join(pieces) == transcript.text == expected.lstrip()
    assert transcript.stopped == bool(found)
