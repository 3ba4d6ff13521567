"""A shelf of books: plain text files in a folder, cut into sentences without losing a character."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_BREAK = re.compile(
    r"""
    \n\s*\n\s*                            # a blank line ends a paragraph, whatever stands before it
    | [.!?] ["'\u2019\u201d)\]]{0,2} \s+  # an end, closing quotes; then something that begins like a sentence
      (?= ["'\u2018\u201c(\[_]{0,2} [A-Z0-9] )
    """,
    re.VERBOSE,
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Messrs|Dr|St|Rev|Hon|Capt|Col|Gen|Lieut|Sergt|Prof|Esq|Jun|Sen|No|Nos|Vol|Chap|Fig|viz)"
    r"|\b[A-HJ-Z])\.\s+$"
)
_ABBREVIATION_REACH = 12  # characters before the break in which the longest of them fits


@dataclasses.dataclass(frozen=True, slots=True)
class Book:
    """One book.

    Attributes:
        name: the file's name without ending.
        text: the whole of it.
    """

    name: str
    text: str


def load(folder: Path) -> list[Book]:
    """All `.txt` files of a folder, in the order of their names.

    Raises:
        FileNotFoundError: there is no such folder, or no book in it.
    """
    paths = sorted(folder.glob("*.txt"))
    if not paths:
        raise FileNotFoundError(f"no .txt file in {folder}: name a folder that holds books as plain text")
    return [Book(path.stem, path.read_text(encoding="utf-8")) for path in paths]


def sentences(text: str) -> list[str]:
    """Cut `text` after each sentence, so that joining the pieces gives it back.

    White space stays at the end of the sentence before it. Titles ("Mr. Darcy") and initials ("J. Smith")
    do not end a sentence; a rare wrong cut is harmless, for the pieces still join to the text.
    """
    pieces = []
    start = 0
    for found in _BREAK.finditer(text):
        end = found.end()
        if _ABBREVIATION.search(text, max(start, found.start() - _ABBREVIATION_REACH), end):
            continue
        pieces.append(text[start:end])
        start = end
    if start < len(text):
        pieces.append(text[start:])
    return pieces


def stream(shelf: Sequence[Sequence[str]], rng: random.Random) -> Iterator[str]:
    """Endless background: the sentences of whole books in reading order, the books in a new order each round.

    Args:
        shelf: the sentences of each book, at least one of them; see `sentences`.
        rng: draws the order of the books and where in the very first one the reading begins.

    Raises:
        ValueError: the shelf holds no sentence.
    """
    filled = [book for book in shelf if book]
    if not filled:
        raise ValueError("the shelf is empty: give at least one book")
    skip = None
    while True:
        for book in rng.sample(filled, len(filled)):
            skip = rng.randrange(len(book)) if skip is None else 0
            yield from book[skip:]
