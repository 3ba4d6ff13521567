"""Sentences that read like facts of nobody by name, as "She handed the milk to the others" in a book does.

Books are full of them, and nobody can ask after whom they tell of. Kept in a memory like facts, they take
things where nobody went (docs/experiments.md, 37).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armt_lab.words import DROPS, GIVES, GRABS, MOVES

if TYPE_CHECKING:
    import random

    from armt_lab.words import Words

WHO = (
    *("she", "he", "they", "we", "I", "you", "it", "she", "he", "they"),
    *("one of them", "the others", "the old man", "the girl", "the boys"),
)
"""Who acts, the commonest twice."""

TO = (
    *("her", "him", "them", "us", "me", "you"),
    *("the rest", "the others", "everybody", "one of them", "the boy"),
)
JOINED = (", as ", ", and ", ", while ", "; then ", ", for ", "; and ", " when ", ", before ")
"""What stands between a sentence of a book and such a one."""

JOINS, SHORTENED = 0.5, 0.2
"""How often one is joined to a sentence that may be, and then without saying who: "and took the milk"."""

ENDS = (".", ".", ".", ".", ".", "!", ";", ",")

PRONOUNS = ("She", "He", "They", "We", "You", "It", "Who", "This", "That", "There", "The", "One")
"""Words that begin sentences and are nobody's names."""


def sentence(words: Words, before: str, rng: random.Random) -> str:
    """One of a story's places and things, with the white space before it.

    Args:
        words: of the story.
        before: a sentence of a book with the white space before it; now and then its end joins what is told.
        rng: every choice is drawn from it.
    """
    thing, place = rng.choice(words.things), rng.choice(words.places)
    acts = (
        f"{rng.choice(MOVES)} the {place}",
        f"{rng.choice(GRABS)} the {thing}{rng.choice(('', ' there'))}",
        f"{rng.choice(DROPS)} the {thing}{rng.choice(('', ' there'))}",
        f"{rng.choice(GIVES)} the {thing} to {rng.choice(TO)}",
    )
    who, act = rng.choice(WHO), rng.choice(acts) + rng.choice(ENDS)
    if before.endswith(".") and rng.random() < JOINS:
        joined = " and" if rng.random() < SHORTENED else f"{rng.choice(JOINED)}{who}"
        return f"{before[:-1]}{joined} {act}"
    return f"{before[: len(before) - len(before.lstrip())]}{who[0].upper()}{who[1:]} {act}"
