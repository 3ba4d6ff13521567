"""How facts stand in a text, if they do not begin plainly and end with a full stop."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

Mark = tuple[str, str]
"""What stands before a fact and behind it; of what stands before it, each # is any digit."""

MARKS: tuple[Mark, ...] = (
    *(("\u201c", ".\u201d"), ('"', '."'), ('"', '"'), ("[", ".]"), ("(", ".)"), ("- ", "."), ("* ", ".")),
    *(("- ", "\n"), ("", "\n"), ("", ";"), ("", "!"), ("", ",")),
)

LAYOUTS: tuple[Mark, ...] = (
    *(("", "\n"), ("- ", "\n"), ("* ", "\n"), ("#. ", "\n"), ("[##:##] ", "\n"), ("##:## ", "\n")),
    *(("", ";\n"), ("", ";"), ("", "!"), ("", ".\n"), ("- ", ".\n"), ("[##:##] ", ".\n")),
)
"""Marks that all facts of a text have alike, as in a list or a log."""

WIDTHS = (30, 80)
"""Characters in a line, at least and at most, of texts that are broken into lines."""


def marked(fact: str, mark: Mark, rng: random.Random) -> str:
    """The fact, which ends with a full stop, within the mark."""
    before, behind = mark
    return re.sub("#", lambda _: str(rng.randrange(10)), before) + fact.removesuffix(".") + behind


def wrapped(text: str, column: int, width: int) -> tuple[str, int]:
    """A text that begins at a column, with line ends where words would pass the width, and where it ends."""
    first, *words = text.split(" ")
    lines = " " * column + first  # what stands in the line already is as good as blank
    for word in words:
        end = len(lines) - lines.rfind("\n") - 1
        lines += ("\n" if end + 1 + len(word) > width else " ") + word
    return lines[column:], len(lines) - lines.rfind("\n") - 1
