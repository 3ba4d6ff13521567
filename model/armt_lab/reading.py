"""What one step does with a share of the rows: they read on, are asked on forks, and gates are judged."""

from __future__ import annotations

import dataclasses
import random
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from armt.memory import SHUT
from armt.state import MemoryState
from armt_lab.pointing import Written
from armt_lab.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armt.model import ArmtModel
    from armt_lab.asking import Asker, Graded
    from armt_lab.recipe import Stage
    from armt_lab.streams import Source

YOUNG, YOUNG_DENSITY = 0.5, (0.3, 1.0)
"""Sessions asked before they have read a segment, against rows; and how much of what they read is facts."""

ACROSS, ACROSS_SEGMENT, ACROSS_IDS = 0.2, 64, 8
"""Share of steps in which the end of a segment cuts a question, from what segment size on, and how late."""

SHORT = 0.5
"""Share of segments that are shorter than others, where the tail is folded."""


@dataclasses.dataclass
class Gates:
    """What was seen of the write gates.

    Attributes:
        noise: for each segment of background alone, whether a gate opened.
        fact: the same for those with a fact in view.
        penalties: one tensor a segment, with an entry for each row in which it was background alone.
        missed: the sentences on which one opened that should not have.
    """

    noise: list[bool] = dataclasses.field(default_factory=list)
    fact: list[bool] = dataclasses.field(default_factory=list)
    penalties: list[torch.Tensor] = dataclasses.field(default_factory=list)
    missed: list[int] = dataclasses.field(default_factory=list)

    def add(self, other: Gates) -> None:
        """Take in what another share saw."""
        for field in dataclasses.fields(self):
            getattr(self, field.name).extend(getattr(other, field.name))


