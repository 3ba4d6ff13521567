"""Generation: a prompt and then single tokens, on a fork of a session's memory.

Memory tokens come last in a segment, so a key-value cache inside the segment is exact. A segment that is full
is absorbed into the fork only when another token must be run: the logits of its last token are those computed
in it. A model with `fold_tail` absorbs the tail too, before the prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import DynamicCache

from armt.errors import ArmtError
from armt.sampling import choose

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from armt.model import ArmtModel
    from armt.sampling import Sampling
    from armt.state import MemoryState


def decode(
    model: ArmtModel,
    state: MemoryState,
    ids: Sequence[int],
    sampling: Sampling,
    stop_ids: frozenset[int] = frozenset(),
    *,
    told: int = 0,
) -> Iterator[int]:
    """Continue `ids`, one token at a time.

    Args:
        model: in evaluation mode.
        state: the session's memory, batch 1, on the model's device; never changed.
        ids: the tail and the prompt, at least one id, of any length.
        sampling: how tokens are chosen and how many at most.
        stop_ids: generation ends before any of these; it is not yielded.
        told: how many of `ids` are the tail and its closing, which a model with `fold_tail` absorbs into the
            fork; where nothing follows them they are what is to be continued.

    Returns:
        An iterator that computes each id when asked for it; dropping it stops the work.

    Raises:
        ArmtError: there are no ids, here and not at the first token; or an id is not in the vocabulary.
        PositionError: while iterating, when a backbone that numbers positions on has none left.
    """
    assert state.batch == 1, "one answer has one memory"
    if not ids:
        raise ArmtError("there is nothing to continue: give at least one token")
    vocabulary = model.backbone.vocab_size
    strangers = [i for i in ids if not 0 <= i < vocabulary]
    if strangers:
        raise ArmtError(f"token id {strangers[0]} is not in the model's vocabulary of {vocabulary}")
    tail = told if model.config.fold_tail and told < len(ids) else 0
    return _generate(_Fork(model, state), ids[:tail], ids[tail:], sampling, stop_ids)


def _generate(
    fork: _Fork, tail: Sequence[int], ids: Sequence[int], sampling: Sampling, stop_ids: frozenset[int]
) -> Iterator[int]:
    generator = sampling.generator()
    fork.fold(tail)
    logits = fork.prefill(ids)
    for count in range(1, sampling.max_tokens + 1):
        token = choose(logits, sampling, generator)
        if token in stop_ids:
            return
        yield token
        if count < sampling.max_tokens:
            logits = fork.run(token)


class _Fork:
    """A memory of its own and the segment being filled; both are dropped with the answer."""

    def __init__(self, model: ArmtModel, state: MemoryState) -> None:
        self._model = model
        self._state = state
        self._segment: list[int] = []
        self._cache = DynamicCache()

    def fold(self, tail: Sequence[int]) -> None:
        """Absorb ids, what is left of them after full segments as a shorter one."""
        size = self._model.config.segment_size
        for start in range(0, len(tail), size):
            self._absorb(tail[start : start + size])

    def prefill(self, ids: Sequence[int]) -> Tensor:
        """Run at least one id, absorbing full segments that more ids follow. Logits [vocab]."""
        size = self._model.config.segment_size
        last = (len(ids) - 1) // size * size
        self.fold(ids[:last])
        return self._extend(ids[last:])

    def run(self, token: int) -> Tensor:
        """Run one token, absorbing the segment first if it is full. Logits [vocab]."""
        if len(self._segment) == self._model.config.segment_size:
            self._absorb(self._segment)
            self._segment, self._cache = [], DynamicCache()
        return self._extend([token])

    @torch.inference_mode()
    def _absorb(self, ids: Sequence[int]) -> None:
        # As `absorb`, without what is seldom needed: a tail that opens no gate writes nothing.
        ((_, self._state),) = self._model.absorb_ahead([self._tensor(ids)], [self._state])

    @torch.inference_mode()
    def _extend(self, ids: Sequence[int]) -> Tensor:
        hidden = self._model.hidden(
            self._tensor([*self._segment, *ids]), self._state, cache=self._cache, start=len(self._segment)
        )
        self._segment.extend(ids)
        return self._model.head(hidden[0, -1])

    def _tensor(self, ids: Sequence[int]) -> Tensor:
        return torch.tensor([list(ids)], dtype=torch.int64, device=self._model.device)
