"""The memory as a value: it goes in as an argument and comes out as a result."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from armt.config import ArmtConfig


@dataclasses.dataclass(frozen=True)
class MemoryState:
    """The memories of a batch of sessions, one row each. Always float32; never written in place.

    Attributes:
        W: [layers with memory, batch, d_key, d_value].
        z: [layers with memory, batch, d_key]; all zero for rules without a denominator.
        segments: [batch] int64, how many segments each row has absorbed; 0 means no read and no vbar yet.
        recent: [batch, overlap] int64, the last ids absorbed, which are shown again before the next segment.
    """

    W: Tensor
    z: Tensor
    segments: Tensor
    recent: Tensor

    @classmethod
    def empty(cls, config: ArmtConfig, batch: int = 1, device: torch.device | str = "cpu") -> MemoryState:
        """The memory of `batch` sessions that have read nothing."""
        layers = len(config.memory_layers)
        return cls(
            W=torch.zeros(layers, batch, config.d_key, config.d_value, device=device),
            z=torch.zeros(layers, batch, config.d_key, device=device),
            segments=torch.zeros(batch, dtype=torch.int64, device=device),
            recent=torch.full((batch, config.overlap), config.overlap_fill, device=device),
        )

    @classmethod
    def cat(cls, states: Sequence[MemoryState]) -> MemoryState:
        """One batch of all rows of `states`, in order; they must be on one device."""
        if len(states) == 1:
            return states[0]
        return cls(
            W=torch.cat([s.W for s in states], dim=1),
            z=torch.cat([s.z for s in states], dim=1),
            segments=torch.cat([s.segments for s in states]),
            recent=torch.cat([s.recent for s in states]),
        )

    @classmethod
    def within(cls, states: Sequence[MemoryState], rows: slice) -> list[MemoryState]:
        """The parts of `states` that are these rows, start to stop, of the batch that `cat` would make."""
        first, found = 0, []
        for state in states:
            if first < rows.stop and rows.start < first + state.batch:
                found.append(state.view(slice(max(0, rows.start - first), rows.stop - first)))
            first += state.batch
        return found

    @property
    def batch(self) -> int:
        """Number of rows."""
        return self.segments.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes that the tensors take."""
        return sum(t.numel() * t.element_size() for t in self._tensors)

    @property
    def _tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.W, self.z, self.segments, self.recent

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.W.device

    def view(self, index: slice) -> MemoryState:
        """The chosen rows of the same tensors."""
        return MemoryState(self.W[:, index], self.z[:, index], self.segments[index], self.recent[index])

    def rows(self, index: slice | Tensor) -> MemoryState:
        """The chosen rows, copied, so that they do not keep the whole batch alive."""
        W, z = self.W[:, index].clone(), self.z[:, index].clone()
        return MemoryState(W, z, self.segments[index].clone(), self.recent[index].clone())

    def row(self, i: int) -> MemoryState:
        """Row `i` as a batch of one."""
        return self.rows(slice(i, i + 1))

    def past(self, ids: Tensor, segments: int) -> MemoryState:
        """The same memories behind so many segments, whose ids are [batch, n], that wrote nothing."""
        recent = torch.cat((self.recent, ids), dim=1)[:, ids.shape[1] :]
        return MemoryState(self.W, self.z, self.segments + segments, recent)

    def before_each(self, run: Tensor) -> MemoryState:
        """One session's memory before each segment of a run [n, size] that writes nothing; no copy of W."""
        n, overlap = len(run), self.recent.shape[1]
        shown = torch.cat((self.recent[0], run.flatten()))
        recent = torch.stack([shown[i * run.shape[1] :][:overlap] for i in range(n)])
        W, z = self.W.expand(-1, n, -1, -1), self.z.expand(-1, n, -1)
        return MemoryState(W, z, self.segments.expand(n), recent)

    def to(self, device: torch.device | str) -> MemoryState:
        """The same memory on another device."""
        return MemoryState(*(t.to(device) for t in self._tensors))

    def take(self, other: MemoryState) -> None:
        """Become as `other` in the very same tensors, which only their owner may do."""
        for mine, theirs in zip(self._tensors, other._tensors, strict=True):
            mine.copy_(theirs)

    def detach(self) -> MemoryState:
        """The same memory, cut from the graph that made it."""
        return MemoryState(self.W.detach(), self.z.detach(), self.segments, self.recent)
