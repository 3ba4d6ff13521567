"""Who draws lessons from the streams: in this process as they are needed, or ahead in others."""

from __future__ import annotations

import dataclasses
import random
from functools import partial
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import torch

from armt.rows import parts
from armt_lab.lessons import Lesson, Look
from armt_lab.streams import FACT, NAMELESS, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from armt.config import ArmtConfig
    from armt_lab.asking import Asker
    from armt_lab.recipe import Recipe, Stage
    from armt_lab.source import Source

YOUNG, YOUNG_DENSITY = 0.5, (0.3, 1.0)
"""Sessions asked before they have read a segment, against rows; and how much of what they read is facts."""

ACROSS, ACROSS_SEGMENT, ACROSS_IDS = 0.2, 64, 8
"""Share of steps in which the end of a segment cuts a question, from what segment size on, and how late."""

SHORT = 0.5
"""Share of segments that are shorter than others, where the tail is folded."""


class Drawer:
    """Draws the lessons of some rows, whose streams it keeps.

    Args:
        makes: lessons are of so many makes at most, that is of tensors of so many sizes, whichever rows they
            are of; None: of any.
    """

    def __init__(
        self, recipe: Recipe, config: ArmtConfig, asker: Asker, source: Source, makes: int | None = None
    ) -> None:
        self.recipe, self.source = recipe, source
        self._config, self._asker, self._makes = config, asker, makes
        self.enter(0, 0, range(0))

    def enter(self, index: int, step: int, rows: range) -> None:
        """Begin a stage at a step of the run: fresh streams for these of its rows."""
        self._index, self._rows = index, rows
        self.streams = [
            Stream(self.source, self.stage, random.Random(f"{self.recipe.seed}/{step}/{row}")) for row in rows
        ]

    def go_on(self, streams: Sequence[Stream]) -> None:
        """Take streams up where another run left them."""
        self.streams = list(streams)
        for stream in self.streams:
            stream.source, stream.stage = self.source, self.stage

    @property
    def stage(self) -> Stage:
        """The stage it draws for."""
        return self.recipe.stages[self._index]

    def draw(self, step: int) -> Lesson:
        """The lesson of this step; the streams move on."""
        seed = f"{self.recipe.seed}/{step}/{self._rows.start}"
        self._rng = random.Random(f"{seed}/young")
        make = seed if self._makes is None else f"{self.recipe.seed}/{self._index}/{step % self._makes}"
        self._lengths = random.Random(f"{make}/lengths")
        return self._through_memory() if self.stage.memory else self._in_view()

    def _in_view(self) -> Lesson:
        size = self.stage.segment
        for stream in self.streams:
            stream.start_story()
        text = torch.tensor([stream.peek(size) for stream in self.streams])
        look = self._look(self.streams, 0, text[:, :0], text)
        none = torch.zeros(len(self.streams), dtype=torch.bool)
        return Lesson(none, [], none[None][:0], [], [look])

    def _through_memory(self) -> Lesson:
        stage, size, streams = self.stage, self.stage.segment, self.streams
        kept = [not self._begins(stream) for stream in streams]
        ends = list(accumulate(self._length() for _ in range(stage.segments)))
        ids = torch.tensor([stream.peek(ends[-1] + size) for stream in streams])
        views = [self._views(start, end) for start, end in pairwise([0, *ends])]
        looks = [
            self._look(streams, n, ids[:, :0], self._ahead(ids[:, end : end + size]), ids[:, :end])
            for n, end in enumerate(ends, 1)
        ]
        across = self._lengths.random() < ACROSS
        if across and size >= ACROSS_SEGMENT and not self._config.fold_tail:
            looks.append(self._across(ids[:, ends[-1] :]))
        looks.append(self._young())
        for stream in streams:
            stream.advance(ends[-1], keep=self._config.overlap)
        return Lesson(
            torch.tensor(kept),
            [ids[:, start:end] for start, end in pairwise([0, *ends])],
            torch.tensor([[view is not None for view in of_rows] for of_rows in views]),
            [[view or () for view in of_rows] for of_rows in views],
            looks,
        )

    def _begins(self, stream: Stream) -> bool:
        """Whether a row begins a new story now; then it has."""
        begins = stream.rng.random() < self.stage.segments / self.stage.story
        if begins:
            stream.start_story()
        return begins

    def _length(self) -> int:
        """How many ids the next segment has."""
        size, rng = self.stage.segment, self._lengths
        return rng.randint(1, size) if self._config.fold_tail and rng.random() < SHORT else size

    def _ahead(self, following: Tensor) -> Tensor:
        """What of `following` is in view: all, or nothing."""
        return following if self._lengths.random() < self.stage.lookahead else following[:, :0]

    def _views(self, start: int, end: int) -> list[list[int] | None]:
        """For each row the sentences of books in view from `start` to `end`; None where a fact is in view."""
        first = start - self._config.overlap
        views = [[told.sentence for told in stream.in_view(first, end)] for stream in self.streams]
        return [None if FACT in view else [s for s in view if s != NAMELESS] for view in views]

    def _young(self) -> Look:
        """Ask sessions that have read less than a segment, which the carried rows hardly ever are."""
        stage, folds = self.stage, self._config.fold_tail
        sparse = dataclasses.replace(stage, density=YOUNG_DENSITY)
        count = max(1, round(YOUNG * len(self.streams)))
        streams = [Stream(self.source, sparse, self._rng) for _ in range(count)]
        size = stage.view or stage.segment
        length = self._lengths.randint(1, size) if folds else size
        ids = torch.tensor([stream.peek(length) for stream in streams])
        return self._look(streams, 0, *((ids, ids[:, :0]) if folds else (ids[:, :0], ids)))

    def _across(self, ids: Tensor) -> Look:
        """Ask where the segment ends within the question: as in `armt.decode`, its beginning is absorbed."""
        stage, size = self.stage, self.stage.segment
        begun = self._lengths.randint(1, ACROSS_IDS)
        place = stage.segments * size + size - begun
        rows = [self._asker.longer(stream.questions([place]), begun) for stream in self.streams]
        read = torch.cat((ids[:, : size - begun], self._asker.begun(rows, begun)), dim=1)
        asks = self._asker.asks(rows, first=place, skip=begun)
        return Look(stage.segments, read, ids[:, :0], asks)

    def _look(
        self,
        streams: Sequence[Stream],
        after: int,
        read: Tensor,
        text: Tensor,
        before: Tensor | None = None,
    ) -> Look:
        """Ask behind `before`, or else `read`; or within `text`, if there is one, which comes then."""
        size = text.shape[1]
        first = (read if before is None else before).shape[1]
        rows = [
            stream.questions(
                [
                    stream.pause(first + 1, first + size) if size else first
                    for _ in range(self.stage.questions)
                ]
            )
            for stream in streams
        ]
        told = before if self.stage.pointing else None
        return Look(after, read, text, self._asker.asks(rows, first, told=told))


