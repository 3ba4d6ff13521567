from __future__ import annotations

import random
import re

from armt_lab import nameless
from armt_lab.words import EVERYONE, OBJECTS, PEOPLE, PLACES, VERBS, Words

BOOK = " The rain fell."
ACTS = rf"(?:{'|'.join(VERBS)}) the (?:{'|'.join((*PLACES, *OBJECTS))})\b"


def told(before: str) -> list[str]:
    rng = random.Random(1)
    return [nameless.sentence(Words(PEOPLE["qa1"]), before, rng) for _ in range(400)]


def test_what_is_told_of_nobody_reads_like_a_fact_and_names_no_one() -> None:
    for sentence in told(BOOK):
        assert re.search(ACTS, sentence), sentence
        assert not any(name in sentence for name in EVERYONE), sentence


def test_it_stands_alone_or_joined_to_what_the_book_says() -> None:
    joined = [sentence.startswith(BOOK[:-1]) for sentence in told(BOOK)]
    assert 120 < sum(joined) < 280
    assert not any("rain" in sentence for sentence in told('\n\n"Who is there?"'))


def test_the_white_space_before_the_book_s_sentence_stays() -> None:
    assert all(sentence.startswith("\n\n") for sentence in told("\n\nThe rain fell."))
