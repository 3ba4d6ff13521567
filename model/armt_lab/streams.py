"""Endless streams of text with facts in it, and the questions that can be asked on the way."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from typing import TYPE_CHECKING, Any

from armt_lab.world import Question, World

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    import numpy as np

    from armt_lab.recipe import Stage


@dataclasses.dataclass(frozen=True)
class Noise:
    """Background sentences as token ids, one after the other.

    Attributes:
        ids: [tokens] of all sentences, each with the white space before it.
        starts: [sentences + 1] where each begins in `ids`.
    """

    ids: np.ndarray
    starts: np.ndarray

    def sentence(self, i: int) -> list[int]:
        """Sentence `i` in reading order, round and round."""
        i %= len(self.starts) - 1
        return self.ids[self.starts[i] : self.starts[i + 1]].tolist()


@dataclasses.dataclass(frozen=True)
class Asked:
    """A question at a place in a stream.

    Attributes:
        question: its text and answer.
        age: tokens between the end of the newest supporting fact and the place where it is asked.
    """

    question: Question
    age: int


@dataclasses.dataclass(frozen=True)
class Source:
    """What all streams of a run draw from: the task's stories, the background, and how text becomes ids."""

    task: str
    noise: Noise
    encode: Callable[[str], tuple[int, ...]]


class Stream:
    """One row: a story told within noise, forever. Positions are counted from the story's start.

    It pickles without its source, which is large and the same for all.
    """

    def __init__(self, source: Source, stage: Stage, rng: random.Random) -> None:
        self.source, self.stage, self.rng = source, stage, rng
        self.start_story()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "source"}

    def start_story(self) -> None:
        """Forget everything and begin a new story at position 0."""
        low, high = self.stage.density
        self.density = math.exp(self.rng.uniform(math.log(low), math.log(high)))
        self.separator = self.rng.choice(" \n")
        self.world = World(self.source.task, self.rng)
        self.sentence = self.rng.randrange(len(self.source.noise.starts))
        self.ids: list[int] = []
        self.base = 0  # position of ids[0]
        self.fact_ends: list[int] = []
        self.known: deque[tuple[int, list[Question]]] = deque([(0, [])])

    def _background(self) -> list[int]:
        self.sentence += 1
        return self.source.noise.sentence(self.sentence)

    def _tell(self) -> None:
        end = self.base + len(self.ids)
        if self.rng.random() >= self.density:
            self.ids.extend(self._background())
            return
        text = self.world.fact()
        # The first sentence of a text has no white space before it.
        tokens = self.source.encode(text if end == 0 and self.rng.random() < 0.5 else self.separator + text)  # noqa: PLR2004
        room = -end % self.stage.segment
        if self.stage.whole_facts and 0 < room < len(tokens):
            filler = self._background()
            while len(filler) < room:
                filler += self._background()
            self.ids.extend(filler[:room])
            end += room
        self.ids.extend(tokens)
        self.fact_ends.append(end + len(tokens))
        self.known.append((end + len(tokens), self.world.questions()))

    def peek(self, count: int) -> list[int]:
        """The next `count` ids."""
        while len(self.ids) < count:
            self._tell()
        return self.ids[:count]

    def questions(self, ahead: int) -> list[Asked]:
        """What can be asked when `ahead` of the next ids have been read."""
        place = self.base + ahead
        told = next(questions for end, questions in reversed(self.known) if end <= place)
        return [Asked(q, place - max(self.fact_ends[i] for i in q.support)) for q in told]

    def advance(self, count: int) -> None:
        """Leave `count` ids behind."""
        del self.ids[:count]
        self.base += count
        while len(self.known) > 1 and self.known[1][0] <= self.base:
            self.known.popleft()
