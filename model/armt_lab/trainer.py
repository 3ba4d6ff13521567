"""One optimizer step after another: the model, its streams, and where in the curriculum they are."""

from __future__ import annotations

import dataclasses
import random
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer
from torch.nn import functional as F

from armt import hardware
from armt.memory import SHUT
from armt.model import ArmtModel
from armt.state import MemoryState
from armt_lab import corpus
from armt_lab.asking import KEPT, Asker, Graded
from armt_lab.muon import Muon
from armt_lab.recipe import RecipeError
from armt_lab.streams import Noise, Source, Stream
from armt_lab.words import Words

if TYPE_CHECKING:
    from pathlib import Path

    from armt_lab.recipe import Recipe, Stage

WARMUP = 100
YOUNG, YOUNG_DENSITY = 8, (0.3, 1.0)
CONV_STD = 0.5
FEWEST_WORDS = 50
DISGUISED = 40_000
"""Sentences made up to be taken for facts."""

ACROSS, ACROSS_SEGMENT, ACROSS_IDS = 0.2, 64, 8
"""Share of steps in which the end of a segment cuts a question, from what segment size on, and how late."""


@dataclasses.dataclass
class Gates:
    """What one step saw of the write gates: whether any opened, by what was in view; penalties on noise."""

    noise: list[bool] = dataclasses.field(default_factory=list)
    fact: list[bool] = dataclasses.field(default_factory=list)
    penalties: list[torch.Tensor] = dataclasses.field(default_factory=list)


def initialise(model: ArmtModel, seed: int) -> None:
    """Draw weights by width: std d^-0.5, so that attention is not flat at small widths.

    The value projection starts at a quarter of that, for what it is given is longer than the stream; the
    write gate starts half open. The convolution's taps are as long as half an embedding, whatever the width.
    """
    generator = torch.Generator().manual_seed(seed)
    std = model.config.d_model**-0.5
    taps = CONV_STD * (model.config.conv_rank or 1) ** -0.5
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            scale = taps if name == "conv" else 0.25 * std if "W_mv" in name else std
            parameter.data.normal_(0, scale, generator=generator)
        elif name.endswith("W_mb.bias"):
            parameter.data.fill_(0.0)


