"""The associative memory of one layer: what is read into the stream and what is written from it.

Equations: ARMT, arXiv 2407.04841; the sequential rule is ours (see `_in_turn`).
`reference.py` has the same mathematics, slow and plain; every path here is tested against it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from armt.copying import Copier, even, project
from armt.features import bind, dpfp, product
from armt.keys import Key, Source, Written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from armt.config import ArmtConfig
    from armt.copying import Names, View

EPS = 1e-5
"""What keeps a division by z . phi from being one by nothing; the official constant."""


SHUT = -math.log(11)
"""The logit up to which `hard` is 0: 1.2 sigmoid(x) = 0.1, x = -log 11."""


def hard(x: Tensor) -> Tensor:
    """A gate that can be exactly shut: clip(1.2 sigmoid(x) - 0.1, 0, 1); 0 up to SHUT, 1 from -SHUT on.

    The stretched sigmoid of arXiv 1712.01312. A gate that only comes near to 0 writes a little of everything,
    and over a million segments that drowns what was to be kept. The gradient goes through as if nothing were
    clipped, so that a gate that is shut can learn to open.
    """
    stretched = 1.2 * torch.sigmoid(x) - 0.1
    return stretched + (stretched.clamp(0, 1) - stretched).detach()


MOST = 3
"""How many times the same is added to a key at most."""

REPLACES = -3.0
"""The logit of either gate of `_in_turn` before anything is learnt: shut, and soon to be opened."""


class AssociativeMemory(nn.Module):
    """One layer's projections. It holds no memory: W and z are arguments and results.

    What is written is worked out in float32, whatever the backbone's dtype, and so is what is read, but where
    tokens are copied: there a memory is asked in the backbone's, for codes outlive that in half the time.
    """

    def __init__(self, config: ArmtConfig) -> None:
        super().__init__()
        self.rule = config.write_rule
        self.features = config.features
        self.use_denom = config.use_denom
        self.correction = config.correction
        self.gate = hard if config.gate == "hard" else torch.sigmoid
        self.normalise_write = config.normalise_write
        self.W_mq = nn.Linear(config.d_model, config.d_mem, bias=False)
        self.W_mk = nn.Linear(config.d_model, config.d_mem, bias=False)
        self.W_mv = nn.Linear(config.d_model, config.d_model, bias=False)
        self.W_mb = nn.Linear(config.d_model, 1)
        self.copier = Copier(config) if config.copying else None
        if config.copying:
            self.W_ma = nn.Linear(config.d_model, 2)
            self.W_ma.bias.data.fill_(REPLACES)

    def phi(self, x: Tensor) -> Tensor:
        """The feature map of keys, [..., d_mem] -> [..., d_key]."""
        if self.features != "dpfp":
            return product(x) if self.features == "product" else bind(*x.chunk(2, dim=-1))
        phi = dpfp(x)
        return phi if self.rule == "paper" else F.normalize(phi, dim=-1)

    def read(
        self,
        x: Tensor,
        W: Sequence[Tensor],
        z: Sequence[Tensor],
        view: View | None = None,
        source: Source | None = None,
    ) -> Tensor:
        """What the memory adds to the stream: W^T phi(W_q x), over z . phi(W_q x) + EPS if there is a z.

        Args:
            x: the layer's input, [batch, n, d_model].
            W: of one part of the batch after the other, [rows, d_key, d_value] each; zero before the first
                write, and then so is the result.
            z: likewise, [rows, d_key].
            view: of a model that copies tokens, x among what it needs besides.
            source: what the last of the tokens write; then that is read too, each by those behind it: token t
                reads with q_t what W holds before it, q_t W + sum_{s<t} (q_t . k_s) u_s, u as in `_in_turn`.

        Returns:
            [batch, n, d_value] in the dtype of `x`.
        """
        with torch.autocast(x.device.type, enabled=False):
            query = self.query(x, view).phi
            parts = zip(torch.split(query, [len(part) for part in W]), W, z, strict=True)
            found = _whole([self._recall(*part) for part in parts])
            return (found if source is None else self._with_own(found, query, W, source)).to(x.dtype)

    def read_into(
        self, view: View, W: Sequence[Tensor], z: Sequence[Tensor], source: Source | None = None
    ) -> View:
        """With what `read` gives added to x and to what was heard."""
        with torch.autocast(view.x.device.type, enabled=False):
            found = self.read(view.x, W, z, view, source)
            if self.copier is None:
                return replace(view, x=view.x + found)
            value, word = found.tensor_split((view.x.shape[-1],), dim=-1)
            view = replace(view, x=view.x + value)
            heard = self.copier.hear(view, word).to(word.dtype)
            return replace(view, heard=heard if view.heard is None else view.heard + heard)

    def _with_own(self, found: Tensor, query: Tensor, W: Sequence[Tensor], source: Source) -> Tensor:
        """`found` [batch, n, d_value] and what the source's tokens, the last of n, wrote before each."""
        rows = None
        if not torch.is_grad_enabled():  # seldom in text with nothing to keep
            rows = (self.gate(source.logits) > 0).any(dim=1).nonzero().flatten()
            if not len(rows):
                return found
            source, query = source.rows(rows), query[rows]
            each = [memory for part in W for memory in torch.split(part, 1)]
            W = [each[row] for row in rows.tolist()]
        k, u, _, at = source.written or self._written(source, _whole(W))
        writers = torch.arange(source.m.shape[1], device=k.device)
        behind = writers[:, None] > (writers if at is None else at)[..., None, :]
        own = (query[:, -len(writers) :].to(k.dtype) @ k.mT * behind) @ u
        own = F.pad(own, (0, 0, found.shape[1] - len(writers), 0))
        return found + own if rows is None else found.index_add(0, rows, own.to(found.dtype))

    def query(self, x: Tensor, view: View | None = None) -> Key:
        """With what `read` reads, phi(W_q x): [batch, n, d_model] -> [batch, n, ..]."""
        with torch.autocast(x.device.type, enabled=False):
            if self.copier is None:
                return self._key(self.W_mq(x.float()), None, x, view)
            assert view is not None, "a model that copies tokens needs to see them"
            return self._key(project(self.W_mq, x), self.copier.asked, view.even, view)

    def _key(
        self, key: Tensor, names: Names | None, m: Tensor, view: View | None, at: Tensor | None = None
    ) -> Key:
        if names is None:
            return Key(self.phi(key), *[key[..., :0]] * 4)
        assert view is not None, "a model that copies tokens needs to see them"
        halves, words, looked = names(key, m, view, at)
        phi = bind(*halves) if self.features == "bind" else self.phi(torch.cat(halves, dim=-1))
        nothing = words[..., :0]
        return Key(phi, words, nothing, nothing, looked)

    def source(self, m: Tensor, view: View) -> Source:
        """What is to be written of m, [batch, writers, d_model], and of the tokens in view."""
        with torch.autocast(m.device.type, enabled=False):
            return Source(m, view, self.W_mb(self._even(m)).squeeze(-1))

    def write(
        self, source: Source, W: Tensor, z: Tensor, first: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Key]:
        """The memory after a segment.

        Args:
            source: what `source` gave of it, or `worked_out`.
            W: [batch, d_key, d_value].
            z: [batch, d_key].
            first: [batch] bool, whether this is the row's first segment (then g is 1).

        Returns:
            The new W and z, the gate's logits [batch, writers] and the keys phi(W_k m); the old W and z are
            left as they were. Where every gate is exactly 0, so is what is added.
        """
        with torch.autocast(W.device.type, enabled=False):
            if self.rule == "sequential":
                k, u, key, _ = source.written or self._written(source, W)
                return W + k.mT @ u, z, source.logits, key
            m = self._even(source.m)
            v, key, b = self.W_mv(m), self._key(self.W_mk(m), None, m, None), self.gate(source.logits)
            k, b = key.phi, b.unsqueeze(-1)
            W, key = W + k.mT @ (b * (v - self._recall(k, W, z))), key._replace(gate=b.expand(-1, -1, 2))
            z = z + self._novelty(k, z, first).mul(k).sum(dim=1) if self.use_denom else z
            return W, z, source.logits, key

    def worked_out(self, source: Source, W: Sequence[Tensor]) -> Source:
        """With what the sequential rule writes of it, for who learns: else few rows need it, if any."""
        if not torch.is_grad_enabled():
            return source
        with torch.autocast(source.m.device.type, enabled=False):
            return source._replace(written=self._written(source, _whole(W)))

    def _written(self, source: Source, W: Tensor) -> Written:
        m, view, logits, _ = source
        at, seen = self._open(logits), None
        if at is not None:
            m, seen, logits = _taken(m, at), at + view.own.shape[1] - m.shape[1], logits.gather(1, at)
        x, b = self._even(m), self.gate(logits).unsqueeze(-1)
        known = x if self.normalise_write else even(m)
        v, names = self.W_mv(x), None if self.copier is None else self.copier.kept
        key, a = self._key(self.W_mk(x), names, known, view, seen), torch.zeros_like(b)
        if self.copier is not None:
            a, takes = hard(self.W_ma(x)).chunk(2, dim=-1)
            own = view.own[:, -m.shape[1] :] if seen is None else _taken(view.own, seen)
            key = key._replace(word=self.copier.word(known, view, seen) - takes * own)
            v = torch.cat((v, key.word), dim=-1)
        had = key.phi @ W
        u = self._in_turn(key.phi, self._lacking(v, had, a) - (1 - a) * had, b, a)
        return Written(key.phi, u, key._replace(gate=torch.cat((b, b * (1 - a)), dim=-1)), at)

    def _open(self, logits: Tensor) -> Tensor | None:
        """Which writers [batch, p] need to be heeded (`Written.at`), where none learns from the others."""
        most = logits.shape[1] if torch.is_grad_enabled() else int((self.gate(logits) > 0).sum(dim=1).max())
        if most == logits.shape[1]:
            return None
        return logits.topk(most, dim=1).indices.sort(dim=1).values

    def _even(self, m: Tensor) -> Tensor:
        """What keys, values and gates are taken from."""
        return even(m) if self.normalise_write else m.float()

    def _recall(self, phi: Tensor, W: Tensor, z: Tensor) -> Tensor:
        if not W.stride(0):  # segments of one session
            W = W[0]
        value = phi @ W.to(phi.dtype)
        return value / self._weight(phi, z) if self.use_denom else value

    @staticmethod
    def _weight(phi: Tensor, z: Tensor) -> Tensor:
        return phi @ z.unsqueeze(-1) + EPS

    def _lacking(self, v: Tensor, had: Tensor, a: Tensor) -> Tensor:
        """What of v is written where it is added: v (1 - a s), s = clip(v . had / |v|^2 - (MOST - 1), 0, 1).

        Of the learnt value and of the word each. Who takes two things and drops one still has one, so that
        there may be more than one v; but what books tell over and over would grow until whatever is read is
        drowned by it (docs/experiments.md, 36).

        Args:
            v: what is to be kept, [.., d_value].
            had: what the key had before the segment, likewise.
            a: as in `_in_turn`, [.., 1].
        """
        if self.copier is None:
            return v
        parts = (part.tensor_split((self.W_mv.out_features,), dim=-1) for part in (v, had))
        return torch.cat([new * (1 - a * _enough(new, old)) for new, old in zip(*parts, strict=True)], dim=-1)

    @staticmethod
    def _in_turn(k: Tensor, error: Tensor, b: Tensor, a: Tensor) -> Tensor:
        """The delta rule applied token by token, in closed form.

        Token i must see what tokens before it wrote: u_i = b_i (error_i - c_i sum_{j<i} (k_i . k_j) u_j) with
        error_i = v_i - c_i k_i W and c = 1 - a, that is U = (I + tril(diag(b c) K K^T, -1))^-1 diag(b)
        (V - diag(c) K W). For unit keys and a = 0 each step is a contraction, so W stays bounded where the
        official sum over tokens with like keys overshoots. Where tokens are copied a is the first of two
        gates, `hard` of W_a m: at 1 what is written is added to what the key has (Hebb's rule), so that a key
        can have several words, and v_i is what `_lacking` leaves of it; the second is how much of a token's
        own code is taken from what it writes, so that they can lose one.
        """
        overlap = torch.tril((1 - a) * b * (k @ k.mT), diagonal=-1)
        return torch.linalg.solve_triangular(overlap, b * error, upper=False, unitriangular=True)

    def _novelty(self, k: Tensor, z: Tensor, first: Tensor) -> Tensor:
        """The share g of a key that z does not hold yet, [batch, writers, 1]; without gradient."""
        if not self.correction:
            return k.new_ones(())
        length = k.square().sum(dim=-1, keepdim=True) + (EPS if self.rule == "paper" else 0.0)
        g = (1 - self._weight(k, z) / length).clamp(0, 1)
        return torch.where(first[:, None, None], torch.ones_like(g), g).detach()


def _enough(new: Tensor, old: Tensor) -> Tensor:
    """Whether `old` [.., width] has enough of `new` already, from 0 to 1, [.., 1]; without gradient."""
    times = (new * old).sum(dim=-1, keepdim=True) / new.square().sum(dim=-1, keepdim=True).clamp(min=EPS)
    return (times - (MOST - 1)).clamp(0, 1).detach()


def _whole(parts: Sequence[Tensor]) -> Tensor:
    """The batch that comes in these parts; of one part no copy."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _taken(x: Tensor, at: Tensor) -> Tensor:
    """Of x [batch, n, width] what stands at [batch, p]."""
    return x.gather(1, at[..., None].expand(-1, -1, x.shape[-1]))
