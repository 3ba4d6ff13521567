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


def test_a_stack_of_matrices_is_made_orthogonal_as_each_alone() -> None:
    torch.manual_seed(1)
    stack = torch.randn(2, 3, 4, 9) * torch.logspace(-3, 3, 6).view(2, 3, 1, 1)

    together = orthogonal(stack)

    for matrix, found in zip(stack.flatten(0, 1), together.flatten(0, 1), strict=True):
        torch.testing.assert_close(found, orthogonal(matrix))


def test_matrices_of_one_shape_are_updated_as_each_would_be_alone() -> None:
    torch.manual_seed(2)
    shapes = [(4, 9), (9, 4), (4, 9), (4, 9), (6, 6)]
    together = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    alone = [torch.nn.Parameter(matrix.detach().clone()) for matrix in together]
    before = together[2].detach().clone()
    optimizers = [Muon(together, lr=0.01), *(Muon([matrix], lr=0.01) for matrix in alone)]

    for _ in range(3):
        for number, (mine, other) in enumerate(zip(together, alone, strict=True)):
            if number != 2:  # this one has no gradient
                mine.grad = torch.randn_like(mine)
                other.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()

    for mine, other in zip(together, alone, strict=True):
        torch.testing.assert_close(mine, other)
    assert torch.equal(together[2], before)
