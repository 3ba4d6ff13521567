"""Endless streams of text with facts in it, and the questions that can be asked on the way."""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left, bisect_right
from collections import deque
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from armt_lab import nameless
from armt_lab.marks import LAYOUTS, MARKS, WIDTHS, marked, wrapped
from armt_lab.words import HANDS, UNKNOWN
from armt_lab.world import Question, World

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from armt_lab.recipe import Stage
    from armt_lab.source import Source

STRANGE = 0.15
"""Weight of questions after somebody never named, against 1 for the story's own."""

BLANK, MIDST = 0.25, 0.2
"""Shares of questions with a blank before them; and in the midst of a sentence, if need be."""


class Topic(NamedTuple):
    """What of a question the log tells accuracy by; see `Asked`."""

    kind: str
    age: int
    is_open: bool


@dataclasses.dataclass(frozen=True)
class Asked:
    """A question at a place in a stream.

    Attributes:
        kind: its task, or "unknown".
        question: its text and answer.
        age: tokens between the end of the newest supporting fact and the place where it is asked.
        place: how many of the stream's next ids are read before it.
        blank: white space between text and question that no word took up, as texts often end in it.
        is_open: whether the story is of words drawn from the books.
        fact: where the newest of the facts that give the answer stands, counted from the stream's next id;
            None if they are two, or it was told too long ago.
        older: where facts stand that were the newest of those that gave one before.
    """

    kind: str
    question: Question
    age: int
    place: int
    blank: str
    is_open: bool
    fact: range | None = None
    older: Sequence[range] = ()

    @property
    def topic(self) -> Topic:
        """What it is about."""
        return Topic(self.kind, self.age, self.is_open)


class Told(NamedTuple):
    """What stands from `start` to `end`: background sentence `sentence`, a fact, or one of `nameless`."""

    start: int
    end: int
    sentence: int


FACT, NAMELESS = -1, -2
"""What a sentence is that is not of the background."""


