"""The model: a backbone whose blocks read from a memory, and memory tokens from which it is written."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from armt.backbone import Backbone
from armt.errors import PositionError
from armt.memory import AssociativeMemory
from armt.state import MemoryState

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import DynamicCache

    from armt.config import ArmtConfig


@dataclasses.dataclass(frozen=True)
class Layout:
    """Several continuations of one text in one row: what the trainer asks with.

    Attributes:
        positions: [1, n] position ids; continuations may share them.
        mask: [1, 1, n, n] bool, whether a token (row) sees another (column).
    """

    positions: Tensor
    mask: Tensor


class ArmtModel(nn.Module):
    """An associative recurrent memory transformer. It keeps no memory: states go in and come out.

    Rows of a batch may be at different points of their lives. Everything is differentiable; callers that do
    not train wrap calls in `torch.inference_mode()`.
    """

    def __init__(self, config: ArmtConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(
            config.backbone, extra_positions=config.num_mem_tokens if config.wrap_pos else 0
        )
        self.memory_tokens = nn.Parameter(torch.randn(config.num_mem_tokens, config.d_model) * 0.02)
        self.memories = nn.ModuleList(AssociativeMemory(config) for _ in config.memory_layers)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.memory_tokens.device

    def empty_state(self, batch: int = 1) -> MemoryState:
        """The memory of `batch` sessions that have read nothing, on the model's device."""
        return MemoryState.empty(self.config, batch, self.device)

    def absorb(self, ids: Tensor, state: MemoryState) -> MemoryState:
        """Read one full segment a row.

        Args:
            ids: [batch, segment_size] int64.
            state: the rows' memories; left as they are.

        Returns:
            The memories after the segment.

        Raises:
            PositionError: the backbone numbers positions on and a row has none left.
        """
        assert ids.shape[1] == self.config.segment_size, "absorb takes full segments"
        return self._through_blocks(ids, state, write=True)[1]

    def forward_segment(self, ids: Tensor, state: MemoryState) -> tuple[Tensor, MemoryState]:
        """Absorb, with logits: ids [batch, n <= segment_size] -> [batch, n, vocab] and the new memories."""
        hidden, state = self._through_blocks(ids, state, write=True)
        return self.backbone.head(hidden), state

    def hidden(
        self,
        ids: Tensor,
        state: MemoryState,
        *,
        cache: DynamicCache | None = None,
        start: int = 0,
        layout: Layout | None = None,
    ) -> Tensor:
        """The last block's output with the memory only read; `backbone.head` makes logits of it.

        Args:
            ids: [batch, n], tokens `start` to `start + n` of the segment.
            state: the rows' memories.
            cache: keys and values of the tokens before `start`, extended in place; n > 1 only if it is empty.
            start: tokens of this segment that the cache holds.
            layout: where the tokens stand and what they see, if that is not a plain row of tokens.

        Returns:
            [batch, n, d_model].
        """
        return self._through_blocks(ids, state, cache=cache, start=start, layout=layout)[0]

    def _through_blocks(
        self,
        ids: Tensor,
        state: MemoryState,
        *,
        write: bool = False,
        cache: DynamicCache | None = None,
        start: int = 0,
        layout: Layout | None = None,
    ) -> tuple[Tensor, MemoryState]:
        batch, n = ids.shape
        x = self.backbone.embed(ids)
        if write:
            x = torch.cat((x, self.memory_tokens.to(x.dtype).expand(batch, -1, -1)), dim=1)
        positions = self._positions(state, start, n, write=write) if layout is None else layout.positions
        x, rotary = self.backbone.place(x, positions)
        mask = None if layout is None else layout.mask
        first = state.segments == 0
        written: list[tuple[Tensor, Tensor]] = []
        slots = dict(zip(self.config.memory_layers, self.memories, strict=True))
        for layer in range(self.config.num_layers):
            memory = cast("AssociativeMemory | None", slots.get(layer))
            if memory is None:
                x = self.backbone.run(layer, x, rotary, cache, mask)
                continue
            W, z = state.W[len(written)], state.z[len(written)]
            x = self.backbone.run(layer, x + memory.read(x, W, z), rotary, cache, mask)
            written.append(memory.write(x[:, n:], W, z, first) if write else (W, z))
        if write:
            Ws, zs = zip(*written, strict=True)
            state = MemoryState(torch.stack(Ws), torch.stack(zs), state.segments + 1)
        return x[:, :n], state

    def _positions(self, state: MemoryState, start: int, n: int, *, write: bool) -> Tensor:
        """Position ids of n tokens from `start` on and, if writing, of memory tokens; [1 or batch, n]."""
        config, extra = self.config, self.config.num_mem_tokens if write else 0
        positions = torch.arange(start, start + n + extra, device=self.device).unsqueeze(0)
        if config.wrap_pos and write:
            positions[:, n:] += int(config.backbone["n_positions"]) - start - n
        if not config.positions_run_on:
            return positions
        positions = positions + state.segments.unsqueeze(1) * (config.segment_size + config.num_mem_tokens)
        available = int(config.backbone["n_positions"])
        if int(positions.max()) >= available:
            raise PositionError(
                f"this model numbers its {available} positions across segments and none are left: "
                f"at most {available // (config.segment_size + config.num_mem_tokens)} segments of "
                f"{config.segment_size} tokens fit a session; start a new one"
            )
        return positions
