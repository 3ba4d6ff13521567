"""Tokens kept as they are, beside what the blocks make of them, so that any can be said that was read.

What the blocks keep of a word is what training made of it: words that no fact in training told of come back
as others like them (docs/experiments.md, 20). So each token also has a code of which nothing is learnt, a
memory keeps codes behind its values, and only numbers decide which is kept and when it is said. What is
learnt of that holds for every token there is. Pointer networks (arXiv 1506.03134) and CopyNet (arXiv
1603.06393) copy from a text in view; this copies from the memory.

A word of several tokens is kept whole, as one sum of their codes, each turned by its place in the word
(Plate 1995, doi 10.1109/72.377968, binds by convolution; turning does as well and costs nothing), so that who
has found a word's place in the memory has all of it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from armt.layout import earlier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from armt.config import ArmtConfig
    from armt.layout import Layout

EPS = 1e-5

LOUD = 20.0
"""What a token's logit gains where what was heard is its code."""

PICK = 16
"""Width of the queries and keys by which a token picks whose code it writes."""

OWN, AGAIN = 4.0, -2.0
"""How much a token prefers its own code, and what it heard to its code, before anything is learnt."""


def codes(vocabulary: int, width: int) -> Tensor:
    """A code for each token id, the same forever: [vocabulary, width], its signs by a hash of the id.

    Each is of length 1; two of them have a cosine of 0 on average, with a deviation of width^-0.5.
    """
    digests = b"".join(
        blake2b(i.to_bytes(4, "little"), digest_size=width // 8).digest() for i in range(vocabulary)
    )
    bits = np.unpackbits(np.frombuffer(digests, np.uint8)).reshape(vocabulary, width)
    return torch.from_numpy(2.0 * bits.astype(np.float32) - 1) * width**-0.5


LONGEST = 6
"""Tokens of a word that are kept together: of one that is longer, the last."""

NO_WORD, BEGINS, GOES_ON = 0, 1, 2


class Words(nn.Module):
    """The codes of tokens and of the words that they make up. Nothing here is learnt."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.codes: Tensor
        self.part: Tensor
        self.register_buffer("codes", codes(vocabulary, width), persistent=False)
        self.register_buffer("part", torch.full((vocabulary,), NO_WORD), persistent=False)

    def spell(self, vocabulary: Mapping[str, int]) -> None:
        """Learn which tokens make up words, from how a byte-level or metaspace tokenizer writes them.

        Without, each stands alone.
        """
        for token, i in vocabulary.items():
            letters = token.lstrip("Ġ▁")
            if letters.isalpha():
                self.part[i] = BEGINS if letters != token else GOES_ON

    def forward(self, ids: Tensor) -> Tensor:
        """What each token's word is so far, [batch, n] -> [batch, n, width].

        The sum of its tokens' codes, each turned by its place in the word.
        """
        own = self.codes[ids]
        runs = self._runs(ids, None)
        whole = own
        for d, (run, before) in enumerate(zip(runs, earlier(own, LONGEST - 1, None), strict=True), start=1):
            whole = whole + run * before.roll(-d, dims=-1)
        return _turned(whole, _place(runs))

    def next(self, heard: Tensor, ids: Tensor, layout: Layout | None = None) -> Tensor:
        """What the last of `ids` heard, turned so that it bears on the token that comes next.

        That is the word's next one behind a part of a word, and else the first of one.

        Args:
            heard: [batch, m <= n, width].
            ids: [batch, n].
            layout: where these stand, if not in plain rows.
        """
        place = torch.where(self.part[ids] == NO_WORD, 0, _place(self._runs(ids, layout)) + 1)
        return _turned(heard, -place[:, -heard.shape[1] :])

    def logits(self, heard: Tensor) -> Tensor:
        """What is added to the logits of tokens, [..., width] -> [..., vocabulary]."""
        return LOUD * (heard.float() @ self.codes.mT)

    def _runs(self, ids: Tensor, layout: Layout | None) -> list[Tensor]:
        """Whether the token 1, 2, ... before each is of its word: [batch, n, 1] of numbers 0 and 1 each."""
        part = self.part[ids].unsqueeze(-1)
        (behind_word,) = earlier((part != NO_WORD).float(), 1, layout)
        joined = (part == GOES_ON) * behind_word
        runs = [joined]
        for before in earlier(joined, LONGEST - 2, layout):
            runs.append(runs[-1] * before)
        return runs


def _place(runs: list[Tensor]) -> Tensor:
    """Which of its word's tokens each is, from 0."""
    return torch.cat(runs, dim=-1).sum(dim=-1).long()


def _turned(codes: Tensor, by: Tensor) -> Tensor:
    """Codes [batch, n, width] turned by places [batch, n]: entry i goes to i + place, round and round."""
    width = codes.shape[-1]
    entries = torch.arange(width, device=codes.device)
    return codes.gather(-1, (entries - by.unsqueeze(-1)) % width)


class Copier(nn.Module):
    """What one memory keeps of codes, and what it says of them.

    A token t of a segment has its word's code c_t (`Words`) and what it heard so far, h_t, at first 0. With
    x_t, the block's input with what the memory gave, and m_t, its output, both over their root mean square:

        h_t += sigmoid(say . x_t) r_t                       r_t: what the memory gave behind its value
        u_t  = (1 - p_t) c_t + p_t h_t                      p_t = sigmoid(again . x_t + AGAIN)
        w_t  = sum over s <= t of softmax_s(a_ts) u_s       a_ts = W_cq m_t . W_ck x_s / sqrt(PICK),
                                                            and for s = t also OWN + own . m_t

    w_t is written behind the value. A token whose own place in a fact is not the answer's writes another's
    code ("Mary took the milk": who has the milk), and one that follows from older facts writes what it heard.
    """

    def __init__(self, config: ArmtConfig) -> None:
        super().__init__()
        self.W_cq = nn.Linear(config.d_model, PICK, bias=False)
        self.W_ck = nn.Linear(config.d_model, PICK, bias=False)
        self.own = nn.Linear(config.d_model, 1)
        self.again = nn.Linear(config.d_model, 1)
        self.say = nn.Linear(config.d_model, 1)

    def hear(self, x: Tensor, given: Tensor) -> Tensor:
        """What is heard of what the memory gave, [batch, n, width]; x is [batch, n, d_model]."""
        with torch.autocast(x.device.type, enabled=False):
            return torch.sigmoid(self.say(_even(x))) * given

    def word(self, m: Tensor, x: Tensor, own: Tensor, heard: Tensor) -> Tensor:
        """What tokens write behind their values.

        Args:
            m: of those that write, which are the last, [batch, writers, d_model].
            x: of all that are in view, [batch, n, d_model].
            own: their words' codes, [batch, n, width].
            heard: [batch, n, width].

        Returns:
            [batch, writers, width], float32.
        """
        with torch.autocast(m.device.type, enabled=False):
            m, x = _even(m), _even(x)
            before = x.shape[1] - m.shape[1]
            picks = self.W_cq(m) @ self.W_ck(x).mT * PICK**-0.5
            picks = picks + torch.diag_embed(OWN + self.own(m).squeeze(-1), before)[:, : m.shape[1]]
            later = torch.ones_like(picks, dtype=torch.bool).triu(before + 1)
            share = torch.sigmoid(self.again(x) + AGAIN)
            told = (1 - share) * own + share * heard.float()
            return picks.masked_fill(later, float("-inf")).softmax(dim=-1) @ told


def _even(x: Tensor) -> Tensor:
    return F.rms_norm(x.float(), x.shape[-1:], eps=EPS)