@dataclasses.dataclass
class Reading:
    """A share of the rows in one step. Shares have nothing in common that is written to.

    Attributes:
        streams: the rows' streams; `read` moves them on.
        state: their memories; after `read` those after its segments, detached.
        seed: of what is drawn for the share as a whole.
        gates: what `read` saw of them.
        tokens: ids that `read` took from the streams.
    """

    model: ArmtModel
    asker: Asker
    source: Source
    stage: Stage
    streams: Sequence[Stream]
    state: MemoryState
    seed: str
    gates: Gates = dataclasses.field(default_factory=Gates)
    tokens: int = 0

    def read(self) -> list[Graded]:
        """Read on and ask, as the stage says; returns what was asked, which of few rows may be nothing."""
        graded = self._read_and_ask() if self.stage.memory else [self._ask_in_view()]
        return [g for g in graded if len(g.right)]

    @property
    def _device(self) -> torch.device:
        return self.state.device

    def _ask_in_view(self) -> Graded:
        size = self.stage.segment
        for stream in self.streams:
            stream.start_story()
        ids = torch.tensor([s.peek(size) for s in self.streams], device=self._device)
        self.tokens = ids.numel()
        return self._ask(self.streams, ids, self.model.empty_state(len(self.streams)), first=0, lookahead=1)

    def _read_and_ask(self) -> list[Graded]:
        stage, size = self.stage, self.stage.segment
        rng = random.Random(f"{self.seed}/looks")
        state = self._restart_some()
        ends = list(accumulate(self._length(rng) for _ in range(stage.segments)))
        ids = torch.tensor([s.peek(ends[-1] + size) for s in self.streams], device=self._device)
        graded, keys = [], []
        for start, end in pairwise([0, *ends]):
            state, trace = self.model.absorb_traced(ids[:, start:end], state)
            self._judge(trace.logits, start, end)
            keys.append(trace.keys[0])
            written = Written(ids[:, :end], torch.cat(keys, dim=1)) if stage.pointing else None
            following = ids[:, end : end + size]
            graded.append(
                self._ask(
                    self.streams, following, state, first=end, lookahead=stage.lookahead, written=written
                )
            )
        if size >= ACROSS_SEGMENT and rng.random() < ACROSS and not self.model.config.fold_tail:
            graded.append(self._ask_across(ids[:, ends[-1] :], state, rng))
        graded.append(self._ask_young())
        self.state = state.detach()
        self.tokens = len(self.streams) * ends[-1]
        for stream in self.streams:
            stream.advance(ends[-1], keep=self.model.config.overlap)
        return graded

    def _length(self, rng: random.Random) -> int:
        """How many ids the next segment has."""
        size = self.stage.segment
        return rng.randint(1, size) if self.model.config.fold_tail and rng.random() < SHORT else size

    def _judge(self, gates: torch.Tensor, start: int, end: int) -> None:
        """Note which rows opened a gate, [layers, rows, writers], and what was in view from `start` to `end`.

        Where it was background alone, every gate should be far from opening, and sentences on which one
        opened are to be shown again.
        """
        overlap = self.model.config.overlap
        widest = gates.float().amax(dim=(0, 2)) - SHUT
        views = [stream.in_view(start - overlap, end) for stream in self.streams]
        are_noise = [all(told.sentence >= 0 for told in view) for view in views]
        for view, is_noise, opened in zip(views, are_noise, (widest > 0).tolist(), strict=True):
            (self.gates.noise if is_noise else self.gates.fact).append(opened)
            if is_noise and opened:
                self.gates.missed.extend(told.sentence for told in view)
        self.gates.penalties.append(F.softplus(widest[torch.tensor(are_noise, device=self._device)]))

    def _ask_young(self) -> Graded:
        """Ask sessions that have read less than a segment, which the carried rows hardly ever are."""
        rng = random.Random(f"{self.seed}/young")
        stage = dataclasses.replace(self.stage, density=YOUNG_DENSITY)
        count = max(1, round(YOUNG * len(self.streams)))
        streams = [Stream(self.source, stage, rng) for _ in range(count)]
        size = self.stage.view or self.stage.segment
        state = self.model.empty_state(count)
        if self.model.config.fold_tail:
            length = rng.randint(1, size)
            ids = torch.tensor([s.peek(length) for s in streams], device=self._device)
            return self._ask(streams, ids[:, :0], self.model.absorb(ids, state), first=length, lookahead=0)
        ids = torch.tensor([s.peek(size) for s in streams], device=self._device)
        return self._ask(streams, ids, state, first=0, lookahead=1)

    def _ask_across(self, ids: torch.Tensor, state: MemoryState, rng: random.Random) -> Graded:
        """Ask where the segment ends within the question: as in `armt.decode`, its beginning is absorbed."""
        size = self.stage.segment
        begun = rng.randint(1, ACROSS_IDS)
        place = self.stage.segments * size + size - begun
        rows = [self.asker.longer(stream.questions([place]), begun) for stream in self.streams]
        text = ids[:, : size - begun]
        state = self.model.absorb(torch.cat((text, self.asker.begun(rows, begun)), dim=1), state)
        return self.asker.grade(
            self.model, text[:, :0], state, self.asker.asks(rows, first=place, skip=begun)
        )

    def _restart_some(self) -> MemoryState:
        state, empty = self.state, self.model.empty_state()
        keep = torch.ones(len(self.streams), dtype=torch.bool, device=self._device)
        for i, stream in enumerate(self.streams):
            if stream.rng.random() < self.stage.segments / self.stage.story:
                stream.start_story()
                keep[i] = False
        return MemoryState(
            state.W * keep[None, :, None, None],
            state.z * keep[None, :, None],
            state.segments * keep,
            torch.where(keep[:, None], state.recent, empty.recent),
        )

    def _ask(
        self,
        streams: Sequence[Stream],
        text: torch.Tensor,
        state: MemoryState,
        *,
        first: int,
        lookahead: float,
        written: Written | None = None,
    ) -> Graded:
        """Ask at place `first`; or, in a share of `lookahead` of cases, within `text`, which begins there."""
        if streams[0].rng.random() >= lookahead:
            text = text[:, :0]
        size = text.shape[1]
        rows = [
            stream.questions(
                [
                    stream.pause(first + 1, first + size) if size else first
                    for _ in range(self.stage.questions)
                ]
            )
            for stream in streams
        ]
        return self.asker.grade(self.model, text, state, self.asker.asks(rows, first), written)
