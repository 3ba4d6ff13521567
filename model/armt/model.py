"""The model: a backbone whose blocks read from a memory, and memory tokens from which it is written."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from armt.backbone import Backbone
from armt.copying import View
from armt.errors import PositionError
from armt.keys import Key, Source, Trace
from armt.layout import earlier
from armt.memory import AssociativeMemory, hard
from armt.spelling import Words
from armt.state import MemoryState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor
    from transformers import DynamicCache

    from armt.config import ArmtConfig
    from armt.layout import Layout
    from armt.rows import RowPool


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
        self.words = Words(self.backbone.vocab_size, config.copying) if config.copying else None

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
        """Read one segment a row.

        Args:
            ids: [batch, segment_size] int64; of a model that folds the tail it may be shorter.
            state: the rows' memories; left as they are.

        Returns:
            The memories after the segment.

        Raises:
            PositionError: the backbone numbers positions on and a row has none left.
        """
        return self.absorb_traced(ids, state)[0]

    def absorb_traced(self, ids: Tensor, state: MemoryState) -> tuple[MemoryState, Trace]:
        """Absorb, and tell what was written with."""
        shorter = ids.shape[1] < self.config.segment_size
        assert ids.shape[1] == self.config.segment_size or (shorter and self.config.fold_tail)
        return self._write(self._run(ids, [state], heed_text=False)[1], ids, state)

    def absorb_ahead(
        self, runs: Sequence[Tensor], states: Sequence[MemoryState], pool: RowPool | None = None
    ) -> list[tuple[int, MemoryState]]:
        """Read several segments of each session at once, as far as they leave its memory as it was.

        A segment on which every gate is shut changes no memory, so those behind it can be read along with it
        on a guess. The first segment that does write ends its session's run: what was read behind it is
        dropped, for it had the wrong memory before it. Without a hard gate (`reads_ahead`) that is the first.

        Args:
            runs: for each session its next segments, [n >= 1, segment_size] int64, or one as in `absorb`.
            states: the sessions' memories, batch 1 each; left as they are.
            pool: threads that share the segments.

        Returns:
            For each session how many of its segments were read, at least 1, and its memory after them.
        """
        starts = [state.before_each(run) for run, state in zip(runs, states, strict=True)]
        ids = torch.cat(list(runs))

        def read(rows: slice) -> tuple[list[Source], list[bool]]:
            sources = self._run(ids[rows], MemoryState.within(starts, rows), heed_text=False)[1]
            if not self.reads_ahead:
                return sources, [True] * len(sources[0].m)
            return sources, (hard(torch.stack([s.logits for s in sources])) > 0).any(dim=2).any(
                dim=0
            ).tolist()

        parts = [read(slice(0, len(ids)))] if pool is None else pool.map(read, len(ids))
        wrote = [flag for _, flags in parts for flag in flags]
        found: list[tuple[int, MemoryState]] = []
        writers, first = dict[int, int](), 0  # by session, the row of its segment that writes
        for i, (run, state) in enumerate(zip(runs, states, strict=True)):
            flags = wrote[first : first + len(run)]
            count = flags.index(True) + 1 if True in flags else len(run)
            if True in flags:
                writers[i] = first + count - 1
            found.append((count, state.past(run[:count].view(1, -1), count)))
            first += len(run)
        if writers:  # seldom in text with nothing to keep, so what is not needed for it waits until here
            rows = torch.tensor(list(writers.values()), device=self.device)
            layers = zip(*(sources for sources, _ in parts), strict=True)
            sources = [Source.cat(layer).rows(rows) for layer in layers]
            before = [p for row in writers.values() for p in MemoryState.within(starts, slice(row, row + 1))]
            after, _ = self._write(sources, ids[rows], MemoryState.cat(before))
            for row, i in enumerate(writers):
                (count, memory), written = found[i], after.row(row)
                found[i] = count, dataclasses.replace(memory, W=written.W, z=written.z)
        return found

    def forward_segment(self, ids: Tensor, state: MemoryState) -> tuple[Tensor, MemoryState]:
        """Absorb, with logits: ids [batch, n <= segment_size] -> [batch, n, vocab] and the new memories."""
        hidden, sources = self._run(ids, [state], heed_text=True)
        # A token that has seen the next one cannot be asked for it, and a prompt reads but does not write.
        if self.config.bidirectional or self.config.reads_within:
            hidden = self.hidden(ids, state)
        return self.head(hidden), self._write(sources, ids, state)[0]

    def hidden(
        self,
        ids: Tensor,
        state: MemoryState,
        *,
        cache: DynamicCache | None = None,
        start: int = 0,
        layout: Layout | None = None,
        queries: list[Key] | None = None,
    ) -> Tensor:
        """The last block's output, and what was heard, with the memory only read; `head` makes logits of it.

        Args:
            ids: [batch, start + n], the segment's tokens so far.
            state: the rows' memories.
            cache: keys and values of the first `start` tokens, extended in place; n > 1 only if it is empty.
                Not heeded where tokens are copied: they look back at words in every block.
            start: tokens of this segment that the cache holds, which are not run again.
            layout: where the tokens stand and what they see, if that is not a plain row of tokens; the ids
                shown again come first and count.
            queries: takes what each memory is read with, [batch, n, ..].

        Returns:
            [batch, n, d_value], or one more where tokens are copied.
        """
        n, overlap = ids.shape[1] - start, self.config.overlap
        if self.words is not None:
            cache, start = None, 0
        held = start + overlap if start else 0
        reach = max(0, held - self.config.conv)  # what the convolution of new tokens looks back to
        shown = torch.cat((state.recent, ids), dim=1)
        x = self._embed(shown[:, reach:], layout)[:, held - reach :]
        positions = self._positions(state.segments, held, x.shape[1]) if layout is None else layout.positions
        x, rotary = self.backbone.place(x, positions)
        mask = None if layout is None else layout.mask
        slots = self._slots([state])
        view = self._view(x, shown, layout)
        for layer in range(self.config.num_layers):
            if self.config.reads_within:
                view = dataclasses.replace(view, x=self.backbone.run(layer, view.x, rotary, cache, mask))
            if layer in slots:
                memory, W, z = slots[layer]
                if queries is not None:
                    query = memory.query(view.x, view)
                    query = query._replace(word=query.phi @ W[0][..., self.config.d_model :])
                    queries.append(Key(*(part[:, -n:] for part in query)))
                view = memory.read_into(view, W, z)
            if not self.config.reads_within:
                view = dataclasses.replace(view, x=self.backbone.run(layer, view.x, rotary, cache, mask))
        return self._said(view, shown, layout)[:, -n:]

    def head(self, hidden: Tensor) -> Tensor:
        """Logits of what `hidden` gave, as wide as there -> [..., vocab]."""
        width = self.config.d_model
        logits = self.backbone.head(hidden[..., :width])
        return logits if self.words is None else self.words.say(logits, hidden[..., width:])

    def _view(self, x: Tensor, ids: Tensor, layout: Layout | None = None) -> View:
        """Tokens before the first block, which have heard nothing."""
        own = x.new_zeros(*x.shape[:2], 0) if self.words is None else self.words.ended(ids, layout, x.dtype)
        return View(x, own, layout=layout)

    def _said(self, view: View, ids: Tensor, layout: Layout | None = None) -> Tensor:
        """What `head` makes logits of."""
        if self.words is None or view.heard is None:
            return view.x
        return torch.cat((view.x, self.words.next(view.heard, ids, layout)), dim=-1)

    def _embed(self, ids: Tensor, layout: Layout | None = None) -> Tensor:
        """Token embeddings and their convolution, [batch, n] -> [batch, n, d_model]."""
        x = self.backbone.embed(ids)
        if self.conv is None:
            return x
        seen = x if self.conv_in is None else x @ self.conv_in.to(x.dtype)
        for tap, before in zip(self.conv.to(x.dtype), earlier(seen, len(self.conv), layout), strict=True):
            x = x + (tap * before if self.conv_in is None else before @ tap)
        return x

    @property
    def _associative(self) -> Iterable[AssociativeMemory]:
        return cast("Iterable[AssociativeMemory]", self.memories)

    def _slots(
        self, parts: Sequence[MemoryState]
    ) -> dict[int, tuple[AssociativeMemory, list[Tensor], list[Tensor]]]:
        """By block index: what reads and writes there, and its W and z of each part of the batch."""
        slots = enumerate(zip(self.config.memory_layers, self._associative, strict=True))
        return {at: (memory, [p.W[i] for p in parts], [p.z[i] for p in parts]) for i, (at, memory) in slots}

    def _run(
        self, ids: Tensor, parts: Sequence[MemoryState], *, heed_text: bool
    ) -> tuple[Tensor, list[Source]]:
        """Run text and memory tokens, reading only: the text's last output, and what each memory is to write.

        The rows' memories come in parts, one after the other, so that none is copied for many rows to read.
        Without `heed_text` nothing is computed that no memory depends on, and the first result is of no use.
        """
        batch, overlap, both_ways = len(ids), self.config.overlap, self.config.bidirectional
        writers = self.config.num_mem_tokens or ids.shape[1] + (overlap if both_ways else 0)
        recent = torch.cat([part.recent for part in parts])
        segments = torch.cat([part.segments for part in parts])
        ids = torch.cat((recent, ids), dim=1)
        n = ids.shape[1]
        mask = ids.new_ones(1, 1, n, n, dtype=torch.bool) if both_ways else None
        text = self._embed(ids)
        x = torch.cat((text, self.memory_tokens.to(text.dtype).expand(batch, -1, -1)), dim=1)
        x, rotary = self.backbone.place(x, self._positions(segments, 0, n, write=True))
        view = self._view(x, ids)
        sources: list[Source] = []
        slots, top = self._slots(parts), self.config.memory_layers[-1]
        for layer in range(self.config.num_layers if heed_text else top + 1):
            if layer in slots and not self.config.reads_within:
                memory, W, z = slots[layer]
                view = memory.read_into(view, W, z)
            if layer == top and not heed_text and not both_ways:
                x = self.backbone.run_last(layer, view.x, rotary, writers)
            else:
                x = self.backbone.run(layer, view.x, rotary, mask=mask)
            if layer in slots:
                memory, W, z = slots[layer]
                sources.append(memory.source(x[:, -writers:], view))
            view = dataclasses.replace(view, x=x)
            if layer in slots and layer != top and self.config.reads_within:
                sources[-1] = memory.worked_out(sources[-1], W)
                view = memory.read_into(view, W, z, sources[-1])
        return (self._said(view, ids)[:, overlap:n] if heed_text else view.x), sources

    def _write(self, sources: Sequence[Source], ids: Tensor, state: MemoryState) -> tuple[MemoryState, Trace]:
        """The memories after a segment, from what `_run` gave for it, and what they were written with."""
        first = state.segments == 0
        layers = zip(self._associative, sources, state.W, state.z, strict=True)
        written = (memory.write(source, W, z, first) for memory, source, W, z in layers)
        Ws, zs, logits, keys = zip(*written, strict=True)
        after = dataclasses.replace(state.past(ids, 1), W=torch.stack(Ws), z=torch.stack(zs))
        return after, Trace(torch.stack(logits), keys)

    def _positions(self, segments: Tensor, start: int, n: int, *, write: bool = False) -> Tensor:
        """Position ids of n tokens from `start` on and, if writing, of memory tokens; [1 or batch, n]."""
        config, extra = self.config, self.config.num_mem_tokens if write else 0
        positions = torch.arange(start, start + n + extra, device=self.device).unsqueeze(0)
        if config.wrap_pos and write:
            positions[:, n:] += int(config.backbone["n_positions"]) - start - n
        if not config.positions_run_on:
            return positions
        positions = positions + segments.unsqueeze(1) * (config.segment_size + config.num_mem_tokens)
        available = int(config.backbone["n_positions"])
        if int(positions.max()) >= available:
            raise PositionError(
                f"this model numbers its {available} positions across segments and none are left: "
                f"at most {available // (config.segment_size + config.num_mem_tokens)} segments of "
                f"{config.segment_size} tokens fit a session; start a new one"
            )
        return positions
