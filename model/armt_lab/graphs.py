"""A lesson's whole computation as one CUDA graph.

A small model is many small kernels, and to launch them one by one takes longer than to run them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch

from armt_lab.lessons import padded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from armt.state import MemoryState
    from armt_lab.lessons import Lesson, Look
    from armt_lab.reading import Read

SPARE = 1.25
COLUMNS, ANSWERS = 16, 128
"""Questions are padded to multiples of these, and to so much more than the first ones need."""


@dataclasses.dataclass(frozen=True)
class _Captured:
    """A graph, and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    lesson: Lesson
    read: Read
    gradients: Sequence[Tensor | None]


class Graphs:
    """Learns lessons of few makes by replaying a graph of each.

    Args:
        learn: the computation, (lesson, state) -> (what came of it, gradients), all on the device and never
            waiting for it.
    """

    def __init__(
        self,
        learn: Callable[[Lesson, MemoryState], tuple[Read, Sequence[Tensor | None]]],
        device: torch.device,
    ) -> None:
        self._learn, self._device = learn, device
        self._captured: dict[tuple[object, ...], _Captured] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        self._state: MemoryState | None = None
        self._pool = torch.cuda.graph_pool_handle()

    def forget(self) -> None:
        """Another stage begins: nothing captured is of use any more."""
        self._captured, self._sizes, self._state = {}, {}, None
        self._pool = torch.cuda.graph_pool_handle()  # the old one goes with its last graph

    def learn(self, lesson: Lesson, state: MemoryState) -> tuple[Read, Sequence[Tensor | None]]:
        """What came of a lesson. The tensors are the graph's own: the next lesson changes them."""
        looks = [self._fitted(number, look) for number, look in enumerate(lesson.looks)]
        lesson = dataclasses.replace(lesson, looks=looks)
        make = (*(tensor.shape for tensor in lesson.tensors), *(look.after for look in looks))
        if self._state is None:
            self._state = state.rows(slice(None))
        else:
            self._state.take(state)
        captured = self._captured.get(make)
        if captured is None:
            captured = self._captured[make] = self._capture(lesson, self._state)
        for static, new in zip(captured.lesson.tensors, lesson.tensors, strict=True):
            static.copy_(new, non_blocking=True)
        captured.graph.replay()
        return dataclasses.replace(captured.read, state=self._state), captured.gradients

    def _fitted(self, number: int, look: Look) -> Look:
        """With questions as wide as those before at this place."""
        needs = look.asks.ids.shape[1], len(look.asks.labels)
        columns, answers = self._sizes.get(number, (0, 0))
        if needs[0] > columns or needs[1] > answers:
            columns, answers = (
                max(old, -int(-need * SPARE // unit) * unit)
                for old, need, unit in zip((columns, answers), needs, (COLUMNS, ANSWERS), strict=True)
            )
            self._sizes[number] = columns, answers
        return dataclasses.replace(look, asks=padded(look.asks, columns, answers))

    def _capture(self, lesson: Lesson, state: MemoryState) -> _Captured:
        lesson = lesson.map(lambda tensor: tensor.to(self._device))
        aside = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]  # torch's own
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # what is made at first use must not be made while capturing
            self._learn(lesson, state)
        torch.cuda.current_stream().wait_stream(aside)
        torch.cuda.empty_cache()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            read, gradients = self._learn(lesson, state)
            state.take(read.state)
        return _Captured(graph, lesson, read, gradients)
