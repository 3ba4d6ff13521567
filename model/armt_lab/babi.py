"""Reader of the published bAbI files, and the samples that a story gives.

A line is `N sentence.` or `N question?<TAB>answer<TAB>supporting lines`; N restarts at 1 with each story.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from armt_lab.world import Question, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_LINE = re.compile(r"(\d+) ([^\t]+)(?:\t([^\t]+)\t([\d ]+))?")


class BabiFormatError(ValueError):
    """A line that is not in the published format; says which."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One question with the facts before it; earlier questions are left out, as in BABILong.

    Attributes:
        facts: sentences in the order they were told.
        question: with its question mark.
        answer: as published: one word, or several with commas in tasks 8 and 19.
        support: indices into `facts` of the supporting ones.
    """

    facts: tuple[str, ...]
    question: str
    answer: str
    support: tuple[int, ...] = ()


def read(path: Path) -> list[list[Step]]:
    """The stories of one file; supporting line numbers become 0-based indices of facts.

    Raises:
        BabiFormatError: a line is not in the format, numbers do not follow on, or a support is not a fact.
    """
    stories: list[list[Step]] = []
    facts: dict[int, int] = {}  # line number in the story -> index of the fact
    expected = 1
    for at, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        found = _LINE.fullmatch(line.rstrip())
        if found is None:
            raise BabiFormatError(
                f"{path}:{at}: neither a numbered fact nor a question with answer and support"
            )
        number, text, answer, support = int(found[1]), found[2].strip(), found[3], found[4]
        if number == 1:
            stories.append([])
            facts = {}
        elif number != expected:
            raise BabiFormatError(f"{path}:{at}: line number {number} where {expected} or 1 should be")
        expected = number + 1
        if not stories:
            raise BabiFormatError(f"{path}:{at}: the first story starts at {number}, not at 1")
        if answer is None:
            facts[number] = len(facts)
            stories[-1].append(Step(fact=text))
            continue
        try:
            indices = tuple(facts[int(n)] for n in support.split())
        except KeyError as missing:
            raise BabiFormatError(f"{path}:{at}: line {missing} supports the answer but is no fact") from None
        stories[-1].append(Step(question=Question(text, answer.strip(), indices)))
    return stories


def samples(stories: Iterable[Sequence[Step]]) -> Iterator[Sample]:
    """One sample per question of each story, of read ones and of `armt_lab.world.story` alike."""
    for story in stories:
        facts: list[str] = []
        for step in story:
            if step.fact is not None:
                facts.append(step.fact)
            if step.question is not None:
                asked = step.question
                yield Sample(tuple(facts), asked.text, asked.answer, asked.support)
