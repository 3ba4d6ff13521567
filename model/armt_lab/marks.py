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


def marked(fact: str, mark: Mark, rng: random.Random) -> str:
    """The fact, which ends with a full stop, within the mark."""
    before, behind = mark
    return re.sub("#", lambda _: str(rng.randrange(10)), before) + fact.removesuffix(".") + behind
