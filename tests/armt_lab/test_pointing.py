from __future__ import annotations

import dataclasses
import math
import random
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_run import TINY, trainer_in

from armt_lab.pointing import TEMPERATURE, Written
from armt_lab.recipe import Stage
from armt_lab.streams import Stream

if TYPE_CHECKING:
    from pathlib import Path

    from armt_lab.asking import Asks
    from armt_lab.trainer import Trainer

STAGE = Stage(segment=24, segments=2, rows=4, tasks={"qa1": 1, "qa5": 1}, lookahead=0.0, pointing=1.0)
SIZE = 60


@pytest.fixture
def trainer(runs: Path) -> Trainer:
    size = dataclasses.replace(TINY.size, memory_tokens=0, fold_tail=True)
    return trainer_in(runs, "pointing", recipe=dataclasses.replace(TINY, size=size, stages=(STAGE,)))


def asked(trainer: Trainer) -> tuple[torch.Tensor, Asks]:
    """What four stories tell, [4, SIZE], and questions after each."""
    streams = [Stream(trainer.source, STAGE, random.Random(row)) for row in range(4)]
    ids = torch.tensor([stream.peek(SIZE) for stream in streams])
    return ids, trainer.asker.asks([stream.questions([SIZE] * 6) for stream in streams])


def test_each_token_of_an_answer_points_to_itself_in_the_fact_that_gives_it(trainer: Trainer) -> None:
    ids, asks = asked(trainer)
    found = list(zip(*Written(ids, torch.zeros(4, SIZE, 4)).places(asks), strict=True))
    assert found
    for row, column, place in found:
        question = asks.asked[int(asks.owner[row, column])]
        assert question.fact is not None
        assert place in question.fact
        assert ids[row, place] == asks.labels[row, column]
        told = trainer.tokenizer.decode(ids[row, question.fact.start : question.fact.stop].tolist())
        assert question.question.answer in told


def test_what_several_facts_give_or_none_points_nowhere(trainer: Trainer) -> None:
    ids, asks = asked(trainer)
    several = [one for one in asks.asked if len(one.question.support) != 1]
    assert several
    assert all(one.fact is None for one in several)
    nowhere = dataclasses.replace(asks, asked=[dataclasses.replace(one, fact=None) for one in asks.asked])
    keys = torch.ones(4, SIZE, 3)
    assert Written(ids, keys).pointing(torch.ones(*asks.ids.shape, 3), nowhere) is None


def test_keys_that_are_all_alike_cost_as_much_as_a_guess_and_the_right_one_alone_nothing(
    trainer: Trainer,
) -> None:
    ids, asks = asked(trainer)
    keys = torch.zeros(4, SIZE, SIZE)
    queries = torch.ones(*asks.ids.shape, SIZE) * SIZE**-0.5
    alike = Written(ids, keys).pointing(queries, asks)
    assert alike is not None
    assert alike.item() == pytest.approx(math.log(SIZE), abs=1e-4)

    keys[:] = torch.eye(SIZE)
    for row, column, place in zip(*Written(ids, keys).places(asks), strict=True):
        queries[row, column] = torch.eye(SIZE)[place]
    right = Written(ids, keys).pointing(queries, asks)
    assert right is not None
    assert right.item() == pytest.approx(math.log1p((SIZE - 1) * math.exp(-1 / TEMPERATURE)), abs=1e-4)


def test_training_to_point_brings_queries_and_keys_of_a_fact_together(trainer: Trainer) -> None:
    def mean(steps: int) -> float:
        every = [g.pointing for _ in range(steps) for g in trainer.train_step()]
        found = [pointing.item() for pointing in every if pointing is not None]
        return sum(found) / len(found)

    before = mean(8)
    mean(40)
    assert mean(8) < before
