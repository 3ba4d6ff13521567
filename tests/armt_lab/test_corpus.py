"""The words and the background that lessons are made of."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from armt_lab import corpus


def test_open_words_are_the_commonest_of_the_books_without_the_published_and_those_held_out() -> None:
    text = " On Monday Emma met Edgar, Julie, Mary and Emma in the orchard, the lane, a shed, a garden."
    words = corpus.open_words([text])
    assert words.people[:2] == ("Emma", "Monday")
    assert (words.places[:1], words.things) == (("lane",), ())


@given(st.lists(st.text("abcdefgh", min_size=3, max_size=9), unique=True, max_size=30), st.integers(0, 99))
def test_made_up_words_begin_as_one_and_end_as_another_and_are_none_of_them(
    words: list[str], seed: int
) -> None:
    made = corpus.invented(words, random.Random(seed))
    assert len(made) <= len(words)
    assert not {*made} & {*words}
    for word in made:
        cuts = range(2, len(word))
        assert any(
            any(other.startswith(word[:cut]) for other in words)
            and any(other.endswith(word[cut:]) for other in words)
            for cut in cuts
        )
