"""What goes to a memory: what it is asked with, and what it is to write under which keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from armt.copying import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Key(NamedTuple):
    """What a memory is asked or written with.

    Attributes:
        phi: [batch, n, d_key].
        names: the words that its halves name, [batch, n, d_mem], for who learns; for others, and where tokens
            are not copied, [batch, n, 0].
        word: the code that is kept under it, or that the memory gives for it, [batch, n, width].
        gate: how much is written under it, and how much of what stood there is replaced, [batch, n, 2];
            [batch, n, 0] where it only asks.
        looked: the logarithm of how much of a half is the word that ended just before the key's own token,
            just before the one before that, and so on, [batch, n, 2 REACH], the first half's first; 0 where
            there is none. For who learns, where tokens are copied, else [batch, n, 0].
    """

    phi: Tensor
    names: Tensor
    word: Tensor
    gate: Tensor
    looked: Tensor


class Trace(NamedTuple):
    """What the memories were written with, of each layer that has one.

    Attributes:
        logits: of the write gates, [layers, batch, writers].
        keys: of each layer, [batch, writers, ..]; without gradients only of writers as in `Written`.
    """

    logits: Tensor
    keys: Sequence[Key]


class Written(NamedTuple):
    """What the sequential rule writes.

    Attributes:
        k: under what, [batch, p, d_key].
        u: [batch, p, d_value].
        key: as long as k.
        at: which of the writers these p are, [batch, p]: all whose gates are open, and in rows with fewer of
            them some that are shut, whose u is 0. None: all.
    """

    k: Tensor
    u: Tensor
    key: Key
    at: Tensor | None = None


class Source(NamedTuple):
    """What a memory is to write.

    Attributes:
        m: its block's output at the memory tokens or, where there are none, at the segment's own, of a
            bidirectional model also at those shown again, [batch, writers, d_model].
        view: the tokens in view.
        logits: of the write gates, [batch, writers].
        written: what is written of it, where that was worked out before.
    """

    m: Tensor
    view: View
    logits: Tensor
    written: Written | None = None

    @staticmethod
    def cat(parts: Sequence[Source]) -> Source:
        """Of several batches."""
        m, views, logits, _ = zip(*parts, strict=True)
        return Source(torch.cat(m), View.cat(views), torch.cat(logits))

    def rows(self, indices: Tensor) -> Source:
        """Of the batch only these."""
        return Source(self.m[indices], self.view.rows(indices), self.logits[indices])
