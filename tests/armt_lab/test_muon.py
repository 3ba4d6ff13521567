from __future__ import annotations

import pytest
import torch

from armt_lab.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(8, 8), (5, 20), (20, 5)])
def test_an_update_moves_in_all_directions_alike(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    steep = torch.randn(shape) @ torch.diag(torch.logspace(0, -2, shape[1]))

    values = torch.linalg.svdvals(orthogonal(steep))

    assert torch.linalg.cond(steep) > 3
    assert values.max() < 1.3
    assert values.min() > 0.3


def test_steps_are_those_of_torch_up_to_its_bfloat16() -> None:
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.ones(6, 10)) for _ in range(2))
    mine = Muon([ours], lr=0.01)
    other = torch.optim.Muon([theirs], lr=0.01, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    for _ in range(5):
        gradient = torch.randn(6, 10)
        for parameter, optimizer in ((ours, mine), (theirs, other)):
            parameter.grad = gradient.clone()
            optimizer.step()

    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-3)
