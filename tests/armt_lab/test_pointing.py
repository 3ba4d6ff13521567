from __future__ import annotations

import dataclasses
import math
import random
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_run import TINY, drawer_of, trainer_in

from armt.memory import Key
from armt_lab.asking import Asker
from armt_lab.pointing import IGNORED, TEMPERATURE, pointing
from armt_lab.recipe import Stage
from armt_lab.streams import Asked, Stream
from armt_lab.world import Question

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


def asked(trainer: Trainer) -> tuple[torch.Tensor, list[list[Asked]]]:
    """What four stories tell, [4, SIZE], and questions after each."""
    streams = [Stream(drawer_of(trainer).source, STAGE, random.Random(row)) for row in range(4)]
    ids = torch.tensor([stream.peek(SIZE) for stream in streams])
    return ids, [stream.questions([SIZE] * 6) for stream in streams]


def places_of(asks: Asks) -> torch.Tensor:
    """Which of all queries, row by row, an answer's tokens are read with."""
    return asks.rows * asks.ids.shape[1] + asks.columns


def test_each_token_of_an_answer_points_to_itself_in_the_fact_that_gives_it(trainer: Trainer) -> None:
    ids, rows = asked(trainer)
    every = [one for row in rows for one in row]
    asks = Asker(trainer.tokenizer).asks(rows, first=SIZE, told=ids)
    answers = (asks.told != IGNORED).nonzero().flatten().tolist()
    assert answers
    for answer in answers:
        row, place, question = asks.rows[answer], asks.told[answer], every[asks.questions[answer]]
        assert question.fact is not None
        assert int(place) in question.fact
        assert ids[row, place] == asks.labels[answer]
        told = trainer.tokenizer.decode(ids[row, question.fact.start : question.fact.stop].tolist())
        assert question.question.answer in told


def unnamed(phi: torch.Tensor) -> Key:
    """A key that names no words."""
    return Key(phi, phi[..., :0])


@pytest.mark.parametrize(
    ("asks", "fact", "word", "both_ways"),
    [
        ("Where is Mary? kitchen", " Mary went to the kitchen.", " kitchen", False),
        ("Who has the milk? Mary", " Mary took the milk there.", " milk", False),
        ("Who has the milk? Mary", " Mary took the milk there.", " Mary", True),
    ],
)
def test_an_answer_told_before_the_words_of_its_question_is_kept_at_the_last_of_them_unless_read_both_ways(
    trainer: Trainer, asks: str, fact: str, word: str, *, both_ways: bool
) -> None:
    question, answer = asks.rsplit(maxsplit=1)
    ids = trainer.tokenizer.encode(fact, add_special_tokens=False).ids
    span = range(3, 3 + len(ids))
    one = Asked("qa1", Question(question, answer, ()), 0, span.stop, "", is_open=False, fact=span)
    asker = Asker(trainer.tokenizer, both_ways=both_ways)
    found = asker.asks([[one]], span.stop, told=torch.tensor([[0, 0, 0, *ids]]))
    first, *_, end = found.told.tolist()
    piece = trainer.tokenizer.encode(word, add_special_tokens=False).ids[0 if word[1:] == answer else -1]
    assert first == 3 + ids.index(piece)
    assert end == IGNORED


def test_what_several_facts_give_or_none_points_nowhere(trainer: Trainer) -> None:
    ids, rows = asked(trainer)
    asker = Asker(trainer.tokenizer)
    several = [[one for one in row if len(one.question.support) != 1] for row in rows]
    assert sum(map(len, several)) > 0
    assert all(one.fact is None for row in several for one in row)
    nowhere = [[dataclasses.replace(one, fact=None) for one in row] for row in rows]
    for of_rows, text in ((several, ids), (nowhere, ids), (rows, None)):
        assert (asker.asks(of_rows, first=SIZE, told=text).told == IGNORED).all()

    asks = asker.asks(nowhere, first=SIZE, told=ids)
    keys, queries = torch.ones(4, SIZE, 3), torch.ones(*asks.ids.shape, 3)
    loss, count = pointing([unnamed(queries)], [unnamed(keys)], places_of(asks), asks.told)
    assert (loss.item(), count.item()) == (0.0, 0)


def test_keys_that_are_all_alike_cost_as_much_as_a_guess_and_the_right_one_alone_nothing(
    trainer: Trainer,
) -> None:
    ids, rows = asked(trainer)
    asks = Asker(trainer.tokenizer).asks(rows, first=SIZE, told=ids)
    at, told = places_of(asks), asks.told
    keys = torch.zeros(4, SIZE, SIZE)
    queries = torch.ones(*asks.ids.shape, SIZE) * SIZE**-0.5
    alike, count = pointing([unnamed(queries)], [unnamed(keys)], at, told)
    assert alike.item() == pytest.approx(math.log(SIZE), abs=1e-4)
    assert count == (told != IGNORED).sum() > 0

    keys[:] = torch.eye(SIZE)
    queries.flatten(0, 1)[at[told != IGNORED]] = torch.eye(SIZE)[told[told != IGNORED]]
    right, _ = pointing([unnamed(queries)], [unnamed(keys)], at, told)
    nothing = pytest.approx(math.log1p((SIZE - 1) * math.exp(-1 / TEMPERATURE)), abs=1e-4)
    assert right.item() == nothing


def test_the_words_that_keys_name_are_to_match_too_in_every_memory(trainer: Trainer) -> None:
    ids, rows = asked(trainer)
    asks = Asker(trainer.tokenizer).asks(rows, first=SIZE, told=ids)
    at, told = places_of(asks), asks.told
    keys = torch.eye(SIZE).expand(4, -1, -1)
    queries = torch.zeros(*asks.ids.shape, SIZE)
    queries.flatten(0, 1)[at[told != IGNORED]] = torch.eye(SIZE)[told[told != IGNORED]]
    names = torch.cat((keys, keys), dim=-1)  # both halves name a word
    asked_for = torch.cat((queries, queries), dim=-1)
    silent = torch.zeros_like(names)
    right, _ = pointing([unnamed(queries)], [unnamed(keys)], at, told)

    named, _ = pointing(2 * [Key(queries, asked_for)], 2 * [Key(keys, names)], at, told)
    half, _ = pointing(2 * [Key(queries, asked_for)], [Key(keys, names), Key(keys, silent)], at, told)

    torch.testing.assert_close(named, 2 * right)
    torch.testing.assert_close(half, 1.5 * right + math.log(SIZE) / 2)


def test_training_to_point_brings_queries_and_keys_of_a_fact_together(trainer: Trainer) -> None:
    def mean(steps: int) -> float:
        every = [trainer.train_step().pointing for _ in range(steps)]
        found = [loss for loss in every if loss is not None]
        return sum(found) / len(found)

    before = mean(8)
    mean(40)
    assert mean(8) < before
