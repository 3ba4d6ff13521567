"""Feature maps: what makes a key of a few numbers one that matches little but itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from armt.config import NU

if TYPE_CHECKING:
    from torch import Tensor


def dpfp(x: Tensor) -> Tensor:
    """DPFP (arXiv 2102.11174): x = [relu(x), relu(-x)], then x * roll(x, j) for j = 1..NU, concatenated.

    Args:
        x: [..., d_mem].

    Returns:
        [..., 2 * NU * d_mem], not negative.
    """
    positive, negative = F.relu(x), F.relu(-x)
    ring = torch.cat((positive, negative, positive, negative), dim=-1)
    n = ring.shape[-1] // 2
    # roll(x, j)[i] = x[i - j]: a window on the ring, where `roll` would make a copy.
    return torch.cat([ring[..., :n] * ring[..., -j % n :][..., :n] for j in range(1, NU + 1)], dim=-1)


def product(x: Tensor) -> Tensor:
    """A feature map for keys of two things: phi = a / |a| (x) b / |b|, a and b the halves of x.

    phi(x) . phi(y) = cos(a_x, a_y) cos(b_x, b_y): two keys match if they are alike in both halves, so that
    "north of the kitchen" matches neither "south of the kitchen" nor "north of the garden". A tensor product
    representation (Smolensky 1990, doi 10.1016/0004-3702(90)90007-M).

    Args:
        x: [..., d_mem], d_mem even.

    Returns:
        [..., (d_mem / 2)^2], of length 1 (0 where a half is).
    """
    a, b = (F.normalize(half, dim=-1) for half in x.chunk(2, dim=-1))
    return (a.unsqueeze(-1) * b.unsqueeze(-2)).flatten(-2)


def bind(a: Tensor, b: Tensor) -> Tensor:
    """A feature map for keys of two words: phi = a * b / |a * b|, entry by entry, a and b its halves.

    Of codes of signs, keys of two other words, or of one, are as little alike as the codes are: a cosine of 0
    with a deviation of (d_mem / 2)^-0.5. Where `product` gives as many entries, a word has the square root of
    so many to be told from another by. Multiplicative binding (Gayler, arXiv cs/0412059).

    Args:
        a: [..., d_mem / 2].
        b: likewise.

    Returns:
        [..., d_mem / 2], of length 1 (0 where a half is).
    """
    return F.normalize(a * b, dim=-1)
