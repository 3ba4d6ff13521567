"""Teaching a question where in the memory its answer stands.

The gradient through a linear read says little of which key should have matched: names that were never seen
are not bound by it (docs/experiments.md, 14 and 15). So each token of an answer that one fact gives is also
to match the key that was written at that token of the fact better than any other that was written since:
cross entropy over phi(q) . phi(k) / `TEMPERATURE`, the InfoNCE loss of arXiv 1807.03748.

Only of the first memory: what the others hold, such as what follows from several facts, is left to training.
But the words that keys name, where tokens are copied, are to match by themselves too, and in every memory:
which word to name is of use only if query and key agree on it, and training alone never came to that
(docs/experiments.md, 22).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from armt.memory import Key

TEMPERATURE = 0.1
IGNORED = -100
"""What stands for a label where there is none."""


def pointing(queries: Sequence[Key], keys: Sequence[Key], at: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
    """How far queries are from pointing to where each answer was told.

    Args:
        queries: of each memory, [batch, asks, ..].
        keys: what each was written with before, [batch, n, ..].
        at: [answers] which of all `queries`, row by row, an answer's tokens are read with.
        told: [answers] which of its row's `keys` each should match; IGNORED where none is known.

    Returns:
        The mean loss over those that have one to match, 0 where none has; and how many have.
    """
    count = (told != IGNORED).sum()

    def missed(query: Tensor, key: Tensor) -> Tensor:
        match = (query @ key.mT).flatten(0, 1).index_select(0, at) / TEMPERATURE
        return F.cross_entropy(match, told, ignore_index=IGNORED, reduction="sum")

    loss = missed(queries[0].phi, keys[0].phi)
    if keys[0].names.shape[-1]:
        named = [missed(query.names / 2, key.names) for query, key in zip(queries, keys, strict=True)]
        loss = loss + torch.stack(named).mean()
    return loss / count.clamp(min=1), count
