from __future__ import annotations

import dataclasses
import multiprocessing
from typing import TYPE_CHECKING

import torch
from tiny_run import TINY, setup_of, trainer_in, weights

from armt.rows import parts
from armt_lab.ahead import DEPTH, MAKES, Ahead
from armt_lab.asking import Asker
from armt_lab.drawing import Drawer
from armt_lab.lessons import join
from armt_lab.source import Source

if TYPE_CHECKING:
    from pathlib import Path

    from armt_lab.lessons import Lesson
    from armt_lab.trainer import Trainer

REHEARSING = dataclasses.replace(
    TINY, stages=tuple(dataclasses.replace(stage, rehearse=0.5) for stage in TINY.stages)
)


def drawers_of(trainer: Trainer, rows: int, count: int) -> list[Drawer]:
    """In this process what the processes have in theirs."""
    recipe, config, _, noise, words = setup_of(trainer)
    drawers = []
    for part in parts(rows, count):
        source = Source.of(trainer.tokenizer, noise, words)
        drawers.append(Drawer(recipe, config, Asker(trainer.tokenizer), source, MAKES))
        drawers[-1].enter(1, 5, range(part.start, part.stop))
    return drawers


def lesson_of(ahead: Ahead, step: int) -> Lesson:
    """As a trainer takes it."""
    [(rows, draw)] = ahead.shares(step)
    lesson = draw()
    ahead.prepare(step)
    assert rows == slice(0, len(lesson.kept))
    return lesson


def assert_same(one: Lesson, other: Lesson) -> None:
    for mine, theirs in zip(one.tensors, other.tensors, strict=True):
        assert torch.equal(mine, theirs)
    assert [look.after for look in one.looks] == [look.after for look in other.looks]
    assert [look.asks.topics for look in one.looks] == [look.asks.topics for look in other.looks]
    assert one.sentences == other.sentences


def test_lessons_drawn_ahead_are_those_of_a_drawer_for_each_process_joined(runs: Path) -> None:
    trainer = trainer_in(runs, "ahead", recipe=REHEARSING)
    ahead, drawers = Ahead(setup_of(trainer), 2), drawers_of(trainer, rows=3, count=2)
    ahead.enter(0, 0, 3)  # what was drawn of a stage that is over is forgotten
    lesson_of(ahead, 0)
    ahead.enter(1, 5, 3)
    missed, seen_again = set(range(200, 210)), set()
    for step in range(5, 15):
        if step == 5 + DEPTH + 1:  # the first that was not under way when they were missed
            for drawer in drawers:
                drawer.source.miss(list(missed))
        lesson = lesson_of(ahead, step)
        assert_same(lesson, join([drawer.draw(step) for drawer in drawers]))
        if step == 5:
            ahead.miss(list(missed))
        seen_again |= missed & {i for rows in lesson.sentences for row in rows for i in row}
    assert seen_again


def test_processes_end_when_nobody_waits_for_their_lessons_any_more(runs: Path) -> None:
    setup = setup_of(trainer_in(runs, "ahead-ended", recipe=REHEARSING))
    others = multiprocessing.active_children()
    ahead = Ahead(setup, 1)
    [process] = [each for each in multiprocessing.active_children() if each not in others]
    ahead.enter(1, 0, 3)
    lesson_of(ahead, 0)
    assert ahead._pipes[0].poll(60)  # the next one is there, and not taken in
    ahead._pipes[0].close()
    process.join(60)
    assert process.exitcode == 0


def drawn_ahead(runs: Path, name: str) -> Trainer:
    trainer = trainer_in(runs, name, recipe=REHEARSING)
    trainer.lessons = Ahead(setup_of(trainer), 2)
    trainer.enter(0)
    return trainer


def test_a_run_whose_lessons_are_drawn_ahead_goes_on_at_the_very_step(runs: Path) -> None:
    whole, part = (drawn_ahead(runs, name) for name in ("ahead-whole", "ahead-part"))
    missed = 0
    for step in range(8):
        if step in (2, 4):  # where a stage ended, and in its midst
            part.save()
            part = drawn_ahead(runs, "ahead-part")
            assert part.resume()
        for trainer in (whole, part):
            marks = trainer.train_step()
            trainer.advance()
            assert marks.asked
        missed += len(part.gates.missed)
    assert part.step == whole.step == 8
    assert missed
    assert part.tokens == whole.tokens
    assert torch.equal(weights(part), weights(whole))
    assert torch.equal(part.state.W, whole.state.W)
