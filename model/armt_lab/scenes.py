"""What can happen in a story, and which questions it opens: people and things (rooms: `armt_lab.rooms`).

A scene is told one fact at a time (`happen`) and knows at any moment which questions the facts so far answer
(`questions`). Facts are named by their number in the story.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from armt_lab.people import People, Question
from armt_lab.words import CARRIES, DROPS, GIVES, GRABS, HANDS, NONE

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from armt_lab.people import Habits, Person, Scene
    from armt_lab.words import Words


@dataclasses.dataclass(slots=True)
class _Stay:
    """A stay of a thing in a place: the move that says which place, the touch that says it was there."""

    place: str
    move: int
    touch: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Arrival:
    """A thing came to a place: where it was before, the facts that say so, who carried it, and what else."""

    before: str
    facts: tuple[int, ...]
    carrier: Person
    along: tuple[str, ...]

    @property
    def named(self) -> bool:
        """Whether the move named the thing."""
        return self.facts[-1] == self.facts[-2]


@dataclasses.dataclass(slots=True)
class _Thing:
    place: str
    holder: str | None = None
    touch: int = -1  # the last fact that names it
    gift: bool = False  # whether it was given last, rather than taken or put down
    here: _Stay | None = None  # None: nobody can tell yet
    last: Person | None = None  # who had it last
    came: dict[str, _Arrival] = dataclasses.field(default_factory=dict)
    """For each place it was carried to, the last time."""


class _PeopleAndThings(People):
    """Things are carried about, and it is asked where they are; subclasses ask something else."""

    gives = False

    def __init__(self, words: Words, rng: random.Random, habits: Habits) -> None:
        super().__init__(words, rng, habits)
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
        if self._chance(self._habits.busy):  # a gift, else a thing moved, else as it comes
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
            ("holder", Question(f"Who has the {key}?", thing.holder, (thing.touch,), thing.gift))
            for key, thing in self._things.items()
            if thing.holder is not None
        ]
        where = [("qa2", question) for question in self._open.values()]
        return super().asides() + places + holders + self._carrying() + where + self._were()

    def _carrying(self) -> list[tuple[str, Question]]:
        """What everyone has in his hands: nothing or one thing, or several that are not said."""
        asides = []
        for name, person in self._people.items():
            if person.touched is None:
                continue
            held = [key for key, thing in self._things.items() if thing.holder == name]
            touches = [self._things[key].touch for key in held]
            facts = tuple(sorted({*touches, max(*touches, person.touched)} if held else {person.touched}))
            key, *along = held or [NONE]
            # What was touched last is not the answer, or not what was taken.
            tricky = not along and (facts[1:] != () or person.gift)
            text, about = f"What is {name} carrying?", (name, name)
            question = Question(text, key, facts, tricky, about, tuple(along))
            asides.append((HANDS if along else "carrying", question))
        return asides

    def strangers(self, now: int) -> list[str]:
        nothing = self._words.nothing
        keys = [*self._things, nothing[now % len(nothing)]]
        things = [f"Where is the {key}?" for key in keys if key not in self._named]
        return super().strangers(now) + things

    def _walk(self, name: str, now: int) -> str:
        """Walk, and now and then say what is carried; of several things all."""
        person, habits = self._people[name], self._habits
        held = {key: thing for key, thing in self._things.items() if thing.holder == name}
        load = whence = ""
        if held and self._chance(habits.named):
            load = "the " + " and the ".join(held)
            if person.told is not None and self._chance(habits.whence):
                whence = f" from the {person.place}"
            for thing in held.values():
                thing.touch = now
        elif held and self._chance(habits.hinted):
            load = "them" if len(held) > 1 else "it"
        sentence = super()._walk(name, now)
        if not load:
            return sentence
        return f"{name} {self._rng.choice(CARRIES)} {load}{whence} to the {person.place}."

    def _moved(self, name: str, person: Person) -> None:
        assert person.told is not None
        held = {key: thing for key, thing in self._things.items() if thing.holder == name}
        for key, thing in held.items():
            thing.place = person.place
            before, thing.here = thing.here, _Stay(person.place, person.told, thing.touch)
            along = tuple(other for other in held if other != key)
            if before is not None:
                facts = tuple(sorted((before.move, thing.touch, person.told)))
                thing.came[person.place] = _Arrival(before.place, facts, person, along)
            self._changed(key, thing, person, along)

    def _grab_or_drop(self, name: str, key: str, now: int) -> str:
        thing, person = self._things[key], self._people[name]
        self._named |= {name, key}
        verbs = DROPS if thing.holder else GRABS
        thing.holder = None if thing.holder else name
        person.touched, person.gift, thing.gift = now, False, False
        self._touched(key, thing, (name,), now)
        return f"{name} {self._rng.choice(verbs)} the {key}{self._rng.choice(('', ' there'))}."

    def _give(self, name: str, key: str, to: str, now: int) -> str:
        thing = self._things[key]
        self._named |= {name, key, to}
        thing.holder, thing.gift = to, True
        for person in (self._people[name], self._people[to]):
            person.touched, person.gift = now, True
        self._touched(key, thing, (name, to), now)
        self._given(name, key, to, now)
        return f"{name} {self._rng.choice(GIVES)} the {key} to {to}."

    def _touched(self, key: str, thing: _Thing, names: tuple[str, ...], now: int) -> None:
        """By these, the last of whom has it now or had it last."""
        thing.touch, person = now, self._people[names[-1]]
        for text, gift in self._gifts.items():
            if not gift.tricky and any(name in text for name in names):
                self._gifts[text] = dataclasses.replace(gift, tricky=True)
        if thing.here is None and person.told is not None:
            thing.here = _Stay(thing.place, person.told, now)
        self._changed(key, thing, person)

    def _changed(self, key: str, thing: _Thing, person: Person, along: tuple[str, ...] = ()) -> None:
        """`person` is the last who touched or carried the thing, and stands where it is."""
        thing.last = person
        text = f"Where is the {key}?"
        if person.told is None:  # in someone's hands of whom the story has not said where he is
            self._open.pop(text, None)
        else:
            first, second = sorted((person.told, thing.touch))
            self._open[text] = Question(text, thing.place, (first, second), thing.gift, (key,), along)

    def _given(self, name: str, key: str, to: str, now: int) -> None:
        # The newest gift that fits is meant: it replaces an older question of the same text.
        # Where nothing is said of `about` the thing alone finds the answer, if it was not given anew since.
        for text, answer, about in (
            (f"What did {name} give to {to}?", key, (name, to)),
            (f"Who did {name} give the {key} to?", to, (key, name)),
            (f"Who gave the {key} to {to}?", name, (to, key)),
            (f"Who gave the {key}?", name, ()),
            (f"Who received the {key}?", to, ()),
        ):
            older = self._gifts.get(text)
            tricky = older is not None and older.answer != answer
            self._gifts[text] = Question(text, answer, (now,), tricky, about)

    def _were(self) -> list[tuple[str, Question]]:
        """Where things were before they came to where they are, or to where they are no longer."""
        asides = []
        for key, thing in self._things.items():
            for place, came in thing.came.items():
                short_cuts = {one.before.get(place, ("",))[0] for one in (came.carrier, thing.last) if one}
                text = f"Where was the {key} before the {place}?"
                is_there = thing.here is not None and thing.here.place == place
                kind = "brought" if came.named else "qa3" if is_there else "earlier"
                tricky = came.before not in short_cuts
                question = Question(text, came.before, came.facts, tricky, (key, place), came.along)
                asides.append((kind, question))
        return asides


class _WhereWasIt(_PeopleAndThings):
    def questions(self) -> list[Question]:
        # What a move named, which no published one does, is of a kind of its own: `brought`.
        return [question for kind, question in self._were() if kind == "qa3"]


class _WhoGaveIt(_PeopleAndThings):
    gives = True

    def questions(self) -> list[Question]:
        return list(self._gifts.values())

    def asides(self) -> list[tuple[str, Question]]:
        return super().asides() + [("given", question) for question in self.questions()]


SCENES: Mapping[str, Callable[[Words, random.Random, Habits], Scene]] = {
    "qa1": People,
    "qa2": _PeopleAndThings,
    "qa3": _WhereWasIt,
    "qa5": _WhoGaveIt,
}
"""The scene of each task about people, made from its words and a source of chance."""