def _newest_support(question: Question) -> float:
    return max(question.support, default=math.inf)


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
        self.mark = self.rng.choice(LAYOUTS) if self._chance(self.stage.laid_out) else None  # of every fact
        self.width = self.rng.randint(*WIDTHS) if not self.mark and self._chance(self.stage.wrapped) else 0
        self.column = 0
        self.line_ended = False
        tasks = self.stage.tasks
        task = self.rng.choices(list(tasks), list(tasks.values()))[0]
        renamed = self._renamed()
        self.is_open = bool(renamed)
        words = self.source.words.cast(task, self.rng, renamed)
        self.unsaid = frozenset() if self.stage.spelled else words.beyond_published
        self.words, self.world = words, World(task, self.rng, words, self.stage.habits)
        self.sentence = self.rng.randrange(len(self.source.noise.starts))
        self.ids: list[int] = []
        self.base = 0  # position of ids[0]
        self.fact_ends: list[int] = []
        self.told: deque[Told] = deque()
        self.known: deque[tuple[int, Mapping[str, list[Question]]]] = deque([(0, {})])
        self.answered: dict[str, list[int]] = {}  # the newest fact of each answer that a question had

    def _renamed(self) -> list[str]:
        """Which words the story to come draws anew."""
        if not self._chance(self.stage.open):
            return []
        return [kind for kind, share in self.stage.renamed.items() if self.rng.random() < share]

    def _chance(self, share: float) -> bool:
        return share > 0 and self.rng.random() < share

    def _background(self) -> int:
        """The next sentence of the book, or now and then one that is easily taken for a fact."""
        if self.rng.random() < self.stage.rehearse:
            for pool in self.rng.sample((self.source.missed, self.source.noise.near), 2):
                if pool:
                    return pool[self.rng.randrange(len(pool))]
        self.sentence += 1
        return self.sentence

    def _tell(self) -> None:
        start = self.base + len(self.ids)
        if self.rng.random() >= self.density:
            sentence = self._background()
            ids: Sequence[int] = self.source.noise.sentence(sentence)
            if self._chance(self.stage.nameless):
                text = nameless.sentence(self.words, self.source.decode(ids), self.rng)
                sentence, ids = NAMELESS, self._encoded(text)
            elif self.width:
                ids = self._encoded(self.source.decode(ids))
            self.ids.extend(ids)
            self.told.append(Told(start, self.base + len(self.ids), sentence))
            self.line_ended = False
            return
        text = self.world.fact()
        if mark := self.mark or (self.rng.choice(MARKS) if self._chance(self.stage.marked) else None):
            text = marked(text, mark, self.rng)
        lead = "\n" if self.line_ended else self.separator
        encoded = self._encoded(lead + text if start else text)
        self.ids.extend(encoded[1:] if self.line_ended else encoded)  # the line's end stands already
        self.line_ended = text.endswith("\n")
        end = self.base + len(self.ids)
        self.told.append(Told(start, end, FACT))
        self.fact_ends.append(end)
        asks = self._asks()
        self.known.append((end, asks))
        now = len(self.fact_ends) - 1
        for text in {q.text for of_kind in asks.values() for q in of_kind if now in q.support[-1:]}:
            self.answered.setdefault(text, []).append(now)

    def _encoded(self, text: str) -> Sequence[int]:
        """What comes next, in lines if the story is."""
        if self.width:
            text, self.column = wrapped(text, self.column, self.width)
        return self.source.encode(text) if self.ids or self.base else self.source.begin(text)

    def _asks(self) -> Mapping[str, list[Question]]:
        """What may be asked now."""
        asks = self.world.asks()
        if not self.unsaid:
            return asks
        kept = {kind: [q for q in of_kind if q.answer not in self.unsaid] for kind, of_kind in asks.items()}
        return {kind: questions for kind, questions in kept.items() if questions}

    def peek(self, count: int) -> list[int]:
        """The next `count` ids."""
        while len(self.ids) < count:
            self._tell()
        return self.ids[:count]

    def in_view(self, first: int, last: int) -> list[Told]:
        """What stands, wholly or in part, among the next ids `first` (may be negative) to `last`."""
        return [t for t in self.told if t.end > self.base + first and t.start < self.base + last]

    def pause(self, first: int, last: int) -> int:
        """A place from `first` to `last` of the next ids, most often one where a sentence ends."""
        place = self.rng.randint(first, last)
        if self.rng.random() >= MIDST:
            i = bisect_right(self.told, self.base + place, key=attrgetter("end")) - 1
            if i >= 0 and self.told[i].end >= self.base + first:
                return self.told[i].end - self.base
        return place

    def questions(self, places: Sequence[int]) -> list[Asked]:
        """A question at each of `places`, counted from the next id; none where nothing can be asked."""
        found = []
        for place in places:
            at = self.base + place
            asks = self.known[bisect_right(self.known, at, key=itemgetter(0)) - 1][1]
            if not asks:
                continue
            kind = self._choose(list(asks))
            # The one with the oldest facts: what was told last is answered in view without binding it.
            drawn = self.rng.choices(asks[kind], self._weights(asks[kind]), k=self.stage.drawn)
            question = min(drawn, key=_newest_support)
            age = at - max((self.fact_ends[i] for i in question.support), default=at)
            blank = self.rng.choice(" \n") if self.rng.random() < BLANK else ""
            found.append(Asked(kind, question, age, place, blank, self.is_open, *self._facts(question)))
        return found

    def _facts(self, question: Question) -> tuple[range | None, list[range]]:
        if len(question.support) != 1 and not question.about:
            return None, []
        newest = question.support[-1]
        older = [self._span(fact) for fact in self.answered.get(question.text, ()) if fact < newest]
        return self._span(newest), [span for span in older if span]

    def _span(self, fact: int) -> range | None:
        """Where a fact stands, counted from the next id; None if it is forgotten."""
        end = self.fact_ends[fact]
        i = bisect_left(self.told, end, key=attrgetter("end"))
        if i == len(self.told) or self.told[i].end != end:
            return None
        return range(self.told[i].start - self.base, end - self.base)

    def _weights(self, questions: Sequence[Question]) -> list[float]:
        tricky, along = self.stage.tricky, self.stage.along
        return [
            (tricky if question.tricky else 1.0) * (along if question.along else 1.0)
            for question in questions
        ]

    def _choose(self, kinds: list[str]) -> str:
        weights = {self.world.task: 1.0, UNKNOWN: STRANGE, HANDS: 0.0, **self.stage.asks}
        return self.rng.choices(kinds, [weights.get(kind, self.stage.asides) for kind in kinds])[0]

    def advance(self, count: int, keep: int = 0) -> None:
        """Leave `count` ids behind; what was told is remembered for `keep` ids more."""
        del self.ids[:count]
        self.base += count
        while len(self.known) > 1 and self.known[1][0] <= self.base:
            self.known.popleft()
        while self.told and self.told[0].end <= self.base - keep:
            self.told.popleft()
