from __future__ import annotations

import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armt_lab import prose
from armt_lab.babi import Sample
from armt_lab.babilong import BackgroundTooShortError, Composed, compose, utf8_length

FACTS = ("Mary moved to the bathroom.", "John went to the hallway.", "Mary went to the office.")
SAMPLE = Sample(FACTS, "Where is Mary?", "office")

sentence = st.text(alphabet="abcé .\n", min_size=1, max_size=30)
facts = st.lists(st.sampled_from(FACTS), max_size=8).map(tuple)


def without_facts(composed: Composed, facts: tuple[str, ...]) -> str:
    text = composed.text
    for offset, fact in reversed(list(zip(composed.fact_offsets, facts, strict=True))):
        assert text[offset : offset + len(fact) + 1] == fact + " "
        text = text[:offset] + text[offset + len(fact) + 1 :]
    return text


def ends(sentences: list[str]) -> set[int]:
    return {sum(map(len, sentences[:i])) for i in range(len(sentences) + 1)}


@given(facts=facts, background=st.lists(sentence, min_size=1), length=st.integers(0, 600), seed=st.integers())
def test_the_text_is_the_background_with_the_facts_in_order_at_its_sentence_boundaries(
    facts: tuple[str, ...], background: list[str], length: int, seed: int
) -> None:
    sample = Sample(facts, "Where is Mary?", "office")
    composed = compose(sample, background, length, utf8_length, random.Random(seed))
    spaced = [s if s[-1].isspace() else s + " " for s in background]
    rest = without_facts(composed, facts)
    rounds = len(rest) // len("".join(spaced)) + 2
    starts = [i for i in range(len(spaced)) if "".join(spaced[i:] + spaced * rounds).startswith(rest)]
    assert starts
    assert list(composed.fact_offsets) == sorted(composed.fact_offsets)
    places = [offset - sum(len(f) + 1 for f in facts[:i]) for i, offset in enumerate(composed.fact_offsets)]
    assert any(set(places) <= ends(spaced[start:] + spaced * rounds) for start in starts)


@given(length=st.integers(0, 20_000), seed=st.integers())
def test_it_is_as_long_as_asked_but_for_one_sentence_and_never_leaves_a_fact_out(
    length: int, seed: int
) -> None:
    background = list(islice(prose.sentences(random.Random(0)), 300))
    composed = compose(SAMPLE, background, length, utf8_length, random.Random(seed))
    size = utf8_length(composed.text) + utf8_length(composed.question)
    smallest = sum(len(f) + 1 for f in FACTS) + len(SAMPLE.question)
    assert size <= max(length, smallest)
    assert size > length - max(map(utf8_length, background))


def test_the_question_stands_apart_from_the_text() -> None:
    composed = compose(SAMPLE, prose.sentences(random.Random(0)), 2000, utf8_length, random.Random(0))
    assert (composed.question, composed.answer) == ("Where is Mary?", "office")
    assert composed.question not in composed.text


def test_the_same_seed_composes_the_same_text_and_another_seed_another() -> None:
    background = list(islice(prose.sentences(random.Random(0)), 300))
    first, again, other = (
        compose(SAMPLE, background, 5000, utf8_length, random.Random(seed)).text for seed in (1, 1, 2)
    )
    assert first == again != other


def test_facts_are_spread_over_the_whole_text() -> None:
    rng = random.Random(0)
    background = list(islice(prose.sentences(rng), 300))
    places = []
    for _ in range(200):
        composed = compose(SAMPLE, background, 5000, utf8_length, rng)
        places += [offset / len(composed.text) for offset in composed.fact_offsets]
    assert min(places) < 0.05
    assert max(places) > 0.95
    assert sum(places) / len(places) == pytest.approx(0.5, abs=0.05)


def test_an_iterator_goes_on_where_the_last_text_ended() -> None:
    numbers = iter(f"Number {i}. " for i in range(10_000))
    first = compose(SAMPLE, numbers, 500, utf8_length, random.Random(0))
    second = compose(SAMPLE, numbers, 500, utf8_length, random.Random(0))
    assert "Number 0." in first.text
    assert "Number 0." not in second.text


@pytest.mark.parametrize("background", [[], iter([]), iter(["Too short. "])])
def test_a_background_that_ends_too_early_is_refused(background: list[str]) -> None:
    with pytest.raises(BackgroundTooShortError, match="give more text"):
        compose(SAMPLE, background, 5000, utf8_length, random.Random(0))


def test_any_measure_will_do() -> None:
    composed = compose(
        SAMPLE, prose.sentences(random.Random(0)), 400, lambda text: len(text.split()), random.Random(0)
    )
    assert 370 < len(composed.text.split()) <= 400
