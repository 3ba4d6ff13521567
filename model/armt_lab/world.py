"""A small world that tells endless bAbI-style stories and always knows the right answers.

People walk between rooms, pick things up, put them down and hand them over; or rooms lie in a row. Each
`World.fact` changes the world and says so in one sentence; `World.questions` asks what can be answered from
the sentences told so far. Wording, vocabulary and question mix follow tasks 1 to 5 of bAbI
(arXiv 1502.05698) as published, so that a model trained here can be measured there.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from armt_lab.people import Habits, Question
from armt_lab.rooms import Rooms
from armt_lab.scenes import SCENES
from armt_lab.words import DROPS, GIVES, GRABS, MOVES, OBJECTS, PEOPLE, PLACES, TASKS, UNKNOWN, Words

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

__all__ = [
    "DROPS",
    "GIVES",
    "GRABS",
    "MOVES",
    "OBJECTS",
    "PEOPLE",
    "PLACES",
    "TASKS",
    "UNKNOWN",
    "Habits",
    "Question",
    "Step",
    "World",
    "story",
]


_SCENES = {**SCENES, "qa4": Rooms}


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One line of a story: a fact or a question, exactly one of both."""

    fact: str | None = None
    question: Question | None = None

    def __post_init__(self) -> None:
        if (self.fact is None) == (self.question is None):
            raise ValueError("a step is either a fact or a question")


class World:
    """One endless story. Its state is bounded, however many facts are told.

    Args:
        task: "qa1" (where is a person), "qa2" (where is a thing), "qa3" (where was a thing before),
            "qa4" (how rooms lie), "qa5" (who gave what to whom).
        rng: every choice is drawn from it: the same seed tells the same story.
        words: of whom and what it tells; None: as published.
        habits: how it goes where it does not go as published; None: as published all through.

    Attributes:
        count: facts told so far.
    """

    def __init__(
        self, task: str, rng: random.Random, words: Words | None = None, habits: Habits | None = None
    ) -> None:
        if task not in PEOPLE:
            raise ValueError(f"task {task!r} is not one of {', '.join(TASKS)}")
        self.task = task
        self.count = 0
        self._scene = _SCENES[task](words or Words(PEOPLE[task]), rng, habits or Habits())

    def fact(self) -> str:
        """Let the next thing happen and tell it in one sentence."""
        sentence = self._scene.happen(self.count)
        self.count += 1
        return sentence

    def questions(self) -> list[Question]:
        """Every question that the facts told so far answer."""
        return self._scene.questions()

    def asks(self) -> dict[str, list[Question]]:
        """What may be asked in training, by kind: a task, one of `ASIDES`, `HANDS`, or `UNKNOWN`.

        Of tasks 4 and 5 only what published stories ask: of the newest row, of the newest gift. Besides, what
        the facts answer of simpler tasks; and after people and things that were never named, `UNKNOWN`.
        """
        asks = {self.task: _published_kind(self.task, self)}
        for kind, question in self._scene.asides():
            if kind != self.task:
                asks.setdefault(kind, []).append(question)
        asks[UNKNOWN] = [Question(text, UNKNOWN, ()) for text in self._scene.strangers(self.count)]
        return {kind: questions for kind, questions in asks.items() if questions}

    def age(self, question: Question) -> int:
        """How many facts were told after the oldest fact that `question` needs; 0 is the newest fact."""
        return self.count - 1 - question.support[0]


_PACE: Mapping[str, tuple[int, float, int]] = {
    "qa1": (2, 1.0, 5),
    "qa2": (2, 0.35, 5),
    "qa3": (3, 0.085, 5),
    "qa4": (2, 1.0, 1),
    "qa5": (2, 0.33, 5),
}
"""Fewest facts between questions, chance of a question after each fact then, questions in a story."""


NEAR = 12
"""Facts at most from the first to the last that four in five published questions of qa3 need."""


def story(task: str, rng: random.Random, length: int | None = None) -> list[Step]:
    """A finite story with questions between its facts, paced like the published ones.

    Args:
        task: one of `TASKS`.
        rng: source of every choice.
        length: the story ends with the first question at or past this many steps (facts and questions);
            None ends it with the question that ends published stories: the fifth, in qa4 the first.
    """
    world = World(task, rng)
    gap, chance, enough = _PACE[task]
    steps: list[Step] = []
    asked = facts = 0
    while True:
        steps.append(Step(fact=world.fact()))
        facts += 1
        if facts < gap or rng.random() >= chance:
            continue
        candidates = _published_kind(task, world)
        if not candidates:
            continue
        steps.append(Step(question=rng.choice(candidates)))
        asked += 1
        facts = 0
        if asked >= enough if length is None else len(steps) >= length:
            return steps


def _published_kind(task: str, world: World) -> list[Question]:
    """Questions in the published mix: in qa4 about the last row, in qa5 about the last gift.

    One in three of those after a gift asks what it was. In qa3 four in five are of a thing that came to both
    places within `NEAR` facts, where things left to themselves would have it three in five.
    """
    questions = world.questions()
    if task == "qa4":
        row = (world.count - 1) // 2
        return [question for question in questions if question.support[0] // 2 == row]
    if task == "qa3":
        return questions + 2 * [q for q in questions if q.support[-1] - q.support[0] <= NEAR]
    if task != "qa5" or not questions:
        return questions
    newest = max(question.support for question in questions)
    questions = [question for question in questions if question.support == newest]
    return questions + [question for question in questions if question.text.startswith("What")]
