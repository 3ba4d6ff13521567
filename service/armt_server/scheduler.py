"""Whose turn it is: which jobs the next step of the model serves. Plain Python, no tensors.

Two kinds of jobs stand in two rings. Answers go first, because somebody waits for them, but after a few turns
in a row they let one batch of absorption pass, so neither kind can starve the other. Within a ring the turn
goes round: who was served stands at the back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

A = TypeVar("A", bound="Hashable")
R = TypeVar("R", bound="Hashable")


@dataclass(frozen=True)
class Turn(Generic[A, R]):
    """What one step serves: answers (a token each) or readers (a segment each, in one batch), never both."""

    answers: tuple[A, ...] = ()
    readers: tuple[R, ...] = ()


class Scheduler(Generic[A, R]):
    """The jobs that are not finished, and the order in which they are served.

    Args:
        max_batch: jobs in a turn at most.
        answer_turns: turns in a row for answers while readers wait.
    """

    def __init__(self, max_batch: int, answer_turns: int = 4) -> None:
        self._max_batch = max_batch
        self._answer_turns = answer_turns
        self._in_a_row = 0
        self._answers: dict[A, None] = {}  # dicts as rings: ordered, and anyone can leave at once
        self._readers: dict[R, None] = {}

    @property
    def has_work(self) -> bool:
        """Whether anyone is to be served."""
        return bool(self._answers or self._readers)

    @property
    def answers(self) -> tuple[A, ...]:
        """Answers that are not finished, the next one first."""
        return tuple(self._answers)

    @property
    def readers(self) -> tuple[R, ...]:
        """Readers that are not finished, the next one first."""
        return tuple(self._readers)

    def add_answer(self, job: A) -> None:
        """Lets an answer have turns until it is removed."""
        self._answers[job] = None

    def add_reader(self, job: R) -> None:
        """Lets a reader have turns until it is removed."""
        self._readers[job] = None

    def remove(self, job: A | R) -> None:
        """Gives a job no more turns; one that is not there is none already."""
        self._answers.pop(job, None)  # type: ignore[arg-type]  # a key of the other ring is just not found
        self._readers.pop(job, None)  # type: ignore[arg-type]

    def next_turn(self) -> Turn[A, R]:
        """Whom to serve now. They stay, at the back of their ring."""
        if self._answers and (not self._readers or self._in_a_row < self._answer_turns):
            self._in_a_row += 1
            return Turn(answers=_served(self._answers, self._max_batch))
        self._in_a_row = 0
        return Turn(readers=_served(self._readers, self._max_batch))


_J = TypeVar("_J")


def _served(ring: dict[_J, None], count: int) -> tuple[_J, ...]:
    """The first `count` of a ring, which go to its back."""
    chosen = tuple(job for job, _ in zip(ring, range(count), strict=False))
    for job in chosen:
        del ring[job]
        ring[job] = None
    return chosen
