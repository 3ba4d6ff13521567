from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_run import drawer_of, trainer_in

from armt_lab.asking import Asker
from armt_lab.grading import grade
from armt_lab.streams import Stream

if TYPE_CHECKING:
    from pathlib import Path

    from armt_lab.streams import Asked
    from armt_lab.trainer import Trainer

SIZE = 60


@pytest.fixture
def trainer(runs: Path) -> Trainer:
    return trainer_in(runs, "asking")


@pytest.fixture
def asker(trainer: Trainer) -> Asker:
    return Asker(trainer.tokenizer)


def stream_of(trainer: Trainer, seed: int) -> Stream:
    return Stream(drawer_of(trainer).source, trainer.recipe.stages[0], random.Random(seed))


def rows_of(trainer: Trainer, count: int) -> tuple[torch.Tensor, list[list[Asked]]]:
    """Two stories, [2, SIZE], and `count` questions at places within each."""
    streams = [stream_of(trainer, row) for row in range(2)]
    ids = torch.tensor([stream.peek(SIZE) for stream in streams])
    return ids, [stream.questions([stream.pause(20, SIZE) for _ in range(count)]) for stream in streams]


def test_a_question_within_a_text_is_answered_as_if_the_text_ended_there(
    trainer: Trainer, asker: Asker
) -> None:
    ids, rows = rows_of(trainer, 5)
    state = trainer.model.absorb(ids[:, :24], trainer.model.empty_state(2))
    asks = asker.asks(rows)
    together = grade(trainer.model, ids, state, asks)
    losses, right = [], []
    for r, row in enumerate(rows):
        for asked in row:
            alone = asker.asks([[asked]])
            graded = grade(trainer.model, ids[r : r + 1, : asked.place], state.row(r), alone)
            losses.append(graded.loss * len(alone.labels))
            right += alone.right(graded.missed)
    torch.testing.assert_close(together.loss, torch.stack(losses).sum() / len(asks.labels))
    assert asks.right(together.missed) == right


def test_each_question_is_graded_by_all_of_its_answer(trainer: Trainer, asker: Asker) -> None:
    _, rows = rows_of(trainer, 3)
    asks = asker.asks(rows)
    for i, asked in enumerate(a for row in rows for a in row):
        mine = asks.owner == i
        answer = asks.questions == i
        wanted = asks.labels[answer].tolist()
        assert trainer.tokenizer.decode(wanted[:-1]).strip() == asked.question.answer
        assert trainer.tokenizer.id_to_token(wanted[-1]) == "<|end|>"
        assert asks.within[mine].tolist() == list(range(int(mine.sum())))
        row, columns = asks.rows[answer], asks.columns[answer]
        assert (asks.owner[row, columns] == i).all()
        assert asks.ids[row[1:], columns[1:]].tolist() == wanted[:-1]
        assert columns.tolist() == list(range(int(columns[0]), int(columns[0]) + len(wanted)))
        assert asks.topics[i] == asked.topic


def test_a_question_is_right_when_nothing_of_its_answer_was_missed(trainer: Trainer, asker: Asker) -> None:
    _, rows = rows_of(trainer, 3)
    asks = asker.asks(rows)
    assert asks.right(torch.zeros(len(asks.labels), dtype=torch.bool)) == [True] * 6
    for answer, question in enumerate(asks.questions.tolist()):
        missed = torch.zeros(len(asks.labels), dtype=torch.bool)
        missed[answer] = True
        assert asks.right(missed) == [other != question for other in range(6)]


def test_questions_are_asked_where_sentences_end_but_for_a_few(trainer: Trainer) -> None:
    stream = stream_of(trainer, 1)
    stream.peek(200)
    ends = {told.end for told in stream.told}
    places = [stream.pause(30, 200) for _ in range(400)]
    assert all(30 <= place <= 200 for place in places)
    assert 0.7 < sum(place in ends for place in places) / len(places) < 0.95


def test_a_place_knows_what_was_told_before_it_and_no_more(trainer: Trainer) -> None:
    stream = stream_of(trainer, 2)
    stream.peek(400)
    assert stream.questions([0]) == []
    for asked in stream.questions(list(range(10, 400, 7))):
        end = max((stream.fact_ends[i] for i in asked.question.support), default=asked.place)
        assert asked.age == asked.place - end >= 0


def test_the_beginning_of_a_question_can_be_left_to_the_segment_before(
    trainer: Trainer, asker: Asker
) -> None:
    _, rows = rows_of(trainer, 1)
    whole, rest = asker.asks(rows), asker.asks(rows, skip=3)
    begun = asker.begun(rows, 3)
    for r in range(2):
        ids = whole.ids[r][whole.owner[r] == r].tolist()
        assert ids == [*begun[r].tolist(), *rest.ids[r][rest.owner[r] == r].tolist()]
    assert rest.labels.tolist() == whole.labels.tolist()
    assert rest.columns.tolist() == (whole.columns - 3).tolist()


def test_a_row_without_questions_is_padding_alone(trainer: Trainer, asker: Asker) -> None:
    asks = asker.asks([rows_of(trainer, 1)[1][0], []])
    assert (asks.owner[1] == -1).all()
    assert (asks.rows == 0).all()
    assert len(asks.topics) == 1
