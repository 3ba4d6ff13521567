"""The models that ship, in the sessions that serve them."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest
import torch
from workers import Worker, working

from armt import checkpoint
from armt.checkpoint import SHIPPED, Checkpoint
from armt.decode import decode
from armt_lab import babilong, prose
from armt_lab.babi import samples
from armt_lab.evaluate import renamed
from armt_lab.words import TASKS
from armt_lab.world import story

if TYPE_CHECKING:
    from collections.abc import Iterable

    from armt_lab.babilong import Composed

MEGABYTE = 1_000_000
AS_CERTAIN_AS_SHIPPED = 0.9


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request: pytest.FixtureRequest) -> Checkpoint:
    return checkpoint.load(request.param, device="cpu", dtype="float32")


def texts(count: int, length: int, seed: int, task: str = "qa1") -> list[Composed]:
    rng = random.Random(seed)
    told = list(samples(story(task, rng) for _ in range(count)))
    return [
        babilong.compose(sample, prose.sentences(rng), length, babilong.utf8_length, rng)
        for sample in rng.sample(told, count)
    ]


def test_they_are_small() -> None:
    for folder in SHIPPED.values():
        assert sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) <= 10 * MEGABYTE


@pytest.mark.parametrize("task", TASKS)
async def test_it_answers_from_text_that_it_read_long_before(
    url: str, shipped: Checkpoint, task: str
) -> None:
    right = 0
    asked = texts(40, 8_000, seed=1, task=task)
    async with working(url, checkpoint=shipped, decode=decode) as worker:
        for text in asked:
            session_id = await worker.create()
            await worker.append(session_id, text.text)
            right += (await worker.ask(session_id, text.question)).text == text.answer
    assert right >= AS_CERTAIN_AS_SHIPPED * len(asked)


@pytest.mark.parametrize("task", TASKS)
async def test_the_one_for_open_words_answers_in_words_that_training_told_of_nowhere(
    url: str, task: str
) -> None:
    right, rng = 0, random.Random(4)
    told = [renamed(sample, rng) for sample in samples(story(task, rng) for _ in range(20))][:40]
    async with working(url, checkpoint=checkpoint.load("open", device="cpu"), decode=decode) as worker:
        for sample in told:
            session_id = await worker.create()
            await worker.append(session_id, " ".join(sample.facts))
            right += (await worker.ask(session_id, sample.question)).text == sample.answer
    assert right >= AS_CERTAIN_AS_SHIPPED * len(told)


@torch.inference_mode()
def test_what_a_book_tells_in_every_round_does_not_add_up_for_ever(shipped: Checkpoint) -> None:
    assert shipped.tokenizer is not None
    told = "Joe took the word. She took the lower road, finding no entrance save a locked wooden door. " * 4
    ids = torch.tensor(shipped.tokenizer.encode(told)).unsqueeze(0)[:, : shipped.model.config.segment_size]
    state, lengths = shipped.model.empty_state(), []
    for _ in range(40):
        state = shipped.model.absorb(ids, state)
        lengths.append(float(state.W.norm()))
    assert lengths[39] <= 1.05 * lengths[19]


async def test_one_piece_single_bytes_and_random_pieces_give_the_same_ids_and_the_same_memory(
    url: str, shipped: Checkpoint
) -> None:
    [text] = texts(1, 3_000, seed=2)
    data = (text.text + " Émile était là. 猫が来た。").encode()
    rng = random.Random(3)
    cuts = sorted({0, len(data), *(rng.randrange(len(data)) for _ in range(25))})

    async def read(worker: Worker, pieces: Iterable[bytes]) -> tuple[tuple[int, ...], torch.Tensor]:
        session_id = await worker.create()
        for piece in pieces:
            await worker.append(session_id, piece)
        await worker.read(session_id)
        resident = worker.sessions._absorber.find(session_id)
        assert resident is not None
        folded = resident.folded
        assert folded.offset == len(data)
        rest = shipped.tokenizer.finish(folded.text) if shipped.tokenizer else []
        return (*folded.tail_ids, *rest), folded.memory.W

    async with working(url, checkpoint=shipped, decode=decode) as worker:
        ids, memory = await read(worker, [data])
        for pieces in (
            [data[i : i + 1] for i in range(len(data))],
            [data[a:b] for a, b in itertools.pairwise(cuts)],
        ):
            other_ids, other_memory = await read(worker, pieces)
            assert other_ids == ids
            # Read ahead in batches of other shapes, and so not to the bit on every processor.
            torch.testing.assert_close(other_memory, memory, rtol=1e-4, atol=1e-5)
    assert memory.abs().sum() > 0
