from __future__ import annotations

import random
import re
from itertools import islice

import pytest

from armt_lab import prose
from armt_lab.world import OBJECTS, PEOPLE, PLACES


@pytest.fixture(scope="module")
def many() -> list[str]:
    return list(islice(prose.sentences(random.Random(0)), 20_000))


def words(sentences: list[str]) -> set[str]:
    return set(re.findall(r"[a-z]+", " ".join(sentences).lower()))


def test_the_same_seed_writes_the_same_text_and_another_seed_another() -> None:
    first, again, other = ("".join(islice(prose.sentences(random.Random(s)), 50)) for s in (1, 1, 2))
    assert first == again != other


def test_it_never_names_the_people_places_or_things_of_the_stories(many: list[str]) -> None:
    theirs = {word.lower() for people in PEOPLE.values() for word in (*people, *PLACES, *OBJECTS)}
    assert not words(many) & theirs


def test_it_walks_carries_and_gives_with_the_verbs_of_the_stories(many: list[str]) -> None:
    moves = "went back moved journeyed travelled"
    touches = "got took grabbed picked left discarded dropped gave handed passed"
    assert {*moves.split(), *touches.split()} <= words(many)


def test_its_vocabulary_is_several_hundred_words(many: list[str]) -> None:
    assert len(words(many)) > 600


def test_most_sentences_are_new(many: list[str]) -> None:
    assert len(set(many)) > 0.75 * len(many)


def test_each_sentence_begins_large_ends_with_a_stop_and_carries_its_white_space(many: list[str]) -> None:
    shape = re.compile(r'"?[A-Z][^{}]*[.?!]"?( |\n\n)')
    assert [s for s in many if not shape.fullmatch(s)] == []


def test_an_article_fits_the_word_after_it(many: list[str]) -> None:
    assert [s for s in many if re.search(r"\b(a [aeiou]|an (?!hour)[^aeiou])", s, re.IGNORECASE)] == []
