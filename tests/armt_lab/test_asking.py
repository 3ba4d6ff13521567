from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_run import trainer_in

from armt_lab.streams import Stream

if TYPE_CHECKING:
    from pathlib import Path

    from armt_lab.streams import Asked
    from armt_lab.trainer import Trainer

SIZE = 60


@pytest.fixture
def trainer(runs: Path) -> Trainer:
    return trainer_in(runs, "asking")


def rows_of(trainer: Trainer, count: int) -> tuple[torch.Tensor, list[list[Asked]]]:
    """Two stories, [2, SIZE], and `count` questions at places within each."""
    streams = [Stream(trainer.source, trainer.recipe.stages[0], random.Random(row)) for row in range(2)]
    ids = torch.tensor([stream.peek(SIZE) for stream in streams])
    return ids, [stream.questions([stream.pause(20, SIZE) for _ in range(count)]) for stream in streams]


def test_a_question_within_a_text_is_answered_as_if_the_text_ended_there(trainer: Trainer) -> None:
    ids, rows = rows_of(trainer, 5)
    state = trainer.model.absorb(ids[:, :24], trainer.model.empty_state(2))
    together = trainer.asker.grade(trainer.model, ids, state, trainer.asker.asks(rows))
    alone, right = [], []
    for r, row in enumerate(rows):
        for asked in row:
            asks = trainer.asker.asks([[asked]])
            graded = trainer.asker.grade(trainer.model, ids[r : r + 1, : asked.place], state.row(r), asks)
            alone.append(graded.loss * (asks.labels >= 0).sum())
            right += graded.right.tolist()
    answers = (trainer.asker.asks(rows).labels >= 0).sum()
    torch.testing.assert_close(together.loss, torch.stack(alone).sum() / answers)
    assert together.right.tolist() == right


def test_each_question_is_graded_by_all_of_its_answer(trainer: Trainer) -> None:
    _, rows = rows_of(trainer, 3)
    asks = trainer.asker.asks(rows)
    for i, asked in enumerate(a for row in rows for a in row):
        mine = asks.owner == i
        wanted = asks.labels[mine & (asks.labels >= 0)].tolist()
        assert trainer.tokenizer.decode(wanted[:-1]).strip() == asked.question.answer
        assert trainer.tokenizer.id_to_token(wanted[-1]) == "<|end|>"
        assert asks.within[mine].tolist() == list(range(int(mine.sum())))


def test_questions_are_asked_where_sentences_end_but_for_a_few(trainer: Trainer) -> None:
    stream = Stream(trainer.source, trainer.recipe.stages[0], random.Random(1))
    stream.peek(200)
    ends = {told.end for told in stream.told}
    places = [stream.pause(30, 200) for _ in range(400)]
    assert all(30 <= place <= 200 for place in places)
    assert 0.7 < sum(place in ends for place in places) / len(places) < 0.95


def test_a_place_knows_what_was_told_before_it_and_no_more(trainer: Trainer) -> None:
    stream = Stream(trainer.source, trainer.recipe.stages[0], random.Random(2))
    stream.peek(400)
    assert stream.questions([0]) == []
    for asked in stream.questions(list(range(10, 400, 7))):
        end = max((stream.fact_ends[i] for i in asked.question.support), default=asked.place)
        assert asked.age == asked.place - end >= 0


def test_the_beginning_of_a_question_can_be_left_to_the_segment_before(trainer: Trainer) -> None:
    _, rows = rows_of(trainer, 1)
    whole, rest = trainer.asker.asks(rows), trainer.asker.asks(rows, skip=3)
    begun = trainer.asker.begun(rows, 3)
    for r in range(2):
        ids = whole.ids[r][whole.owner[r] == r].tolist()
        assert ids == [*begun[r].tolist(), *rest.ids[r][rest.owner[r] == r].tolist()]


def test_a_row_without_questions_is_padding_alone(trainer: Trainer) -> None:
    asked = rows_of(trainer, 1)[1][0]
    asks = trainer.asker.asks([asked, []])
    assert (asks.owner[1] == -1).all()
    assert (asks.labels[1] < 0).all()