class Trainer:
    """A run: model, optimizer, streams and their memories, and where in the recipe it is."""

    def __init__(self, recipe: Recipe, folder: Path, books: Path | None, device: torch.device) -> None:
        self.recipe, self.folder, self.device = recipe, folder, device
        self.dtype = hardware.dtype("auto", device)
        folder.mkdir(parents=True, exist_ok=True)
        sentences = corpus.spaced_sentences(books)
        self.tokenizer, noise = self._text(sentences)
        self.source = Source(noise, lru_cache(KEPT)(self._encode), self._words(sentences))
        self.gates = Gates()
        self.model = ArmtModel(recipe.size.config(recipe.stages[0].segment)).to(device)
        initialise(self.model, recipe.seed)
        self.asker = Asker(self.tokenizer, device)
        inner = {n: p for n, p in self.model.named_parameters() if ".layers." in n and p.dim() > 1}
        outer = [p for n, p in self.model.named_parameters() if n not in inner]
        self.optimizers: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.AdamW(_decaying(outer), lr=0.0, betas=(0.9, 0.98)),
            Muon(inner.values(), lr=0.0),
        )
        self.step = 0
        self.tokens = 0
        self.enter(0)

    def _text(self, sentences: list[str]) -> tuple[Tokenizer, Noise]:
        path = self.folder / "tokenizer.json"
        if not path.exists():
            corpus.train_tokenizer(sentences, self.recipe.size.vocab).save(str(path))
        tokenizer = Tokenizer.from_file(str(path))
        near = corpus.disguised(sentences, DISGUISED)
        return tokenizer, corpus.encode_noise(tokenizer, [*sentences, *near], self.folder.parent / "cache")

    def _words(self, sentences: list[str]) -> Words:
        if not any(stage.open for stage in self.recipe.stages):
            return Words(())  # counting a shelf of books takes seconds
        words = corpus.open_words(sentences)
        fewest = min(map(len, (words.people, words.places, words.things)))
        if fewest < FEWEST_WORDS:
            raise RecipeError(f"{fewest} words are too few for open stories: give --books, or more of them")
        return words

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def enter(self, index: int) -> None:
        """Begin a stage: its segment size, fresh streams, empty memories."""
        self.index, self.stage_step = index, 0
        stage = self.stage
        self.model.config = dataclasses.replace(self.model.config, segment_size=stage.segment)
        self.streams = [self._stream(i) for i in range(stage.rows)]
        self.state = self.model.empty_state(stage.rows)
        self.recent: deque[float] = deque(maxlen=50)

    def _stream(self, row: int) -> Stream:
        rng = random.Random(f"{self.recipe.seed}/{self.step}/{row}")
        return Stream(self.source, self.stage, rng)

    @property
    def stage(self) -> Stage:
        """The stage the run is in."""
        return self.recipe.stages[self.index]

    @property
    def accuracy(self) -> float:
        """Mean over the last steps of the share of questions answered exactly."""
        return sum(self.recent) / max(1, len(self.recent))

    def learning_rate(self) -> float:
        """Warmed up at the start of each stage; falls to nothing at the end of those that say so."""
        stage = self.stage
        rate = stage.lr * min(1.0, (self.stage_step + 1) / WARMUP)
        if stage.decay:
            rate *= min(1.0, (stage.max_steps - self.stage_step) / stage.decay)
        return rate

    def train_step(self) -> list[Graded]:
        """One optimizer step over every row; returns what was asked."""
        rate = self.learning_rate()
        for optimizer, scale in zip(self.optimizers, (1.0, self.stage.muon), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = scale * rate
        self.gates = Gates()
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            graded = self._read_and_ask() if self.stage.memory else [self._ask_in_view()]
        loss = torch.stack([g.loss for g in graded]).mean()
        if self.gates.noise:
            loss = loss + self.stage.noise_weight * torch.cat(self.gates.penalties).mean()
        self.model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it so
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        if torch.isfinite(norm):
            for optimizer in self.optimizers:
                optimizer.step()
        right = torch.cat([g.right for g in graded])
        self.recent.append(right.float().mean().item())
        self.step += 1
        self.stage_step += 1
        self.tokens += self.stage.rows * self.stage.segments * self.stage.segment
        return graded

    def _ask_in_view(self) -> Graded:
        size = self.stage.segment
        for stream in self.streams:
            stream.start_story()
        ids = torch.tensor([s.peek(size) for s in self.streams], device=self.device)
        return self._ask(self.streams, ids, self.model.empty_state(len(self.streams)), first=0, lookahead=1)

    def _read_and_ask(self) -> list[Graded]:
        stage, size = self.stage, self.stage.segment
        rng = random.Random(f"{self.recipe.seed}/looks/{self.step}")
        state = self._restart_some()
        ids = torch.tensor([s.peek((stage.segments + 1) * size) for s in self.streams], device=self.device)
        graded = []
        for k in range(1, stage.segments + 1):
            state, gates = self.model.absorb_with_gates(ids[:, (k - 1) * size : k * size], state)
            self._judge(gates, (k - 1) * size)
            following = ids[:, k * size : (k + 1) * size]
            graded.append(
                self._ask(self.streams, following, state, first=k * size, lookahead=stage.lookahead)
            )
        if size >= ACROSS_SEGMENT and rng.random() < ACROSS:
            graded.append(self._ask_across(ids[:, stage.segments * size :], state))
        graded.append(self._ask_young())
        self.state = state.detach()
        for stream in self.streams:
            stream.advance(stage.segments * size, keep=self.model.config.overlap)
        return [g for g in graded if len(g.right)]

    def _judge(self, gates: torch.Tensor, start: int) -> None:
        """Note which rows opened a gate, [layers, rows, memory tokens], and what was in view there.

        Where it was background alone, every gate should be far from opening, and sentences on which one
        opened are shown again.
        """
        size, overlap = self.stage.segment, self.model.config.overlap
        widest = gates.float().amax(dim=(0, 2)) - SHUT
        views = [stream.in_view(start - overlap, start + size) for stream in self.streams]
        are_noise = [all(told.sentence >= 0 for told in view) for view in views]
        for view, is_noise, opened in zip(views, are_noise, (widest > 0).tolist(), strict=True):
            (self.gates.noise if is_noise else self.gates.fact).append(opened)
            if is_noise and opened:
                self.source.missed.extend(told.sentence for told in view)
        self.gates.penalties.append(F.softplus(widest[torch.tensor(are_noise, device=self.device)]))

    def _ask_young(self) -> Graded:
        """Ask sessions that have read less than a segment, which the carried rows hardly ever are."""
        rng = random.Random(f"{self.recipe.seed}/young/{self.step}")
        stage = dataclasses.replace(self.stage, density=YOUNG_DENSITY)
        streams = [Stream(self.source, stage, rng) for _ in range(YOUNG)]
        size = self.stage.view or self.stage.segment
        ids = torch.tensor([s.peek(size) for s in streams], device=self.device)
        return self._ask(streams, ids, self.model.empty_state(len(streams)), first=0, lookahead=1)

    def _ask_across(self, ids: torch.Tensor, state: MemoryState) -> Graded:
        """Ask where the segment ends within the question: as in `armt.decode`, its beginning is absorbed."""
        size = self.stage.segment
        begun = random.Random(f"{self.recipe.seed}/across/{self.step}").randint(1, ACROSS_IDS)
        place = self.stage.segments * size + size - begun
        rows = [self.asker.longer(stream.questions([place]), begun) for stream in self.streams]
        text = ids[:, : size - begun]
        state = self.model.absorb(torch.cat((text, self.asker.begun(rows, begun)), dim=1), state)
        return self.asker.grade(
            self.model, text[:, :0], state, self.asker.asks(rows, first=place, skip=begun)
        )

    def _restart_some(self) -> MemoryState:
        state, empty = self.state, self.model.empty_state()
        keep = torch.ones(len(self.streams), dtype=torch.bool, device=self.device)
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
        self, streams: list[Stream], text: torch.Tensor, state: MemoryState, first: int, lookahead: float
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
        return self.asker.grade(self.model, text, state, self.asker.asks(rows, first))

    @property
    def over(self) -> bool:
        """Whether the recipe is through."""
        return self.index == len(self.recipe.stages) - 1 and self.stage_step >= self.stage.max_steps

    def advance(self) -> None:
        """Enter the next stage when this one is over, by accuracy or by steps; the last one has no next."""
        good = self.stage_step >= max(self.stage.min_steps, WARMUP) and self.accuracy >= self.stage.until
        last = self.index == len(self.recipe.stages) - 1
        if not last and (good or self.stage_step >= self.stage.max_steps):
            self.enter(self.index + 1)

    def save(self) -> None:
        """Write last.pt whole or not at all."""
        values = {name: getattr(self, name) for name in _PROGRESS}
        values |= {"missed": list(self.source.missed)}
        values |= {"model": self.model.state_dict(), "optimizer": [o.state_dict() for o in self.optimizers]}
        torch.save(values, self.folder / "last.tmp")
        (self.folder / "last.tmp").rename(self.folder / "last.pt")

    def resume(self) -> bool:
        """Go on from last.pt, if there is one, at the very step."""
        path = self.folder / "last.pt"
        if not path.exists():
            return False
        values = torch.load(path, map_location=self.device, weights_only=False)
        self.enter(values["index"])
        self.model.load_state_dict(values["model"])
        for optimizer, state in zip(self.optimizers, values["optimizer"], strict=True):
            optimizer.load_state_dict(state)
        for name in _PROGRESS:
            setattr(self, name, values[name])
        self.source.missed.extend(values.get("missed", ()))
        for stream in self.streams:
            stream.source, stream.stage = self.source, self.stage
        return True


def _decaying(parameters: list[torch.nn.Parameter]) -> list[dict[str, Any]]:
    """Groups for AdamW: matrices decay, vectors do not."""
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.01},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]


_PROGRESS = ("index", "stage_step", "step", "tokens", "state", "recent", "streams")
