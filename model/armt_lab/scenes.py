"""What can happen in a story, and which questions it opens: people and things (rooms: `armt_lab.rooms`).

A scene is told one fact at a time (`happen`) and knows at any moment which questions the facts so far answer
(`questions`). Facts are named by their number in the story.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

from armt_lab.words import DROPS, GIVES, GRABS, MOVES, NONE

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from armt_lab.words import Words


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """A question, its right answer at the time of asking, and the facts that give it.

    Attributes:
        text: the question, with its question mark.
        answer: one word.
        support: indices of the supporting facts in the story, 0-based, rising; questions are not counted.
    """

    text: str
    answer: str
    support: tuple[int, ...]


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
class _Person:
    place: str
    told: int | None = None  # the fact that said where he is
    touched: int | None = None  # the last fact in which he took something, or parted with it
    before: dict[str, tuple[str, int, int]] = dataclasses.field(default_factory=dict)
    """For each place he came to, at his last coming: where he was before, and the facts that say both."""


@dataclasses.dataclass(slots=True)
class _Stay:
    """A stay of a thing in a place: the move that says which place, the touch that says it was there."""

    place: str
    move: int
    touch: int


@dataclasses.dataclass(slots=True)
class _Thing:
    place: str
    holder: str | None = None
    touch: int = -1  # the last fact that names it
    here: _Stay | None = None  # None: nobody can tell yet
    came: dict[str, Question] = dataclasses.field(default_factory=dict)
    """For each place it was carried to, of the last time: where it was before."""


class _People:
    """People and things in rooms. What can be asked is kept up to date as text -> question."""

    def __init__(self, words: Words, rng: random.Random, busy: float) -> None:
        self._rng = rng
        self._busy = busy
        self._words = words
        self._people = {name: _Person(rng.choice(words.places)) for name in words.people}
        self._things: dict[str, _Thing] = {}
        self._open: dict[str, Question] = {}
        self._named: set[str] = set()
        self._nobody = [name for name in words.nobody if name not in self._people]
        rng.shuffle(self._nobody)

    def happen(self, now: int) -> str:
        name = self._rng.choice(tuple(self._people))
        return self._walk(name, now)

    def questions(self) -> list[Question]:
        return list(self._open.values())

    def asides(self) -> list[tuple[str, Question]]:
        asides = []
        for name, one in self._people.items():
            for place, (before, *facts) in one.before.items():
                text = f"Where was {name} before the {place}?"
                asides.append(("before", Question(text, before, tuple(facts))))
        return asides

    def strangers(self, now: int) -> list[str]:
        names = [*self._people, self._nobody[now % len(self._nobody)]]
        return [f"Where is {name}?" for name in names if name not in self._named]

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

    def _moved(self, name: str, person: _Person) -> None:
        assert person.told is not None
        text = f"Where is {name}?"
        self._open[text] = Question(text, person.place, (person.told,))


class _PeopleAndThings(_People):
    """Things are carried about, and it is asked where they are; subclasses ask something else."""

    gives = False

    def __init__(self, words: Words, rng: random.Random, busy: float) -> None:
        super().__init__(words, rng, busy)
        self._gifts: dict[str, Question] = {}
        self._things = {thing: _Thing(rng.choice(words.places)) for thing in words.things}

    def happen(self, now: int) -> str:
        # Every act that can be is as likely as any other; walking counts once a person (the published mix).
        acts: list[tuple[str, str, str]] = [(name, "", "") for name in self._people]
        for key, thing in self._things.items():
            if thing.holder is None:
                acts += [(name, key, "") for name, one in self._people.items() if one.place == thing.place]
                continue
            acts.append((thing.holder, key, ""))
            if self.gives:
                acts += [
                    (thing.holder, key, name)
                    for name, one in self._people.items()
                    if name != thing.holder and one.place == thing.place
                ]
        if self._busy and self._rng.random() < self._busy:  # a gift, else a thing moved, else as it comes
            acts = [act for act in acts if act[2]] or [act for act in acts if act[1]] or acts
        name, key, to = self._rng.choice(acts)
        if not key:
            return self._walk(name, now)
        return self._give(name, key, to, now) if to else self._grab_or_drop(name, key, now)

    def asides(self) -> list[tuple[str, Question]]:
        places = [
            ("qa1", Question(f"Where is {name}?", person.place, (person.told,)))
            for name, person in self._people.items()
            if person.told is not None
        ]
        holders = [
            ("holder", Question(f"Who has the {key}?", thing.holder, (thing.touch,)))
            for key, thing in self._things.items()
            if thing.holder is not None
        ]
        where = [("qa2", question) for question in self._open.values()]
        were = [("qa3", question) for question in self._were()]
        earlier = [("earlier", question) for question in self._earlier()]
        return super().asides() + places + holders + self._carrying() + where + were + earlier

    def _carrying(self) -> list[tuple[str, Question]]:
        """What everyone has in his hands, where it is nothing or one thing."""
        asides = []
        for name, person in self._people.items():
            held = [(key, thing.touch) for key, thing in self._things.items() if thing.holder == name]
            if person.touched is not None and not held[1:]:  # more would be a list
                key, fact = held[0] if held else (NONE, person.touched)
                asides.append(("carrying", Question(f"What is {name} carrying?", key, (fact,))))
        return asides

    def strangers(self, now: int) -> list[str]:
        nothing = self._words.nothing
        keys = [*self._things, nothing[now % len(nothing)]]
        things = [f"Where is the {key}?" for key in keys if key not in self._named]
        return super().strangers(now) + things

    def _moved(self, name: str, person: _Person) -> None:
        assert person.told is not None
        for key, thing in self._things.items():
            if thing.holder == name:
                thing.place = person.place
                before, thing.here = thing.here, _Stay(person.place, person.told, thing.touch)
                if before is not None:
                    facts = tuple(sorted((before.move, thing.touch, person.told)))
                    text = f"Where was the {key} before the {person.place}?"
                    thing.came[person.place] = Question(text, before.place, facts)
                self._changed(key, thing, person)

    def _grab_or_drop(self, name: str, key: str, now: int) -> str:
        thing, person = self._things[key], self._people[name]
        self._named |= {name, key}
        verbs = DROPS if thing.holder else GRABS
        thing.holder = None if thing.holder else name
        person.touched = now
        self._touched(key, thing, person, now)
        return f"{name} {self._rng.choice(verbs)} the {key}{self._rng.choice(('', ' there'))}."

    def _give(self, name: str, key: str, to: str, now: int) -> str:
        thing = self._things[key]
        self._named |= {name, key, to}
        thing.holder = to
        self._people[name].touched = self._people[to].touched = now
        self._touched(key, thing, self._people[to], now)
        self._given(name, key, to, now)
        return f"{name} {self._rng.choice(GIVES)} the {key} to {to}."

    def _touched(self, key: str, thing: _Thing, person: _Person, now: int) -> None:
        thing.touch = now
        if thing.here is None and person.told is not None:
            thing.here = _Stay(thing.place, person.told, now)
        self._changed(key, thing, person)

    def _changed(self, key: str, thing: _Thing, person: _Person) -> None:
        """`person` is the last who touched or carried the thing, and stands where it is."""
        text = f"Where is the {key}?"
        if person.told is None:  # in someone's hands of whom the story has not said where he is
            self._open.pop(text, None)
        else:
            first, second = sorted((person.told, thing.touch))
            self._open[text] = Question(text, thing.place, (first, second))

    def _given(self, name: str, key: str, to: str, now: int) -> None:
        # The newest gift that fits is meant: it replaces an older question of the same text.
        for text, answer in (
            (f"What did {name} give to {to}?", key),
            (f"Who did {name} give the {key} to?", to),
            (f"Who gave the {key} to {to}?", name),
            (f"Who gave the {key}?", name),
            (f"Who received the {key}?", to),
        ):
            self._gifts[text] = Question(text, answer, (now,))

    def _were(self) -> list[Question]:
        """Where things were before they came to where they are."""
        return [
            thing.came[thing.here.place]
            for thing in self._things.values()
            if thing.here is not None and thing.here.place in thing.came
        ]

    def _earlier(self) -> list[Question]:
        """Where they were before they came to where they are no longer."""
        return [
            question
            for thing in self._things.values()
            for place, question in thing.came.items()
            if thing.here is not None and place != thing.here.place
        ]


class _WhereWasIt(_PeopleAndThings):
    def questions(self) -> list[Question]:
        return self._were()


class _WhoGaveIt(_PeopleAndThings):
    gives = True

    def questions(self) -> list[Question]:
        return list(self._gifts.values())


SCENES: Mapping[str, Callable[[Words, random.Random, float], Scene]] = {
    "qa1": _People,
    "qa2": _PeopleAndThings,
    "qa3": _WhereWasIt,
    "qa5": _WhoGaveIt,
}
"""The scene of each task about people, made from its words and a source of chance."""
