"""Text made ready for training: a tokenizer fitted to it, and background sentences as token ids."""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from armt.steps import AS_WITHIN
from armt.text import StreamTokenizer
from armt_lab import books, prose
from armt_lab.nameless import PRONOUNS, WHO
from armt_lab.source import Noise
from armt_lab.words import (
    EVERYONE,
    HELD_OUT,
    OBJECTS,
    PLACES,
    STRANGERS,
    TASKS,
    UNKNOWN,
    VERBS,
    Words,
)
from armt_lab.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

QUESTION, ANSWER, END = "<|question|>", "<|answer|>", "<|end|>"
LONGEST_DISGUISED = 160
OPEN = 4_000
"""Names of people, of places and of things to tell stories of, each."""
MISREAD = 2_500
"""Names that begin like a pronoun, at most."""
OBJECT_SHARE = 0.2
STORY_WORDS = re.compile(rf"\b(?:{'|'.join((*EVERYONE, *PLACES, *OBJECTS))})s?\b")
_PERSON = re.compile(rf"\b(?:{'|'.join(EVERYONE)})\b")
_NAMED = re.compile(r"\b(?:[Hh]e|[Ss]he|I|[Tt]hey|[Ww]e|(?<=\w )[A-Z][a-z]{2,8}|Mr\. [A-Z][a-z]+)\b")
_THING = re.compile(r"\b(?:the|a|his|her|my|their) [a-z]{3,12}\b")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,9}\b")
_NOUN = re.compile(r"\b(?:the|a|his|her|my|their) ([a-z]{3,12})\b")
_TOLD = re.compile(rf"\b(?!(?:{'|'.join(PRONOUNS)}) )[A-Z]\w+ (?:{'|'.join(VERBS)}) the \w+")
_TELLS = re.compile(
    rf"\b(?:{'|'.join(EVERYONE)}) (?:{'|'.join(VERBS)}) the "
    rf"(?:{'|'.join((*PLACES, *OBJECTS))})\b|\bThe \w+ is (?:north|south|east|west) of the"
)


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


def disguised(sentences: Sequence[str], count: int, seed: int = 0) -> list[str]:
    """Background that is easily taken for facts: sentences with people and places of the stories put in.

    "He opened the door" becomes "Mary opened the kitchen". Sentences that tell what a story could tell are
    left out, so what comes is noise for certain.

    Args:
        sentences: as `spaced_sentences` gives them.
        count: how many to make.
        seed: of what is put where.
    """
    rng = random.Random(seed)
    made: list[str] = []
    while len(made) < count:
        sentence = rng.choice(sentences)
        if len(sentence) > LONGEST_DISGUISED:
            continue
        sentence = _NAMED.sub(lambda _: rng.choice(EVERYONE), sentence, count=rng.choice((1, 1, 2)))
        sentence, changed = _THING.subn(
            lambda _: "the " + rng.choice(OBJECTS if rng.random() < OBJECT_SHARE else PLACES),
            sentence,
            count=rng.choice((1, 1, 2)),
        )
        if changed and _PERSON.search(sentence) and not _TELLS.search(sentence):
            made.append(sentence)
    return made


def open_words(sentences: Sequence[str]) -> Words:
    """Words to tell stories of, as a text has them: names of people from within sentences, nouns of the rest.

    The commonest, and as many that are made up (`invented`), without those that the published stories,
    `HELD_OUT` or `STRANGERS` have. What they mean does not matter: what is to be learnt is that any word may
    stand there.
    """
    taken = {*EVERYONE, *PLACES, *OBJECTS, UNKNOWN, *STRANGERS, *PRONOUNS}
    taken |= {*HELD_OUT.people, *HELD_OUT.places, *HELD_OUT.things}

    def commonest(pattern: re.Pattern[str], count: int) -> list[str]:
        found = Counter(word for sentence in sentences for word in pattern.findall(sentence))
        return [word for word, _ in found.most_common(count) if word not in taken]

    names, nouns = commonest(_NAME, OPEN), commonest(_NOUN, 2 * OPEN)
    kinds = names, nouns[::2], nouns[1::2]
    rng = random.Random(0)
    made = [invented(kind, rng) for kind in kinds]
    made[0] += misread(names, rng)
    return Words(
        *((*kind, *(w for w in more if w not in taken)) for kind, more in zip(kinds, made, strict=True))
    )


def invented(words: Sequence[str], rng: random.Random) -> list[str]:
    """About as many words that nobody has: the beginning of one and the end of another."""
    made = (
        first[: rng.randint(2, 4)] + second[-rng.randint(2, 5) :]
        for first, second in zip(words, rng.sample(words, len(words)), strict=True)
    )
    return sorted({*made} - {*words})


def misread(names: Sequence[str], rng: random.Random) -> list[str]:
    """Names nobody has that begin like who has no name, as Hector is "He" and "ctor" to a tokenizer."""
    begins = [who.capitalize() for who in WHO if " " not in who]
    ends = rng.sample(names, min(len(names), MISREAD))
    return sorted({rng.choice(begins) + name[-rng.randint(2, 3) :].lower() for name in ends} - {*names})


def train_tokenizer(sentences: Sequence[str], vocab: int) -> Tokenizer:
    """A byte-level BPE of `vocab` entries in which every word of the stories is one token."""
    tokenizer = as_within(Tokenizer(models.BPE()))
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


def as_within(tokenizer: Tokenizer) -> Tokenizer:
    """The same, byte-level, in which a word is the tokens that it is within a line wherever it stands first.

    In a text, in a line, and behind marks that open something.
    """
    other = Tokenizer.from_str(tokenizer.to_str())
    steps = [normalizers.Replace(Regex(pattern), content) for pattern, content in AS_WITHIN.items()]
    other.normalizer = normalizers.Sequence(steps)
    other.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return other


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
        stream = StreamTokenizer(tokenizer)
        encoded = [stream.encode(sentence, begins=False) for sentence in sentences]
        starts = np.cumsum([0, *map(len, encoded)])
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, ids=np.concatenate([np.array(e, dtype=np.int32) for e in encoded]), starts=starts)
    arrays = np.load(path)
    near = [i for i, sentence in enumerate(sentences) if STORY_WORDS.search(sentence)]
    told = frozenset(i for i, sentence in enumerate(sentences) if _TOLD.search(sentence))
    return Noise(arrays["ids"], arrays["starts"], near, told)
