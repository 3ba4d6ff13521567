"""The model: a backbone whose blocks read from a memory, and memory tokens from which it is written."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn import functional as F

from armt.backbone import Backbone
from armt.errors import PositionError
from armt.memory import AssociativeMemory, hard
from armt.state import MemoryState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor
    from transformers import DynamicCache

    from armt.config import ArmtConfig


@dataclasses.dataclass(frozen=True)
class Layout:
    """Several continuations of one text in one row: what the trainer asks with.

    Attributes:
        positions: [1, n] position ids; continuations may share them.
        mask: [1, 1, n, n] bool, whether a token (row) sees another (column).
        previous: [1 or batch, n] where the token before each stands, -1 before the first.
    """

    positions: Tensor
    mask: Tensor
    previous: Tensor


def _earlier(x: Tensor, count: int, layout: Layout | None) -> Iterator[Tensor]:
    """What stands 1, 2, ... `count` tokens before each of x [batch, n, width]; zeros where nothing does."""
    n = x.shape[1]
    if layout is None:
        padded = F.pad(x, (0, 0, count, 0))
        yield from (padded[:, count - j :][:, :n] for j in range(1, count + 1))
        return
    padded = F.pad(x, (0, 0, 1, 0))
    before = F.pad(layout.previous.expand(len(x), -1) + 1, (1, 0))
    at = before
    for _ in range(count):
        yield padded.gather(1, at[:, 1:, None].expand_as(x))
        at = before.gather(1, at)


def _starts(run: Tensor, state: MemoryState) -> MemoryState:
    """The memory before each segment of a run that writes nothing: only the ids shown again differ."""
    n, overlap = len(run), state.recent.shape[1]
    shown = torch.cat((state.recent[0], run.flatten()))
    recent = torch.stack([shown[i * run.shape[1] :][:overlap] for i in range(n)])
    return MemoryState(
        state.W.expand(-1, n, -1, -1), state.z.expand(-1, n, -1), state.segments.expand(n), recent
    )


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
        width, rank = config.d_model, config.conv_rank
        taps = torch.zeros(config.conv, rank, width) if rank else torch.zeros(config.conv, width)
        self.conv = nn.Parameter(taps) if config.conv else None
        self.conv_in = nn.Parameter(torch.zeros(width, rank)) if rank else None
        self.memories = nn.ModuleList(AssociativeMemory(config) for _ in config.memory_layers)

    @property
    def reads_ahead(self) -> bool:
        """Whether segments can leave the memory as it was, so that `absorb_ahead` gains time."""
        return self.config.gate == "hard"

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
        return self.absorb_with_gates(ids, state)[0]

    def absorb_with_gates(self, ids: Tensor, state: MemoryState) -> tuple[MemoryState, Tensor]:
        """Absorb, and the logits of the write gates, [layers with memory, batch, writers]."""
        assert ids.shape[1] == self.config.segment_size, "absorb takes full segments"
        _, state, gates = self._write(ids, state, heed_text=False)
        return state, gates

    def absorb_ahead(
        self, runs: Sequence[Tensor], states: Sequence[MemoryState]
    ) -> list[tuple[int, MemoryState]]:
        """Read several segments of each session at once, as far as they leave its memory as it was.

        A segment on which every gate is shut changes no memory, so those behind it can be read along with it
        on a guess. The first segment that does write ends its session's run: what was read behind it is
        dropped, for it had the wrong memory before it. Without a hard gate (`reads_ahead`) that is the first.

        Args:
            runs: for each session its next segments, [n >= 1, segment_size] int64.
            states: the sessions' memories, batch 1 each; left as they are.

        Returns:
            For each session how many of its segments were read, at least 1, and its memory after them.
        """
        starts = [_starts(run, state) for run, state in zip(runs, states, strict=True)]
        after, gates = self.absorb_with_gates(torch.cat(list(runs)), MemoryState.cat(starts))
        opened = hard(gates) > 0 if self.reads_ahead else torch.ones_like(gates, dtype=torch.bool)
        wrote = opened.any(dim=2).any(dim=0).tolist()
        found, first = [], 0
        for run in runs:
            flags = wrote[first : first + len(run)]
            last = flags.index(True) if True in flags else len(run) - 1
            memory = after.row(first + last)
            found.append((last + 1, dataclasses.replace(memory, segments=memory.segments + last)))
            first += len(run)
        return found

    def forward_segment(self, ids: Tensor, state: MemoryState) -> tuple[Tensor, MemoryState]:
        """Absorb, with logits: ids [batch, n <= segment_size] -> [batch, n, vocab] and the new memories."""
        hidden, state, _ = self._write(ids, state, heed_text=True)
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
            ids: [batch, start + n], the segment's tokens so far.
            state: the rows' memories.
            cache: keys and values of the first `start` tokens, extended in place; n > 1 only if it is empty.
            start: tokens of this segment that the cache holds, which are not run again.
            layout: where the tokens stand and what they see, if that is not a plain row of tokens; the ids
                shown again come first and count.

        Returns:
            [batch, n, d_model].
        """
        n, overlap = ids.shape[1] - start, self.config.overlap
        held = start + overlap if start else 0
        reach = max(0, held - self.config.conv)  # what the convolution of new tokens looks back to
        x = self._embed(torch.cat((state.recent, ids), dim=1)[:, reach:], layout)[:, held - reach :]
        positions = self._positions(state, held, x.shape[1]) if layout is None else layout.positions
        x, rotary = self.backbone.place(x, positions)
        mask = None if layout is None else layout.mask
        slots = self._slots(state)
        for layer in range(self.config.num_layers):
            if layer in slots:
                memory, W, z = slots[layer]
                x = x + memory.read(x, W, z)
            x = self.backbone.run(layer, x, rotary, cache, mask)
        return x[:, -n:]

    def _embed(self, ids: Tensor, layout: Layout | None = None) -> Tensor:
        """Token embeddings and their convolution, [batch, n] -> [batch, n, d_model]."""
        x = self.backbone.embed(ids)
        if self.conv is None:
            return x
        seen = x if self.conv_in is None else x @ self.conv_in.to(x.dtype)
        for tap, earlier in zip(self.conv.to(x.dtype), _earlier(seen, len(self.conv), layout), strict=True):
            x = x + (tap * earlier if self.conv_in is None else earlier @ tap)
        return x

    def _slots(self, state: MemoryState) -> dict[int, tuple[AssociativeMemory, Tensor, Tensor]]:
        """By block index: what reads and writes there, and its W and z."""
        memories = cast("Iterable[AssociativeMemory]", self.memories)
        layers = zip(memories, state.W, state.z, strict=True)
        return dict(zip(self.config.memory_layers, layers, strict=True))

    def _write(
        self, ids: Tensor, state: MemoryState, *, heed_text: bool
    ) -> tuple[Tensor, MemoryState, Tensor]:
        """Run text and memory tokens, and write: the text's last output, the new memories, the gates' logits.

        Without memory tokens the text's own write, but for those shown again.

        Without `heed_text` nothing is computed that no memory depends on, and the first result is of no use.
        """
        batch, overlap = len(ids), self.config.overlap
        writers = self.config.num_mem_tokens or ids.shape[1]
        ids = torch.cat((state.recent, ids), dim=1)
        n = ids.shape[1]
        text = self._embed(ids)
        x = torch.cat((text, self.memory_tokens.to(text.dtype).expand(batch, -1, -1)), dim=1)
        x, rotary = self.backbone.place(x, self._positions(state, 0, n, write=True))
        first = state.segments == 0
        written: list[tuple[Tensor, Tensor, Tensor]] = []
        slots = self._slots(state)
        top = self.config.memory_layers[-1]
        for layer in range(self.config.num_layers if heed_text else top + 1):
            if layer not in slots:
                x = self.backbone.run(layer, x, rotary)
                continue
            memory, W, z = slots[layer]
            x = x + memory.read(x, W, z)
            if layer == top and not heed_text:
                x = self.backbone.run_last(layer, x, rotary, writers)
            else:
                x = self.backbone.run(layer, x, rotary)
            written.append(memory.write(x[:, -writers:], W, z, first))
        Ws, zs, gates = zip(*written, strict=True)
        state = MemoryState(torch.stack(Ws), torch.stack(zs), state.segments + 1, ids[:, n - overlap :])
        return x[:, overlap:n], state, torch.stack(gates)

    def _positions(self, state: MemoryState, start: int, n: int, *, write: bool = False) -> Tensor:
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
