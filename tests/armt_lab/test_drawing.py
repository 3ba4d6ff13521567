from __future__ import annotations

import dataclasses
import pickle
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_run import TINY, drawer_of, setup_of, trainer_in

from armt_lab.asking import Asker
from armt_lab.drawing import ACROSS, Drawer, Inline
from armt_lab.streams import NAMELESS

if TYPE_CHECKING:
    from pathlib import Path

    from armt_lab.lessons import Lesson
    from armt_lab.trainer import Trainer

STAGE = TINY.stages[1]


def trainer_of(runs: Path, *, fold_tail: bool = False, lookahead: float = 0.5, threads: int = 1) -> Trainer:
    stage = dataclasses.replace(STAGE, lookahead=lookahead)
    size = dataclasses.replace(TINY.size, fold_tail=fold_tail)
    recipe = dataclasses.replace(TINY, size=size, stages=(stage,))
    return trainer_in(runs, f"drawing-{threads}", threads, recipe)


def another(trainer: Trainer, rows: range, makes: int | None = None) -> Drawer:
    """One that draws from the same text."""
    recipe, config, *_ = setup_of(trainer)
    drawer = Drawer(recipe, config, Asker(trainer.tokenizer), drawer_of(trainer).source, makes)
    drawer.enter(0, 0, rows)
    return drawer


def lengths(lesson: Lesson) -> tuple[int, ...]:
    """How much of each text there is, whichever rows it is of."""
    texts = [*lesson.segments, *(text for look in lesson.looks for text in (look.read, look.text))]
    return tuple(text.shape[1] for text in texts)


def test_where_the_tail_is_folded_segments_are_of_any_length_and_nothing_told_is_in_view(runs: Path) -> None:
    drawer = drawer_of(trainer_of(runs, fold_tail=True, lookahead=0.0))
    lessons = [drawer.draw(step) for step in range(8)]
    found = [ids.shape[1] for lesson in lessons for ids in lesson.segments]
    assert max(found) == STAGE.segment
    assert len({length for length in found if length < STAGE.segment}) > 1
    assert {look.text.shape[1] for lesson in lessons for look in lesson.looks} == {0}


def test_segments_are_the_next_ids_of_the_streams_which_then_are_behind_them(runs: Path) -> None:
    drawer = drawer_of(trainer_of(runs))
    drawer.draw(0)
    went_on = []
    for step in range(1, 4):
        wanted = [stream.peek(2 * STAGE.segment) for stream in drawer.streams]
        places = [stream.base for stream in drawer.streams]
        lesson = drawer.draw(step)
        read = torch.cat(tuple(lesson.segments), dim=1).tolist()
        for kept, ids, other, stream, place in zip(
            lesson.kept.tolist(), read, wanted, drawer.streams, places, strict=True
        ):
            assert (ids == other) == kept
            assert stream.base == (place if kept else 0) + 2 * STAGE.segment
            went_on.append(kept)
    assert any(went_on)


def test_a_segment_is_noise_where_no_fact_is_in_view_and_its_sentences_are_those_in_view(runs: Path) -> None:
    drawer = drawer_of(trainer_of(runs))
    seen = []
    for step in range(6):
        lesson = drawer.draw(step)
        for ids, of_rows, flags in zip(
            lesson.segments, lesson.sentences, lesson.is_noise.tolist(), strict=True
        ):
            for row, sentences, is_noise in zip(ids.tolist(), of_rows, flags, strict=True):
                text = [i for sentence in sentences for i in drawer.source.noise.sentence(sentence)]
                assert bool(sentences) == is_noise
                assert not is_noise or str(row)[1:-1] in str(text)[1:-1]
                seen.append(is_noise)
    assert {True, False} == set(seen)


@pytest.mark.parametrize("fold_tail", [False, True])
def test_lessons_of_so_many_makes_have_texts_of_no_more_sizes_whichever_rows_they_are_of(
    runs: Path, *, fold_tail: bool
) -> None:
    trainer = trainer_of(runs, fold_tail=fold_tail)
    few, others = another(trainer, range(2), makes=4), another(trainer, range(2, 3), makes=4)
    made = [lengths(few.draw(step)) for step in range(40)]
    assert 1 < len(set(made)) <= 4
    assert made == [lengths(others.draw(step)) for step in range(40)]
    assert made[:36] == made[4:]

    drawer = another(trainer, range(3))
    assert len({lengths(drawer.draw(step)) for step in range(40)}) > 4


def test_the_end_of_a_segment_cuts_a_question_in_a_share_of_steps_unless_the_tail_is_folded(
    runs: Path,
) -> None:
    for fold_tail in (False, True):
        drawer = drawer_of(trainer_of(runs, fold_tail=fold_tail))
        lessons = [drawer.draw(step) for step in range(60)]
        cut = sum(len(lesson.looks) == STAGE.segments + 2 for lesson in lessons)  # with one at young sessions
        assert cut == 0 if fold_tail else 0 < cut < 3 * ACROSS * 60


def test_a_row_s_stream_is_the_same_whoever_draws_it(runs: Path) -> None:
    alone, threads = (trainer_of(runs, threads=count).lessons for count in (1, 3))
    assert isinstance(threads, Inline)
    assert [len(drawer.streams) for drawer in threads.drawers] == [1, 1, 1]
    mine, theirs = ([stream.peek(200) for stream in lessons.streams] for lessons in (alone, threads))
    assert mine == theirs
    assert len(set(map(tuple, mine))) == 3


def test_streams_go_on_where_another_run_left_them_with_this_one_s_stage_and_text(runs: Path) -> None:
    first, second = (trainer_of(runs, threads=2).lessons for _ in range(2))
    for _, draw in first.shares(0):
        draw()
    first.miss([3, 5])
    progress = first.progress()
    second.go_on(pickle.loads(pickle.dumps(progress)))
    assert isinstance(second, Inline)
    assert list(second.drawers[0].source.missed) == [3, 5]
    for (_, mine), (_, theirs) in zip(first.shares(1), second.shares(1), strict=True):
        for found, wanted in zip(mine().tensors, theirs().tensors, strict=True):
            assert torch.equal(found, wanted)


def test_a_segment_that_tells_of_nobody_by_name_is_background_of_no_book(runs: Path) -> None:
    trainer = trainer_of(runs)
    stage = dataclasses.replace(STAGE, nameless=0.5, density=(1e-9, 1e-9))
    recipe, config, *_ = setup_of(trainer)
    recipe = dataclasses.replace(recipe, stages=(stage,))
    drawer = Drawer(recipe, config, Asker(trainer.tokenizer), drawer_of(trainer).source)
    drawer.enter(0, 0, range(4))
    lesson = drawer.draw(0)
    assert lesson.is_noise.all()
    assert any(told.sentence == NAMELESS for stream in drawer.streams for told in stream.told)
    shown = [sentence for of_segment in lesson.sentences for view in of_segment for sentence in view]
    assert shown
    assert min(shown) >= 0
