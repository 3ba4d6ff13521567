"""Where tokens stand that are not a plain row: several continuations of one text, as the trainer asks."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Layout:
    """Several continuations of one text in one row: what the trainer asks with.

    Attributes:
        positions: [1 or batch, n] position ids; continuations may share them.
        mask: [1 or batch, 1, n, n] bool, whether a token (row) sees another (column).
        previous: [1 or batch, n] where the token before each stands, -1 before the first.
    """

    positions: Tensor
    mask: Tensor
    previous: Tensor


def earlier(x: Tensor, count: int, layout: Layout | None) -> Iterator[Tensor]:
    """What stands 1, 2, ... `count` tokens before each of x [batch, n, width]; zeros where nothing does."""
    n = x.shape[1]
    if layout is None:
        padded = F.pad(x, (0, 0, count, 0))
        yield from (padded[:, count - j :][:, :n] for j in range(1, count + 1))
        return
    padded = F.pad(x, (0, 0, 1, 0))
    before = F.pad(layout.previous.expand(len(x), -1) + 1, (1, 0))
    at = before
    for _ in range(count):
        yield padded.gather(1, at[:, 1:, None].expand_as(x))
        at = before.gather(1, at)