class Inline:
    """Lessons drawn when they are learnt, by the thread that learns them: a part of the rows each."""

    def __init__(self, drawers: Sequence[Drawer]) -> None:
        self.drawers = drawers

    def enter(self, index: int, step: int, rows: int) -> None:
        """Begin a stage: see `Drawer.enter`."""
        self._parts = parts(rows, len(self.drawers))
        for drawer, part in zip(self.drawers, self._parts, strict=False):
            drawer.enter(index, step, range(part.start, part.stop))

    def shares(self, step: int) -> list[tuple[slice, Callable[[], Lesson]]]:
        """The rows in as many parts as there are threads, and what draws each part's lesson."""
        drawn = zip(self._parts, self.drawers, strict=False)
        return [(part, partial(drawer.draw, step)) for part, drawer in drawn]

    def prepare(self, step: int) -> None:
        """Nothing is drawn ahead."""

    def miss(self, sentences: Sequence[int]) -> None:
        """Show these sentences again, on which a gate opened that should not have."""
        self.drawers[0].source.miss(sentences)

    @property
    def streams(self) -> list[Stream]:
        """Of all rows."""
        return [
            stream for _, drawer in zip(self._parts, self.drawers, strict=False) for stream in drawer.streams
        ]

    def progress(self) -> dict[str, Any]:
        """What `go_on` needs."""
        return {"streams": self.streams, "missed": list(self.drawers[0].source.missed)}

    def go_on(self, values: Mapping[str, Any]) -> None:
        """Go on from what `progress` gave, after `enter`."""
        self.miss(values.get("missed", ()))
        for drawer, part in zip(self.drawers, self._parts, strict=False):
            drawer.go_on(values["streams"][part])
