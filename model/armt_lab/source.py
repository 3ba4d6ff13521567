"""What all streams of a run draw from: the background, a tokenizer, words."""

from __future__ import annotations

import dataclasses
from collections import deque
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from armt.text import StreamTokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    import numpy as np
    from tokenizers import Tokenizer

    from armt_lab.words import Words

KEPT = 50_000
"""Sentences of stories whose ids are kept at hand: with published words all, with open ones the last."""

MISSED = 4000
"""Sentences that were taken for facts, the last of which are shown again."""


@dataclasses.dataclass(frozen=True)
class Noise:
    """Background sentences as token ids, one after the other.

    Attributes:
        ids: [tokens] of all sentences, each with the white space before it.
        starts: [sentences + 1] where each begins in `ids`.
        near: sentences that have a word of the stories in them, without being facts of any.
        told: sentences that somebody's story might have, as in "John went to the prison."
    """

    ids: np.ndarray
    starts: np.ndarray
    near: Sequence[int] = ()
    told: Container[int] = frozenset()

    def sentence(self, i: int) -> list[int]:
        """Sentence `i` in reading order, round and round."""
        i %= len(self.starts) - 1
        return self.ids[self.starts[i] : self.starts[i + 1]].tolist()


@dataclasses.dataclass(frozen=True)
class Source:
    """What all streams of a run draw from.

    Attributes:
        noise: the background.
        begin: text -> ids, of one that begins with it.
        encode: the same of one that goes on.
        decode: ids -> text.
        words: of stories that do not tell of the published ones, and of strangers to those that do.
        missed: background sentences that were taken for facts, to be shown again.
    """

    noise: Noise
    begin: Callable[[str], Sequence[int]]
    encode: Callable[[str], Sequence[int]]
    decode: Callable[[Sequence[int]], str]
    words: Words
    missed: deque[int] = dataclasses.field(default_factory=lambda: deque(maxlen=MISSED))

    @classmethod
    def of(cls, tokenizer: Tokenizer, noise: Noise, words: Words) -> Source:
        """With the tokenizer's ids, the last of which are kept at hand."""
        encode = StreamTokenizer(tokenizer).encode
        further = lru_cache(KEPT)(partial(encode, begins=False))
        return cls(noise, encode, further, tokenizer.decode, words)

    def miss(self, sentences: Sequence[int]) -> None:
        """Show these again, on which a gate opened, but not those that it may open on.

        Of the same few again and again, it is their words that would be learnt, to be no facts.
        """
        self.missed.extend(sentence for sentence in sentences if sentence not in self.noise.told)
