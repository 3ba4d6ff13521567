from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from armt_lab.marks import wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

WORDS = st.lists(st.text("ab.", min_size=1, max_size=20), min_size=1, max_size=40)


@given(WORDS, st.integers(20, 50))
def test_a_text_in_lines_has_the_same_words_none_of_which_would_have_fit_the_line_before(
    words: Sequence[str], width: int
) -> None:
    text, column = wrapped(" ".join(words), 0, width)
    lines = text.split("\n")
    assert text.replace("\n", " ") == " ".join(words)
    assert all(len(line) <= width for line in lines)
    assert all(len(f"{a} {b.split(' ')[0]}") > width for a, b in itertools.pairwise(lines))
    assert column == len(lines[-1])


@given(WORDS, WORDS, st.integers(20, 50))
def test_a_text_told_in_two_pieces_has_the_same_lines(
    first: Sequence[str], second: Sequence[str], width: int
) -> None:
    begun, column = wrapped(" ".join(first), 0, width)
    rest, _ = wrapped(" " + " ".join(second), column, width)
    assert begun + rest == wrapped(" ".join([*first, *second]), 0, width)[0]
