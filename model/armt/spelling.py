"""The codes of tokens, and of the words that they make up. Nothing here is learnt.

A word of several tokens is one sum of their codes, each turned by its place in the word
(Plate 1995, doi 10.1109/72.377968, binds by convolution; turning does as well and costs nothing), so that who
has found a word's place in the memory has all of it. Behind the first each is also multiplied by the signs of
the token's before it (Gayler, arXiv cs/0412059), so that who has heard two words goes on with the one begun.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import torch
from tokenizers.decoders import ByteLevel
from torch import nn
from torch.nn import functional as F

from armt.layout import earlier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from armt.layout import Layout

LOUD = 40.0
"""What a token's logit gains where what was heard is its code."""

SURE, CLEAR = 0.28, 0.5
"""How much of what was heard a part of a word must be for the word to have been heard, and how loudly against
that part a token must have been heard for the word to go on with it."""

GAIN, BOUND = 120.0, 20.0
"""What the logit of such a token gains for what it is louder than CLEAR; and the most that the blocks may say
there, which of a word that no fact in training had know only how others ended."""


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
"""Tokens of a word that are kept together: of one that is longer the last, the first of them still bound."""

NO_WORD, BEGINS, GOES_ON = 0, 1, 2

_SIGNS = frozenset("Ââ")
"""How a byte-level tokenizer writes the bytes with which characters begin that are hardly ever letters."""


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

        Bytes of a character of several count as its letters. Without, each token stands alone.
        """
        written = ByteLevel().decode if "Ġ" in vocabulary else "".join
        for token, i in vocabulary.items():
            text = written([token])
            letters = text.lstrip(" ▁")
            if letters.replace("\ufffd", "e").isalpha() and not ("\ufffd" in text and _SIGNS & {*token}):
                self.part[i] = BEGINS if letters != text else GOES_ON

    def forward(self, ids: Tensor, layout: Layout | None = None) -> Tensor:
        """What each token's word is so far, [batch, n] -> [batch, n, width]: the sum of its tokens' codes.

        Each is turned by its place in the word, and bound to the token before it.
        """
        return self._so_far(ids, self._runs(ids, layout), layout, self.codes)

    def ended(self, ids: Tensor, layout: Layout | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
        """The word that ended just before each token, [batch, n] -> [batch, n, width]; 0 within a word.

        Only behind a word is it known where it ends: of "conservatory" a token in it is "conserv".
        """
        runs = self._runs(ids, layout)
        if layout is None and not torch.is_grad_enabled():
            so_far = self._where_longer(ids, runs, self.codes, dtype)
        else:
            so_far = self._so_far(ids, runs, layout, self.codes).to(dtype)
        (before,) = earlier(so_far, 1, layout)
        return before * (1 - runs[0]).to(dtype)

    def next(self, heard: Tensor, ids: Tensor, layout: Layout | None = None) -> Tensor:
        """What the last of `ids` heard, turned so that it bears on the token that comes next.

        That is the word's next one behind a part of a word, and else the first of one. Behind a part of what
        was heard that part is taken off, so that of a word that was said nothing is left to go on with, and
        of others what is left is as loud as what was said.

        Args:
            heard: [batch, m <= n, width].
            ids: [batch, n].
            layout: where these stand, if not in plain rows.

        Returns:
            [batch, m, width + 1]: what was heard; behind a part of it what is left, over how loud that part
            was, and 1, else 0.
        """
        runs, n = self._runs(ids, layout), heard.shape[1]
        place = torch.where(self.part[ids] == NO_WORD, 0, _place(runs) + 1)[:, -n:]
        said = self._so_far(ids, runs, layout, self.codes)[:, -n:]
        loud = (heard * said).sum(dim=-1) / place.clamp(min=1)
        within = (place > 0) & (loud > SURE * heard.norm(dim=-1))
        left = heard / torch.where(within, loud, 1.0).unsqueeze(-1) - within.unsqueeze(-1) * said
        ahead, last = _turned(left, -place), F.embedding(ids[:, -n:], self.codes)
        ahead = torch.where(place.unsqueeze(-1) > 0, ahead * last.sign(), ahead)
        return torch.cat((ahead, within.unsqueeze(-1)), dim=-1).to(heard.dtype)

    def say(self, logits: Tensor, ahead: Tensor) -> Tensor:
        """What the blocks say, [..., vocabulary], and what `next` gave, [..., width + 1]: logits of both.

        Within a word that was heard it goes on with what of it is left, if there is, and ends as the blocks
        would have it if there is not.
        """
        ahead, within = ahead.float().tensor_split((-1,), dim=-1)
        clear = ahead @ self.codes.mT
        more = GAIN * F.relu(clear - CLEAR) * (self.part == GOES_ON)
        blocks = torch.where(more.any(dim=-1, keepdim=True), logits.clamp(max=BOUND), logits)
        return torch.where(within > 0, blocks + more, logits + LOUD * clear)

    @classmethod
    def _where_longer(cls, ids: Tensor, runs: list[Tensor], codes: Tensor, dtype: torch.dtype) -> Tensor:
        """`_so_far` of plain rows, worked out only for words of several tokens."""
        joined = runs[0].squeeze(-1) > 0
        longer = (joined | F.pad(joined[:, 1:], (0, 1))).flatten().nonzero().flatten()
        # All in one row, in which each word is still whole.
        words = [run.reshape(1, -1, 1)[:, longer] for run in runs]
        found = F.embedding(ids, codes).to(dtype).flatten(0, 1)
        found[longer] = cls._so_far(ids.reshape(1, -1)[:, longer], words, None, codes)[0].to(dtype)
        return found.view(*ids.shape, -1)

    @staticmethod
    def _so_far(ids: Tensor, runs: list[Tensor], layout: Layout | None, codes: Tensor) -> Tensor:
        own = F.embedding(ids, codes)
        (before,) = earlier(own, 1, layout)
        own = whole = torch.where(runs[0] > 0, own * before.sign(), own)
        for d, (run, before) in enumerate(zip(runs, earlier(own, LONGEST - 1, layout), strict=True), start=1):
            whole = torch.addcmul(whole, run.to(codes.dtype), before.roll(-d, dims=-1))
        return _turned(whole, _place(runs))

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
    places = torch.arange(-LONGEST, LONGEST + 1, device=codes.device)
    from_entry = (torch.arange(width, device=codes.device) - places[:, None]) % width
    return codes.gather(-1, F.embedding(by + LONGEST, from_entry))
