from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armt_lab import endurance
from armt_lab.babi import Sample
from armt_lab.endurance import Mark
from armt_lab.words import TASKS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("task", TASKS)
def test_a_stream_is_asked_all_that_its_story_answers_the_published_question_among_it(
    data_folder: Path, task: str
) -> None:
    for sample in endurance.pick(data_folder / "babi" / "test", task, streams=20, asked=0, seed=0):
        asked = endurance.questions(task, sample)
        assert (sample.question, sample.answer) in asked
        assert len(dict(asked)) == len(asked)


def test_there_are_as_many_streams_as_it_takes_to_ask_so_many_questions(data_folder: Path) -> None:
    def streams(asked: int) -> list[int]:
        picked = endurance.pick(data_folder / "babi" / "test", "qa2", streams=2, asked=asked, seed=0)
        return [len(endurance.questions("qa2", sample)) for sample in picked]

    assert len(streams(0)) == 2
    assert sum(streams(50)) >= 50 > sum(streams(50)[:-1])


def test_of_rooms_all_is_asked_that_two_facts_say() -> None:
    facts = ("The hallway is south of the office.", "The garden is north of the office.")
    assert endurance.questions("qa4", Sample(facts, "What is south of the office?", "hallway")) == [
        ("What is north of the hallway?", "office"),
        ("What is north of the office?", "garden"),
        ("What is south of the garden?", "office"),
        ("What is south of the office?", "hallway"),
        ("What is the garden north of?", "office"),
        ("What is the hallway south of?", "office"),
        ("What is the office north of?", "hallway"),
        ("What is the office south of?", "garden"),
    ]


def test_tasks_whose_questions_cannot_be_worked_out_are_told() -> None:
    sample = Sample(("John is in the office.",), "Is John in the office?", "yes")
    with pytest.raises(ValueError, match="qa6: a stream can be asked qa1, qa2"):
        endurance.questions("qa6", sample)


def test_totals_are_of_all_streams_of_a_task_and_the_mean_is_of_the_tasks() -> None:
    def mark(task: str, right: int, asked: int) -> Mark:
        answers = [("?", "garden" if i < right else "office", "garden") for i in range(asked)]
        return Mark(task, 0, 0, asked, right, answers, 0.0, 0, 0.0, None, 0)

    streams = [[mark("qa1", 4, 4), mark("qa1", 3, 4)], [mark("qa1", 3, 4)] * 2, [mark("qa4", 0, 2)] * 2]
    table = endurance.totals_table(streams, [1000, 20000])
    columns = [list(column.cells) for column in table.columns]
    assert columns == [
        ["qa1", "qa4", "mean"],
        ["7/8 = 87.5%", "0/2 = 0.0%", "43.8%"],
        ["6/8 = 75.0%", "0/2 = 0.0%", "37.5%"],
    ]
    assert streams[0][1].wrong == [("?", "office", "garden")]


@given(st.lists(st.text(min_size=1)), st.data())
def test_what_a_session_lacks_of_a_piece_and_the_pieces_after_it_complete_the_text(
    pieces: list[str], data: st.DataObject
) -> None:
    whole = "".join(pieces).encode()
    held = data.draw(st.integers(0, len(whole)))
    text = iter(pieces)
    assert whole[:held] + endurance.behind(held, text) + "".join(text).encode() == whole
