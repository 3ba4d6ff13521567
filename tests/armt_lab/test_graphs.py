from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from tiny_run import trainer_in

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_what_a_graph_learns_of_a_lesson_is_what_is_learnt_without_one(runs: Path) -> None:
    device = torch.device("cuda")
    trainer = trainer_in(runs, "graphs", threads=2, device=device)
    trainer.dtype = torch.float32
    trainer.enter(1)
    assert trainer._graphs is not None
    state = trainer.state.rows(slice(None))
    for step in range(12):  # in the last of which the graph is of a lesson before
        [(_, draw)] = trainer.lessons.shares(step)
        lesson = draw().asking()
        trainer.lessons.prepare(step)
        wanted, gradients = trainer._compute(lesson.map(lambda tensor: tensor.to(device)), state)
        found, of_graph = trainer._graphs.learn(lesson, state)
        for look, mine, theirs in zip(lesson.looks, found.graded, wanted.graded, strict=True):
            torch.testing.assert_close(mine.loss, theirs.loss, rtol=1e-3, atol=1e-4)
            assert look.asks.right(mine.missed) == look.asks.right(theirs.missed)
        assert torch.equal(found.opened, wanted.opened)
        torch.testing.assert_close(found.state.W, wanted.state.W, rtol=1e-3, atol=1e-4)
        assert torch.equal(found.state.segments, wanted.state.segments)
        for one, other in zip(of_graph, gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-4)
        state = found.state.rows(slice(None))
    assert len(trainer._graphs._captured) < 12
