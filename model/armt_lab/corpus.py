"""Text made ready for training: a tokenizer fitted to it, and background sentences as token ids."""

from __future__ import annotations

import hashlib
import random
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from armt_lab import books, prose
from armt_lab.streams import STORY_WORDS, Noise
from armt_lab.world import UNKNOWN, World

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

QUESTION, ANSWER, END = "<|question|>", "<|answer|>", "<|end|>"
TASKS = ("qa1", "qa2", "qa3", "qa4", "qa5")


def spaced_sentences(folder: Path | None, seed: int = 0) -> list[str]:
    """Background sentences, each with the white space that stands before it in the text.

    Args:
        folder: a folder of books, or None for 50,000 sentences of built-in prose.
        seed: of the built-in prose.
    """
    if folder is None:
        sentences = list(islice(prose.sentences(random.Random(seed)), 50_000))
    else:
        sentences = [s for book in books.load(folder) for s in books.sentences(book.text)]
    spaced, before = [], " "
    for sentence in sentences:
        text = sentence.rstrip()
        spaced.append(before + text)
        before = sentence[len(text) :] or "\n\n"  # a book ends without white space
    return spaced


def train_tokenizer(sentences: Sequence[str], vocab: int) -> Tokenizer:
    """A byte-level BPE of `vocab` entries in which every word of the stories is one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[QUESTION, ANSWER, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rng = random.Random(0)
    stories = []
    for task in TASKS:
        world = World(task, rng)
        for _ in range(20_000):
            stories.append(" " + world.fact())
            stories.extend(" " + q.text + " " + q.answer for q in world.questions()[:1])
    stories += [" " + UNKNOWN] * 20_000
    tokenizer.train_from_iterator([*sentences, *stories], trainer)
    return tokenizer


def encode_noise(tokenizer: Tokenizer, sentences: Sequence[str], cache: Path) -> Noise:
    """The sentences as ids; kept in `cache`, for it takes a minute with a shelf of books.

    Each sentence is encoded alone, which gives the ids of the joined text, for a byte-level pre-tokeniser
    splits before white space.
    """
    key = hashlib.sha256(tokenizer.to_str().encode())
    for sentence in sentences:
        key.update(sentence.encode())
    path = cache / f"noise-{key.hexdigest()[:16]}.npz"
    if not path.exists():
        encoded = [e.ids for e in tokenizer.encode_batch(list(sentences), add_special_tokens=False)]
        starts = np.cumsum([0, *map(len, encoded)])
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, ids=np.concatenate([np.array(e, dtype=np.int32) for e in encoded]), starts=starts)
    arrays = np.load(path)
    near = [i for i, sentence in enumerate(sentences) if STORY_WORDS.search(sentence)]
    return Noise(arrays["ids"], arrays["starts"], near)
