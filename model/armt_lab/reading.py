"""What is computed of a lesson: its segments are absorbed, its questions asked on forks, gates judged."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from armt.keys import Key
from armt.memory import SHUT
from armt.state import MemoryState
from armt_lab.grading import grade

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from armt.model import ArmtModel
    from armt_lab.grading import Graded
    from armt_lab.lessons import Lesson
    from armt_lab.recipe import Stage


@dataclasses.dataclass(frozen=True)
class Read:
    """What came of a lesson.

    Attributes:
        state: the rows' memories after it, detached.
        graded: how each of its looks fared.
        opened: [segments, rows] bool, whether a gate opened.
        loss: what training is to lessen; None where nothing was asked.
        pointing: the part of it that `armt_lab.pointing` is, before it is weighted; None where none is.
    """

    state: MemoryState
    graded: Sequence[Graded]
    opened: Tensor
    loss: Tensor | None
    pointing: Tensor | None

    def detach(self) -> Read:
        """Cut from the graph that made it, which then can be freed."""
        graded = [dataclasses.replace(g, loss=g.loss.detach()) for g in self.graded]
        pointing = None if self.pointing is None else self.pointing.detach()
        return dataclasses.replace(self, graded=graded, loss=None, pointing=pointing)


def read(model: ArmtModel, lesson: Lesson, state: MemoryState, stage: Stage) -> Read:
    """Read a lesson on the rows' memories. Nothing here waits for the device."""
    state = _restarted(model, lesson.kept, state)
    states, widest = [], []
    keys: list[Sequence[Key]] = []
    for ids in lesson.segments:
        state, trace = model.absorb_traced(ids, state)
        states.append(state)
        if stage.pointing:
            keys.append(keys_so_far(keys[-1] if keys else None, trace.keys, ids.shape[1]))
        # Where it was background alone, every gate should be far from opening.
        widest.append(trace.logits.float().amax(dim=(0, 2)) - SHUT)
    graded = []
    for look in lesson.looks:
        fork = states[look.after - 1] if look.after else model.empty_state(len(look.text))
        if look.read.shape[1]:
            fork = model.absorb(look.read, fork)
        written = keys[look.after - 1] if stage.pointing and look.after else None
        graded.append(grade(model, look.text, fork, look.asks, written))
    excess = torch.stack(widest) if widest else torch.zeros_like(lesson.is_noise)
    if not graded:
        return Read(state.detach(), [], excess > 0, None, None)
    loss = torch.stack([g.loss for g in graded]).mean()
    pointing = _mean_pointing(graded)
    if pointing is not None:
        loss = loss + stage.pointing * pointing
    if widest:
        noise = lesson.is_noise.float()
        loss = loss + stage.noise_weight * (F.softplus(excess) * noise).sum() / noise.sum().clamp(min=1)
    return Read(state.detach(), graded, excess > 0, loss, pointing)


def _restarted(model: ArmtModel, kept: Tensor, state: MemoryState) -> MemoryState:
    """Memories of rows that begin a new story are empty."""
    return MemoryState(
        state.W * kept[None, :, None, None],
        state.z * kept[None, :, None],
        state.segments * kept,
        torch.where(kept[:, None], state.recent, model.empty_state().recent),
    )


def keys_so_far(before: Sequence[Key] | None, new: Sequence[Key], n: int) -> Sequence[Key]:
    """What the ids of all segments of a lesson were written under last in each memory, [batch, ids, ..].

    Args:
        before: that of the segments before the last, if there are any.
        new: of the last segment, [batch, n or more, ..]; before its own keys stand those of ids that were
            shown again and written anew, some perhaps from before the lesson.
        n: how many ids the last segment has.
    """
    if before is None:
        return [Key(*(part[:, -n:] for part in key)) for key in new]
    kept = before[0].phi.shape[1] + n - new[0].phi.shape[1]

    def both(old: Tensor, late: Tensor) -> Tensor:
        return torch.cat((old[:, : max(0, kept)], late[:, max(0, -kept) :]), dim=1)

    return [Key(*map(both, old, late)) for old, late in zip(before, new, strict=True)]


def _mean_pointing(graded: Sequence[Graded]) -> Tensor | None:
    """Over all answer tokens that had somewhere to point to."""
    found = [(g.pointing, g.pointed) for g in graded if g.pointing is not None and g.pointed is not None]
    if not found:
        return None
    sums = torch.stack([mean * count for mean, count in found]).sum()
    return sums / torch.stack([count for _, count in found]).sum().clamp(min=1)
