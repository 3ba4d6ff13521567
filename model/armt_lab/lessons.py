"""What a step reads and is asked: plain tensors, drawn before any of it is computed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from armt_lab.asking import IGNORED, Asks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Look:
    """Questions on forks of memories, which stay as they are.

    Attributes:
        after: how many of the lesson's segments were absorbed before; 0: the forks are of sessions of their
            own, that have read nothing.
        read: what the forks absorb first, [batch, n]; n may be 0.
        text: what is in view then, [batch, n]; n may be 0.
        asks: the questions.
    """

    after: int
    read: Tensor
    text: Tensor
    asks: Asks

    def map(self, change: Callable[[Tensor], Tensor]) -> Look:
        """With every tensor changed."""
        return Look(self.after, change(self.read), change(self.text), self.asks.map(change))


@dataclasses.dataclass(frozen=True)
class Lesson:
    """One step of some rows.

    Attributes:
        kept: [rows] bool, which go on with their memory; the others begin a story with an empty one.
        segments: what is absorbed, [rows, n] each.
        is_noise: [segments, rows] bool, whether there was nothing but background in view.
        sentences: for each segment and row the background sentences in view; none where a fact was.
        looks: the questions on the way.
    """

    kept: Tensor
    segments: Sequence[Tensor]
    is_noise: Tensor
    sentences: Sequence[Sequence[Sequence[int]]]
    looks: Sequence[Look]

    @property
    def tokens(self) -> int:
        """Ids taken from the rows' streams."""
        return sum(ids.numel() for ids in self.segments or [look.text for look in self.looks])

    @property
    def tensors(self) -> list[Tensor]:
        """All of them, in an order that their make decides."""
        found: list[Tensor] = []

        def take(tensor: Tensor) -> Tensor:
            found.append(tensor)
            return tensor

        self.map(take)
        return found

    def asking(self) -> Lesson:
        """Without looks at which there was nothing to ask."""
        return dataclasses.replace(self, looks=[look for look in self.looks if look.asks.topics])

    def map(self, change: Callable[[Tensor], Tensor]) -> Lesson:
        """With every tensor changed."""
        return Lesson(
            change(self.kept),
            [change(ids) for ids in self.segments],
            change(self.is_noise),
            self.sentences,
            [look.map(change) for look in self.looks],
        )


@dataclasses.dataclass(frozen=True)
class Gates:
    """What was seen of the write gates.

    Attributes:
        noise: for each segment of background alone, whether a gate opened.
        fact: the same for those with a fact in view.
        missed: the sentences on which one opened that should not have.
    """

    noise: list[bool] = dataclasses.field(default_factory=list)
    fact: list[bool] = dataclasses.field(default_factory=list)
    missed: list[int] = dataclasses.field(default_factory=list)

    def judge(self, lesson: Lesson, opened: Tensor) -> None:
        """Note of a lesson where a gate `opened`, [segments, rows] bool."""
        for views, *flags in zip(lesson.sentences, lesson.is_noise.tolist(), opened.tolist(), strict=True):
            for view, is_noise, did in zip(views, *flags, strict=True):
                (self.noise if is_noise else self.fact).append(did)
                if is_noise and did:
                    self.missed.extend(view)


def join(lessons: Sequence[Lesson]) -> Lesson:
    """One lesson of the rows of all, in order; their segments must be of the same lengths."""
    return Lesson(
        torch.cat([one.kept for one in lessons]),
        [torch.cat(ids) for ids in zip(*(one.segments for one in lessons), strict=True)],
        torch.cat([one.is_noise for one in lessons], dim=1),
        [
            [view for views in of_segment for view in views]
            for of_segment in zip(*(one.sentences for one in lessons), strict=True)
        ],
        [_join_looks(looks) for looks in zip(*(one.looks for one in lessons), strict=True)],
    )


def _join_looks(looks: Sequence[Look]) -> Look:
    columns = max(look.asks.ids.shape[1] for look in looks)
    asks, rows, questions = [], 0, 0
    for one in (padded(look.asks, columns) for look in looks):
        owner = torch.where(one.owner < 0, one.owner, one.owner + questions)
        asks.append(
            dataclasses.replace(one, owner=owner, rows=one.rows + rows, questions=one.questions + questions)
        )
        rows += len(one.ids)
        questions += len(one.topics)
    names = [field.name for field in dataclasses.fields(Asks) if field.name != "topics"]
    return Look(
        looks[0].after,
        torch.cat([look.read for look in looks]),
        torch.cat([look.text for look in looks]),
        Asks(
            **{name: torch.cat([getattr(one, name) for one in asks]) for name in names},
            topics=[topic for one in asks for topic in one.topics],
        ),
    )


def padded(asks: Asks, columns: int, answers: int | None = None) -> Asks:
    """The same questions in wider tensors."""
    wider = columns - asks.ids.shape[1]
    more = 0 if answers is None else answers - len(asks.labels)
    return Asks(
        ids=F.pad(asks.ids, (0, wider)),
        owner=F.pad(asks.owner, (0, wider), value=-1),
        within=F.pad(asks.within, (0, wider)),
        seen=F.pad(asks.seen, (0, wider)),
        rows=F.pad(asks.rows, (0, more)),
        columns=F.pad(asks.columns, (0, more)),
        labels=F.pad(asks.labels, (0, more), value=IGNORED),
        questions=F.pad(asks.questions, (0, more)),
        told=F.pad(asks.told, (0, 0, 0, more)),
        about=F.pad(asks.about, (0, 0, 0, more), value=-1),
        named=F.pad(asks.named, (0, 0, 0, more), value=-1),
        topics=asks.topics,
    )
