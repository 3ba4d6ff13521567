"""The words and the background that lessons are made of."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from armt_lab import corpus

if TYPE_CHECKING:
    from pathlib import Path


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


def test_names_that_begin_like_a_pronoun_are_among_the_open_words_and_no_pronoun_is() -> None:
    names = [
        f"{a}{b}{c}" for a in ("Mar", "Tol", "Bri") for b in ("be", "da", "lo") for c in ("rt", "nd", "ck")
    ]
    people = corpus.open_words([" then " + ", ".join((*names, "She", "They")) + "."]).people
    behind = {name.removeprefix("She") for name in people if name.startswith("She")}
    assert behind
    assert all(any(name.endswith(end) for name in names) for end in behind)
    assert not {"She", "They"} & {*people}


def test_only_what_somebody_with_a_name_does_is_spared_as_what_a_story_might_tell(tmp_path: Path) -> None:
    sentences = [" Diana took the word.", " She took the word.", ' "They went to the sands."', " He is here."]
    tokenizer = corpus.train_tokenizer(sentences, 512)
    noise = corpus.encode_noise(tokenizer, sentences, tmp_path)
    assert [i in noise.told for i in range(4)] == [True, False, False, False]
