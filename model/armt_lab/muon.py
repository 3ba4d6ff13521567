"""Muon: momentum whose matrix is made orthogonal before it is applied (arXiv 2502.16982).

Of the steepest directions of a gradient AdamW follows a few; an orthogonal update moves in all of them alike.
For our small transformers that is the difference between binding a name to its place within 600 steps and not
at all (docs/experiments.md). torch's own iterates in bfloat16, which CPUs without it do twenty times slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

STEPS = 5
A, B, C = 3.4445, -4.7750, 2.0315
"""Coefficients of the quintic iteration, chosen for the steepest slope at 0."""


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest matrices whose singular values are about 1 (0.7 to 1.2), by Newton-Schulz iteration.

    Args:
        matrices: [..., rows, columns].
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = A * x + (B * gram + C * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """For matrices inside of a network; embeddings, vectors and heads are AdamW's.

    An update is scaled to the root mean square of AdamW's, 0.2 sqrt(longer side), so that one learning rate
    serves both (arXiv 2502.16982).

    Args:
        matrices: parameters of two dimensions.
        lr: learning rate.
        momentum: of the gradient, in Nesterov's way.
        weight_decay: decoupled.
    """

    def __init__(
        self, matrices: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure is taken
        """Update every matrix that has a gradient."""
        assert closure is None, "there is nothing to call again"
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    by_shape.setdefault(matrix.shape, []).append(matrix)
            for matrices in by_shape.values():
                # Those of one shape at once: a GPU would be kept busy with launches.
                updates = orthogonal(torch.stack([self._momentum(m, group["momentum"]) for m in matrices]))
                for matrix, update in zip(matrices, updates, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.add_(update, alpha=-group["lr"] * 0.2 * max(matrix.shape) ** 0.5)

    def _momentum(self, matrix: Tensor, momentum: float) -> Tensor:
        """The gradient with what it was before, in Nesterov's way."""
        assert matrix.grad is not None
        mean = self.state[matrix].setdefault("momentum_buffer", torch.zeros_like(matrix))
        mean.lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(mean, momentum)
