"""Tokens kept as they are, beside what the blocks make of them, so that any can be said that was read.

What the blocks keep of a word is what training made of it: words that no fact in training told of come back
as others like them (docs/experiments.md, 20). So each token also has a code of which nothing is learnt, a
memory keeps codes behind its values, and only numbers decide which is kept and when it is said. What is
learnt of that holds for every token there is. And keys name words by their codes, so that what was kept of
one is found, whatever it is. Pointer networks (arXiv 1506.03134) and CopyNet (arXiv
1603.06393) copy from a text in view; this copies from the memory.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from armt.config import ArmtConfig
    from armt.layout import Layout

EPS = 1e-5

PICK = 16
"""Width of the queries and keys by which a token picks a word."""

OWN, AGAIN = 4.0, -2.0
"""How much a token prefers its own code, and what it heard to its code, before anything is learnt."""

NAMED, FAR = (-1.0, 1.0), 0.25
"""How much of either half of a key is the word that it names, of the second more, and how much less a half
looks at a token for each place that it is further back, likewise."""

REACH = 32
"""Up to how many tokens back who learns is told of how much a half looks at each."""


@dataclasses.dataclass(frozen=True)
class View:
    """The tokens in view of those that read or write.

    Attributes:
        x: a block's input, [batch, n, d_model]: what it reads from the memory with, or with that added.
        own: the codes of the words that ended just before them, [batch, n, width].
        heard: what they heard so far, [batch, n, width]; None before the first memory.
        layout: where they stand and what each sees, if they are not plain rows.
    """

    x: Tensor
    own: Tensor
    heard: Tensor | None = None
    layout: Layout | None = None

    @cached_property
    def even(self) -> Tensor:
        """What memories look at: x over its root mean square, float32."""
        return even(self.x)

    @staticmethod
    def cat(parts: Sequence[View]) -> View:
        """Of several batches that see what is up to them."""
        x, own = torch.cat([part.x for part in parts]), torch.cat([part.own for part in parts])
        heard = [part.heard for part in parts if part.heard is not None]
        return View(x, own, torch.cat(heard) if heard else None)

    def rows(self, indices: Tensor) -> View:
        """Of such a batch only these."""
        return View(self.x[indices], self.own[indices], None if self.heard is None else self.heard[indices])


def half(code: Tensor, width: int, which: int) -> Tensor:
    """What a half of a key has of a code [..., copying]: its first entries or, the second, its last reversed.

    So a word is another in the second half than in the first, and of words that are whole all is there.
    """
    return (code.flip(-1) if which else code)[..., :width]


class Picks(nn.Module):
    """Which words in view tokens mean: a look back at what they are and what they heard, a softmax for each.

        w_t = sum over s seen of o_ts c_s + h_ts g_s    o_t, h_t = softmax of both together of
                                                        a_ts + log(1 - p_s) and a_ts + b_ts + log p_s
        a_ts = W_pq m_t . W_pk x_s / sqrt(PICK) - far d_ts      b_ts = W_pq m_t . W_ph x_s / sqrt(PICK)
        p_s = sigmoid(again . x_s + AGAIN)

    c_s is a token's code, g_s what it heard, x_s the block's input, m_t what the one that picks is known by,
    both over their root mean square; d_ts is how many tokens back s is, as in arXiv 2108.12409. By b
    one may look for what a token heard where another looks for its own word.
    """

    def __init__(self, config: ArmtConfig, words: int, far: float = 0.0) -> None:
        super().__init__()
        self.words = words
        self.far = nn.Parameter(torch.full((words,), far))
        self.W_pq = nn.Linear(config.d_model, words * PICK, bias=False)
        self.W_pk = nn.Linear(config.d_model, words * PICK, bias=False)
        self.W_ph = nn.Linear(config.d_model, words * PICK, bias=False)
        nn.init.zeros_(self.W_ph.weight)
        self.again = nn.Linear(config.d_model, 1)

    def forward(self, m: Tensor, view: View, own: Tensor | None = None, at: Tensor | None = None) -> Tensor:
        """The words that are picked: `of` what `looks` gives of these."""
        return self.of(self.looks(m, view, own, at), view)

    def looks(self, m: Tensor, view: View, own: Tensor | None = None, at: Tensor | None = None) -> Tensor:
        """What the softmax is of.

        Args:
            m: those that pick, [batch, m, d_model], each over its root mean square.
            view: with n >= m tokens.
            own: what is added to a_tt, [batch, m].
            at: which of the tokens in view those are, [batch, m], where they stand in plain rows; by default
                the last.

        Returns:
            [batch, words, m, 2 n]: first of what the tokens in view are, then of what they heard.
        """
        x = view.even
        every = torch.arange(x.shape[1], device=x.device)[None]
        at = _stand(m, x) if at is None else at
        queries, keys, heard_keys = map(self._heads, (self.W_pq(m) * PICK**-0.5, self.W_pk(x), self.W_ph(x)))
        places, stands = every, at
        if view.layout is not None:
            places, stands = view.layout.positions, view.layout.positions[:, x.shape[1] - m.shape[1] :]
        back = stands[:, None, :, None] - places[:, None, None, :]
        seen = back >= 0 if view.layout is None else view.layout.mask
        biased = (-self.far[:, None, None] * back).masked_fill(~seen, float("-inf"))
        if own is not None:
            biased = biased + (own[..., None] * (at[..., None] == every))[:, None]
        again = (self.again(x) + AGAIN).mT.unsqueeze(1)
        share = torch.cat((F.logsigmoid(-again), F.logsigmoid(again)), dim=-1)
        return queries @ torch.cat((keys, keys + heard_keys), dim=2).mT + share + biased.repeat(1, 1, 1, 2)

    @staticmethod
    def of(looks: Tensor, view: View) -> Tensor:
        """The words, [batch, m, words, width] in the dtype of the codes in view."""
        told = view.own if view.heard is None else torch.cat((view.own, view.heard), dim=1)
        shares = looks.softmax(dim=-1)[..., : told.shape[1]].to(told.dtype)
        return (shares.flatten(1, 2) @ told).view(*looks.shape[:3], told.shape[-1]).transpose(1, 2)

    def _heads(self, x: Tensor) -> Tensor:
        """[batch, n, words * width] -> [batch, words, n, width]."""
        return x.view(*x.shape[:-1], self.words, PICK).transpose(1, 2)


class Names(nn.Module):
    """The words that a key is of: by each half of it one can be named.

        half = (1 - s) half / |half| + s n / max(1, |n|)    s = sigmoid(named . m), at first sigmoid(NAMED)
        first half *= 1 + W_r m

    n is what is picked for it (`Picks`), as many entries of the code as the half has, times what makes a
    code's of length 1. So who asks after a word finds what was kept of it, whatever the word: keys of what
    training made of words it never had are too much alike. By W_r, at first little, a key is also of what is
    asked of these words: what lies north of the kitchen, and what south.
    """

    def __init__(self, config: ArmtConfig) -> None:
        super().__init__()
        self.width = config.d_mem // 2
        self.picks = Picks(config, 2, FAR)
        self.named = nn.Linear(config.d_model, 2)
        self.W_r = nn.Linear(config.d_model, self.width, bias=False)
        self.named.bias.data.copy_(torch.tensor(NAMED))
        self.scale = (config.copying / self.width) ** 0.5

    def forward(
        self, key: Tensor, m: Tensor, view: View, at: Tensor | None = None
    ) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
        """Keys [batch, m, d_mem] with the words they name, m and `at` as in `Picks`.

        Returns:
            Both halves; those words alone, [batch, m, d_mem], and `Key.looked`, for who learns, else
            [batch, m, 0]. All in the keys' dtype, but what is looked.
        """
        looks = self.picks.looks(m, view, at=at)
        words = self.picks.of(looks, view).to(key.dtype)
        parts = [half(words[..., i, :], self.width, i) for i in (0, 1)]
        shares = torch.sigmoid(self.named(m)).to(key.dtype).chunk(2, dim=-1)
        first, second = (
            torch.addcmul(
                (1 - share) / learnt.norm(dim=-1, keepdim=True).clamp(min=1e-12) * learnt,
                share * self._factor(part),
                part,
            )
            for learnt, share, part in zip(key.chunk(2, dim=-1), shares, parts, strict=True)
        )
        first = torch.addcmul(first, first, project(self.W_r, m.to(key.dtype)))
        if not torch.is_grad_enabled():
            return (first, second), key[..., :0], key[..., :0]
        at = _stand(m, view.x) if at is None else at
        return (first, second), torch.cat([self.of(part) for part in parts], dim=-1), _looked(looks, at)

    def of(self, words: Tensor) -> Tensor:
        """What the halves are to name of words: n of their codes' `half` [.., width]."""
        return self._factor(words) * words

    def _factor(self, words: Tensor) -> Tensor:
        return self.scale / (self.scale * words.norm(dim=-1, keepdim=True)).clamp(min=1)


