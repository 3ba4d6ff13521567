from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import TINY, drawer_of, setup_of, trainer_in

from armt.keys import Key
from armt.state import MemoryState
from armt_lab.asking import Asker
from armt_lab.drawing import Drawer
from armt_lab.lessons import Gates, Lesson, Look, join, padded
from armt_lab.reading import Read, keys_so_far, read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from armt_lab.trainer import Trainer

PARTS = (range(2), range(2, 3))
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(params=["tokens write", "text writes", "both ways"])
def trainer(runs: Path, request: pytest.FixtureRequest) -> Trainer:
    """A run whose questions point to their answers, where the text itself writes."""
    writes, both_ways = request.param != "tokens write", request.param == "both ways"
    stage = dataclasses.replace(TINY.stages[1], pointing=float(writes), lookahead=0.5 * (not writes))
    size = dataclasses.replace(
        TINY.size, memory_tokens=0 if writes else 2, fold_tail=writes, bidirectional=both_ways
    )
    return trainer_in(runs, "lessons", recipe=dataclasses.replace(TINY, size=size, stages=(stage,)))


def drawn(trainer: Trainer, step: int) -> list[Lesson]:
    """The lesson of two rows and that of a third, of one make."""
    recipe, config, *_ = setup_of(trainer)
    drawers = [
        Drawer(recipe, config, Asker(trainer.tokenizer), drawer_of(trainer).source, makes=2) for _ in PARTS
    ]
    for drawer, part in zip(drawers, PARTS, strict=True):
        drawer.enter(0, 0, part)
    return [[drawer.draw(i) for i in range(step + 1)][-1] for drawer in drawers]


def right(lesson: Lesson, found: Read) -> list[list[bool]]:
    """For each look which questions were answered exactly."""
    return [look.asks.right(g.missed) for look, g in zip(lesson.looks, found.graded, strict=True)]


