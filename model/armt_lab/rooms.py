"""Stories of how rooms lie: a scene like those of `armt_lab.scenes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armt_lab.people import Question
from armt_lab.words import OPPOSITE

if TYPE_CHECKING:
    import random

    from armt_lab.people import Habits
    from armt_lab.words import Words


class Rooms:
    """Rows of three rooms, two facts a row. A new row takes the place of what it contradicts."""

    def __init__(self, words: Words, rng: random.Random, _habits: Habits) -> None:
        self._rng = rng
        self._places = words.places
        self._untold: list[tuple[str, str, str]] = []
        # (room, direction) -> room there, fact, whether the room there is what the fact calls so
        self._beside: dict[tuple[str, str], tuple[str, int, bool]] = {}

    def happen(self, now: int) -> str:
        """Tell how two rooms lie."""
        if not self._untold:
            first, middle, last = self._rng.sample(self._places, 3)
            way = self._rng.choice(tuple(OPPOSITE))
            pairs = [(first, way, middle), (middle, way, last)]
            self._rng.shuffle(pairs)
            self._untold = [
                pair if self._rng.getrandbits(1) else (pair[2], OPPOSITE[way], pair[0]) for pair in pairs
            ]
        room, way, other = self._untold.pop()
        for here, side, there in ((other, way, room), (room, OPPOSITE[way], other)):
            self._forget(here, side)
            for old in OPPOSITE:
                if self._beside.get((here, old), ("",))[0] == there:
                    self._forget(here, old)
        self._beside[other, way] = (room, now, True)
        self._beside[room, OPPOSITE[way]] = (other, now, False)
        return f"The {room} is {way} of the {other}."

    def questions(self) -> list[Question]:
        """What lies beside each room of which it was told."""
        return [question for pair in self._asked() for question in pair[:2]]

    def asides(self) -> list[tuple[str, Question]]:
        """The same, and those of them in the words of their fact."""
        beside = [("beside", question) for question in self.questions()]
        told = [("subject", of) if so else ("object", is_of) for of, is_of, so in self._asked()]
        return beside + told

    def _asked(self) -> list[tuple[Question, Question, bool]]:
        """Both ways to ask what lies beside a room, and whether the first is in the fact's own words."""
        return [
            (
                Question(f"What is {way} of the {room}?", answer, (fact,)),
                Question(f"What is the {room} {OPPOSITE[way]} of?", answer, (fact,)),
                so,
            )
            for (room, way), (answer, fact, so) in self._beside.items()
        ]

    def strangers(self, _now: int) -> list[str]:
        """None: every room is one of six."""
        return []

    def _forget(self, room: str, way: str) -> None:
        old = self._beside.pop((room, way), None)
        if old is not None:
            self._beside.pop((old[0], OPPOSITE[way]), None)