class Copier(nn.Module):
    """What one memory keeps of codes, under which words, and what it says of them.

    A token t of a segment has its word's code c_t (`Words`) and what it heard so far, h_t, at first 0. With
    x_t, the block's input with what the memory gave, and m_t, its output, both over their root mean square:

        h_t += sigmoid(say . x_t) r_t       r_t: what the memory gave behind its value
        w_t = what is picked by m_t         see `Picks`; for s = t a_ts also has OWN + own . m_t

    w_t is written behind the value. A token whose own place in a fact is not the answer's writes another's
    code ("Mary took the milk": who has the milk), and one that follows from older facts writes what it heard.
    """

    def __init__(self, config: ArmtConfig) -> None:
        super().__init__()
        self.picks = Picks(config, 1)
        self.own = nn.Linear(config.d_model, 1)
        self.say = nn.Linear(config.d_model, 1)
        self.asked = Names(config)
        self.kept = Names(config)

    def hear(self, view: View, given: Tensor) -> Tensor:
        """What is heard of what the memory gave, [batch, n, width], by tokens with that in x already."""
        return torch.sigmoid(self.say(view.even)) * given

    def word(self, m: Tensor, view: View, at: Tensor | None = None) -> Tensor:
        """What tokens write behind their values, m and `at` as in `Picks`: [batch, m, width]."""
        own = OWN + self.own(m).squeeze(-1)
        return self.picks(m, view, own, at).squeeze(2).float()


def project(layer: nn.Linear, x: Tensor) -> Tensor:
    """What a layer without bias makes of x, in the dtype of x."""
    return F.linear(x, layer.weight.to(x.dtype))


def _stand(m: Tensor, x: Tensor) -> Tensor:
    """Where in view those that pick stand, [1, m]: last."""
    return torch.arange(x.shape[1] - m.shape[1], x.shape[1], device=x.device)[None]


def _looked(looks: Tensor, at: Tensor) -> Tensor:
    """`Key.looked` of what `Picks.looks` gave for those that stand at [1 or batch, m]."""
    n = looks.shape[-1] // 2
    back = (at[..., None] - torch.arange(REACH, device=at.device))[:, None].expand(*looks.shape[:3], -1)
    own = looks.log_softmax(dim=-1)[..., :n].gather(-1, back.clamp(min=0))
    return torch.where(back < 0, 0.0, own).transpose(1, 2).flatten(2)


def even(x: Tensor) -> Tensor:
    """Each over its root mean square, float32."""
    return F.rms_norm(x.float(), x.shape[-1:], eps=EPS)
