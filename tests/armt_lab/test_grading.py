from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_run import TINY, trainer_in

from armt_lab.asking import IGNORED, Asker
from armt_lab.grading import _about
from armt_lab.streams import Asked
from armt_lab.words import HANDS
from armt_lab.world import Question

if TYPE_CHECKING:
    from pathlib import Path

    from armt_lab.asking import Asks
    from armt_lab.trainer import Trainer


@pytest.fixture
def trainer(runs: Path) -> Trainer:
    size = dataclasses.replace(
        TINY.size, memory_tokens=0, fold_tail=True, d_mem=64, features="bind", copying=32
    )
    return trainer_in(runs, "grading", recipe=dataclasses.replace(TINY, size=size))


def asks_of(trainer: Trainer, kind: str, question: Question) -> Asks:
    one = Asked(kind, question, 0, 9, "", is_open=False, fact=range(9))
    return Asker(trainer.tokenizer).asks([[one]], 9, told=torch.ones(1, 9, dtype=torch.long))


def code(trainer: Trainer, word: str) -> torch.Tensor:
    assert trainer.model.words is not None
    ids = trainer.tokenizer.encode(" " + word, add_special_tokens=False).ids
    return trainer.model.words(torch.tensor([ids]))[0, -1]


def test_a_thing_that_did_not_move_alone_is_kept_under_all_that_moved_and_asked_for_by_itself(
    trainer: Trainer,
) -> None:
    question = Question("Where is the milk?", "garden", (0, 1), about=("milk",), along=("apple",))
    asks = asks_of(trainer, "qa2", question)
    assert trainer.model.words is not None
    about = _about(trainer.model, trainer.model.words(asks.ids), asks)
    milk, apple, the, garden = (code(trainer, word) for word in ("milk", "apple", "the", "garden"))
    together = torch.nn.functional.normalize(milk + apple, dim=-1)
    for found, first in ((about.names, milk), (about.kept_names, together)):
        expected = torch.cat((first, the.flip(-1)))
        torch.testing.assert_close(found, expected.expand(len(found), -1))
    bound = torch.nn.functional.normalize(together * the.flip(-1), dim=-1)
    torch.testing.assert_close(about.kept_phi, bound.expand(len(about.kept_phi), -1))
    torch.testing.assert_close(about.answer, garden.expand(len(about.answer), -1))


@pytest.mark.parametrize("held", [(), ("milk",), ("milk", "apple", "football")])
def test_what_somebody_carries_is_a_sum_and_said_only_if_it_is_one_thing(
    trainer: Trainer, held: tuple[str, ...]
) -> None:
    answer, *along = held or ("nothing",)
    kind = HANDS if along else "carrying"
    text = "What is Mary carrying?"
    asks = asks_of(trainer, kind, Question(text, answer, (0, 1), about=("Mary", "Mary"), along=tuple(along)))
    assert (asks.labels == IGNORED).all() == bool(along)
    assert trainer.model.words is not None
    about = _about(trainer.model, trainer.model.words(asks.ids), asks)
    mary = code(trainer, "Mary")
    torch.testing.assert_close(about.names, torch.cat((mary, mary.flip(-1))).expand(len(about.names), -1))
    torch.testing.assert_close(about.kept_phi, about.phi)
    sum_ = sum((code(trainer, word) for word in held), torch.zeros(32))
    torch.testing.assert_close(about.answer, sum_.expand(len(about.answer), -1))
