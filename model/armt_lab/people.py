"""What every scene is, and the simplest: people who walk between places."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

from armt_lab.words import MOVES

if TYPE_CHECKING:
    import random

    from armt_lab.words import Words


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """A question, its right answer at the time of asking, and the facts that give it.

    Attributes:
        text: the question, with its question mark.
        answer: one word.
        support: indices of the supporting facts in the story, 0-based, rising; questions are not counted.
        tricky: whether a short cut leads to another answer: of where a thing was, the way to that place of
            whoever carried it there or had it last; of a gift, the one before of which the same is asked, or
            what was done since by those whom the question names; of what was given last, that he who took it
            still has it.
        about: the words of the question, two or one, by which the answer is to be kept, if it follows from
            several facts or is of a gift; one of them twice where it is what the facts left of a sum.
        along: what the newest of these facts moved along with the first of them; or the rest of the answer
            that is several things.
    """

    text: str
    answer: str
    support: tuple[int, ...]
    tricky: bool = dataclasses.field(default=False, compare=False)
    about: tuple[str, ...] = dataclasses.field(default=(), compare=False)
    along: tuple[str, ...] = dataclasses.field(default=(), compare=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How a story goes where it does not go as published.

    Attributes:
        busy: how often something is done with a thing, if it can be, rather than what comes.
        named: how often a move names what is carried: "Mary carried the milk to the garden."
        whence: how often such a move says from where as well: "Mary carried the milk from the kitchen to the
            garden."
        hinted: how often any other says that something is: "Mary carried it to the garden."
    """

    busy: float = 0.0
    named: float = 0.0
    whence: float = 0.0
    hinted: float = 0.0


class Scene(Protocol):
    """One running story."""

    def happen(self, now: int) -> str:
        """Let something happen; the sentence that tells it is fact number `now`."""

    def questions(self) -> list[Question]:
        """Every question that the facts so far answer."""

    def asides(self) -> list[tuple[str, Question]]:
        """Questions of other tasks that they answer too, each with its task."""

    def strangers(self, now: int) -> list[str]:
        """Questions after people and things that no fact has named; others as facts go on."""


@dataclasses.dataclass(slots=True)
class Person:
    """Where somebody is and how he came there."""

    place: str
    told: int | None = None  # the fact that said where he is
    touched: int | None = None  # the last fact in which he took something, or parted with it
    gift: bool = False  # whether that was a gift
    before: dict[str, tuple[str, int, int]] = dataclasses.field(default_factory=dict)
    """For each place he came to, at his last coming: where he was before, and the facts that say both."""


class People:
    """People walk between places. What can be asked is kept up to date as text -> question."""

    def __init__(self, words: Words, rng: random.Random, habits: Habits) -> None:
        self._rng = rng
        self._habits = habits
        self._words = words
        self._people = {name: Person(rng.choice(words.places)) for name in words.people}
        self._open: dict[str, Question] = {}
        self._named: set[str] = set()
        self._nobody = [name for name in words.nobody if name not in self._people]
        rng.shuffle(self._nobody)

    def happen(self, now: int) -> str:
        """Somebody walks."""
        name = self._rng.choice(tuple(self._people))
        return self._walk(name, now)

    def questions(self) -> list[Question]:
        """Where everyone is."""
        return list(self._open.values())

    def asides(self) -> list[tuple[str, Question]]:
        """Where everyone was before."""
        asides = []
        for name, one in self._people.items():
            for place, (before, *facts) in one.before.items():
                text = f"Where was {name} before the {place}?"
                asides.append(("before", Question(text, before, tuple(facts))))
        return asides

    def strangers(self, now: int) -> list[str]:
        """Where somebody is who has not come up, or never does."""
        names = [*self._people, self._nobody[now % len(self._nobody)]]
        return [f"Where is {name}?" for name in names if name not in self._named]

    def _chance(self, share: float) -> bool:
        """True so often. Where that is never, nothing is drawn: published stories stay as they are."""
        return share > 0 and self._rng.random() < share

    def _walk(self, name: str, now: int) -> str:
        person = self._people[name]
        self._named.add(name)
        place = self._rng.choice([place for place in self._words.places if place != person.place])
        if person.told is not None:
            person.before[place] = (person.place, person.told, now)
        person.place = place
        person.told = now
        self._moved(name, person)
        return f"{name} {self._rng.choice(MOVES)} the {person.place}."

    def _moved(self, name: str, person: Person) -> None:
        assert person.told is not None
        text = f"Where is {name}?"
        self._open[text] = Question(text, person.place, (person.told,))