def half_right(trainer: Trainer, lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> Lesson:
    """With what the model says itself for the answer to every other question: it has not learnt any."""
    said: list[torch.Tensor] = []
    head = trainer.model.backbone.head

    def speaking(hidden: torch.Tensor) -> torch.Tensor:
        logits = head(hidden)
        said.append(logits.argmax(-1))
        return logits

    with monkeypatch.context() as patch:
        patch.setattr(trainer.model.backbone, "head", speaking)
        read(trainer.model, lesson, trainer.model.empty_state(len(lesson.kept)), trainer.stage)
    looks = [
        dataclasses.replace(
            look,
            asks=dataclasses.replace(
                look.asks, labels=torch.where(look.asks.questions % 2 == 0, ids, look.asks.labels)
            ),
        )
        for look, ids in zip(lesson.looks, said, strict=True)
    ]
    return dataclasses.replace(lesson, looks=looks)


def mean(values: Sequence[torch.Tensor], counts: Sequence[int]) -> torch.Tensor:
    total = torch.stack([value * count for value, count in zip(values, counts, strict=True)]).sum()
    return total / max(1, sum(counts))


def test_joined_lessons_give_the_loss_of_each_part_over_all_answers_and_the_same_right_ones(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pointing = 0
    for step in range(4):
        lessons = [half_right(trainer, one, monkeypatch) for one in drawn(trainer, step)]
        states = [trainer.model.empty_state(len(part)) for part in PARTS]
        parts = [read(trainer.model, *each, trainer.stage) for each in zip(lessons, states, strict=True)]
        lesson = join(lessons)
        whole = read(trainer.model, lesson, MemoryState.cat(states), trainer.stage)

        for n, graded in enumerate(whole.graded):
            of_parts = [part.graded[n] for part in parts]
            answers = [len(one.looks[n].asks.labels) for one in lessons]
            torch.testing.assert_close(graded.loss, mean([g.loss for g in of_parts], answers), **CLOSE)
            found = [(g.pointing, int(g.pointed)) for g in of_parts if g.pointing is not None]
            if found:
                torch.testing.assert_close(graded.pointing, mean(*zip(*found, strict=True)), **CLOSE)
                pointing += int(graded.pointed)
        fared = [right(*each) for each in zip(lessons, parts, strict=True)]
        assert {answer for look in fared[0] for answer in look} == {True, False}
        assert right(lesson, whole) == [a + b for a, b in zip(*fared, strict=True)]
        assert torch.equal(whole.opened, torch.cat([part.opened for part in parts], dim=1))
        torch.testing.assert_close(whole.state.W, torch.cat([p.state.W for p in parts], dim=1), **CLOSE)
    assert bool(pointing) == bool(trainer.stage.pointing)


def test_joined_lessons_are_of_the_rows_of_all_and_of_as_many_ids(trainer: Trainer) -> None:
    two, one = drawn(trainer, 0)
    lesson = join([two, one])
    assert len(lesson.kept) == 3
    assert lesson.tokens == two.tokens + one.tokens
    assert lesson.sentences == [[*a, *b] for a, b in zip(two.sentences, one.sentences, strict=True)]
    assert [look.asks.topics for look in lesson.looks] == [
        [*a.asks.topics, *b.asks.topics] for a, b in zip(two.looks, one.looks, strict=True)
    ]


def test_padding_changes_neither_loss_nor_right_answers(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesson = half_right(trainer, drawn(trainer, 0)[0], monkeypatch)
    wider = dataclasses.replace(lesson, looks=[pad(look) for look in lesson.looks])
    state = trainer.model.empty_state(2)
    one, other = (read(trainer.model, each, state, trainer.stage) for each in (lesson, wider))
    assert one.loss is not None
    torch.testing.assert_close(other.loss, one.loss, **CLOSE)
    torch.testing.assert_close(other.pointing, one.pointing, **CLOSE)
    assert {answer for look in right(lesson, one) for answer in look} == {True, False}
    assert right(wider, other) == right(lesson, one)
    assert not any(
        g.missed[len(look.asks.labels) :].any() for look, g in zip(lesson.looks, other.graded, strict=True)
    )
    parameters = list(trainer.model.parameters())
    mine, theirs = (
        torch.autograd.grad(found.loss, parameters, allow_unused=True)
        for found in (one, other)
        if found.loss is not None
    )
    for wanted, found in zip(mine, theirs, strict=True):
        torch.testing.assert_close(found, wanted, **CLOSE)


def pad(look: Look) -> Look:
    columns, answers = look.asks.ids.shape[1], len(look.asks.labels)
    return dataclasses.replace(look, asks=padded(look.asks, columns + 7, answers + 5))


def test_a_look_at_which_nothing_can_be_asked_is_left_out(runs: Path) -> None:
    stage = dataclasses.replace(TINY.stages[1], density=(1e-9, 1e-9))
    trainer = trainer_in(runs, "left-out", recipe=dataclasses.replace(TINY, seed=3, stages=(stage,)))
    lesson = drawer_of(trainer).draw(0)
    *silent, young = lesson.looks  # which are told facts whatever the stage says
    assert len(silent) >= 2
    assert not any(look.asks.topics for look in silent)
    assert lesson.asking() == dataclasses.replace(lesson, looks=[young])


def test_what_a_gate_opened_on_is_missed_where_it_was_background_alone() -> None:
    is_noise = torch.tensor([[True, False], [True, True]])
    lesson = Lesson(torch.ones(2), [], is_noise, [[[1, 2], ()], [[3], [4, 5]]], [])
    gates = Gates()
    gates.judge(lesson, torch.tensor([[True, True], [False, True]]))
    assert (gates.noise, gates.fact, gates.missed) == ([True, False, True], [True], [1, 2, 4, 5])


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6), again=st.integers(0, 5))
def test_what_is_shown_again_and_written_anew_is_known_by_its_last_key(
    lengths: list[int], again: int
) -> None:
    keys = None
    last: dict[int, int] = {}
    end = 0
    for number, length in enumerate(lengths):
        places = range(end - again, end + length)  # some may be before the first segment
        last |= dict.fromkeys(places, number)
        end += length
        new = torch.tensor([[[place, number] for place in places]])
        keys = keys_so_far(keys, [Key(new, -new, 2 * new, 3 * new, 4 * new)], length)
        expected = [[place, last[place]] for place in range(end)]
        assert keys[0].phi[0].tolist() == expected
        assert torch.equal(keys[0].names, -keys[0].phi)
