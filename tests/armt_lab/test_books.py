from __future__ import annotations

import random
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armt_lab import books

if TYPE_CHECKING:
    from pathlib import Path

prose_like = st.text(alphabet=st.sampled_from("Mr. I said!?\n\n\t 'John\"\u201d\u2019(\u201cx"), max_size=200)


@given(text=prose_like | st.text())
def test_the_pieces_join_to_the_text(text: str) -> None:
    assert "".join(books.sentences(text)) == text


@given(text=prose_like)
def test_no_piece_but_the_first_begins_with_white_space(text: str) -> None:
    assert not any(piece[0].isspace() for piece in books.sentences(text)[1:])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("It rained. We stayed in.", 2),
        ("Mr. Darcy smiled. Mrs. Bennet did not.", 2),
        ("J. Smith and E. A. Poe met. They spoke.", 2),
        ('"Is it so?" she asked. "It is!" He left.', 3),
        ("“Come in.” He came.", 2),
        ("A HEADING\n\nthen a line", 2),
        ("He paid 3.50 for it, i.e. too much.", 1),
        ("So said I. Then I left.", 2),
    ],
)
def test_a_sentence_ends_where_a_reader_would_say(text: str, count: int) -> None:
    assert len(books.sentences(text)) == count


def test_books_come_by_name_and_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("Second.", encoding="utf-8")
    (tmp_path / "a.txt").write_text("Fïrst.", encoding="utf-8")
    (tmp_path / "INDEX.tsv").write_text("not a book", encoding="utf-8")
    assert books.load(tmp_path) == [books.Book("a", "Fïrst."), books.Book("b", "Second.")]


def test_a_folder_without_books_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no \.txt file in"):
        books.load(tmp_path)


def test_real_books_are_cut_into_sentences_of_a_usual_length(data_folder: Path) -> None:
    book = next(b for b in books.load(data_folder / "books" / "test") if b.name == "jane-austen-emma")
    pieces = books.sentences(book.text)
    assert "".join(pieces) == book.text
    assert 60 < len(book.text) / len(pieces) < 200


def test_a_stream_reads_each_book_in_order_and_all_books_each_round() -> None:
    shelf = [["a1 ", "a2 ", "a3 "], [], ["b1 ", "b2 "]]
    read = list(islice(books.stream(shelf, random.Random(0)), 200))
    follows = {(x, y) for x, y in pairwise(read)}
    assert {"a1 ", "a2 ", "a3 ", "b1 ", "b2 "} == set(read)
    assert all(y == "a2 " for x, y in follows if x == "a1 ")
    assert all(y == "b2 " for x, y in follows if x == "b1 ")
    assert abs(read.count("a1 ") - read.count("b1 ")) <= 1


def test_an_empty_shelf_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        next(books.stream([[]], random.Random(0)))
