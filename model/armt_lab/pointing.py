"""Teaching a question where in the memory its answer stands.

The gradient through a linear read says little of which key should have matched: names that were never seen
are not bound by it (docs/experiments.md, 14 and 15). So each token of an answer that one fact gives is also
to match the key that was written at that token of the fact better than any other that was written since:
cross entropy over phi(q) . phi(k) / `TEMPERATURE`, the InfoNCE loss of arXiv 1807.03748.

Only of the first memory: what the others hold, such as what follows from several facts, is left to training.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from armt_lab.recipe import END_ID

if TYPE_CHECKING:
    from torch import Tensor

    from armt_lab.asking import Asks

TEMPERATURE = 0.1


@dataclasses.dataclass(frozen=True)
class Written:
    """What a step has written into the first memory, up to where it is asked.

    Attributes:
        ids: the tokens, [batch, n]; all of them write.
        keys: what they were written under, [batch, n, d_key].
    """

    ids: Tensor
    keys: Tensor

    def pointing(self, queries: Tensor, asks: Asks) -> Tensor | None:
        """How far `queries` [batch, asks, d_key] are from pointing to where each answer was told.

        The mean over the tokens of answers; None where no answer was told in `ids`.
        """
        rows, columns, places = self.places(asks)
        if not rows:
            return None
        match = torch.einsum("ad,and->an", queries[rows, columns], self.keys[rows])
        return F.cross_entropy(match / TEMPERATURE, torch.tensor(places, device=match.device))

    def places(self, asks: Asks) -> tuple[list[int], list[int], list[int]]:
        """Of each token of an answer told in `ids` its row and column in `asks`, and where it was told."""
        found: tuple[list[int], list[int], list[int]] = [], [], []
        text, labels, owner = self.ids.tolist(), asks.labels.tolist(), asks.owner.tolist()
        for row, column in (asks.labels >= 0).nonzero().tolist():
            label, fact = labels[row][column], asks.asked[owner[row][column]].fact
            if fact is None or label == END_ID or fact.start < 0 or fact.stop > len(text[row]):
                continue
            told = [place for place in fact if text[row][place] == label]
            if told:
                for values, value in zip(found, (row, column, told[-1]), strict=True):
                    values.append(value)
        return found
