"""One optimizer step after another: the model, its streams, and where in the curriculum they are."""

from __future__ import annotations

import dataclasses
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer

from armt import hardware
from armt.model import ArmtModel
from armt.state import MemoryState
from armt_lab import corpus
from armt_lab.ahead import Ahead, Setup
from armt_lab.asking import Asker
from armt_lab.drawing import Drawer, Inline
from armt_lab.graphs import Graphs
from armt_lab.lessons import Gates
from armt_lab.muon import Muon
from armt_lab.reading import read
from armt_lab.recipe import RecipeError
from armt_lab.source import Noise, Source
from armt_lab.words import HANDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from armt_lab.lessons import Lesson
    from armt_lab.reading import Read
    from armt_lab.recipe import Recipe, Stage
    from armt_lab.streams import Topic
    from armt_lab.words import Words

WARMUP = 100
CONV_STD = 0.5
FEWEST_WORDS = 100  # half of them made up
DISGUISED = 40_000
"""Sentences made up to be taken for facts."""


_SCALES = {"W_mv": 0.25, "W_r": 0.3}


def initialise(model: ArmtModel, seed: int) -> None:
    """Draw weights by width: std d^-0.5, so that attention is not flat at small widths.

    The value projection starts at a quarter of that, for what it is given is longer than the stream; the
    write gate starts half open, or a fifth where every token of the text writes: then a quarter of the token
    itself is part of the value, so that what is read can be said at once. Keys begin mostly as words have
    them (W_r). The convolution's taps are as long as half an embedding, whatever the width.
    """
    generator = torch.Generator().manual_seed(seed)
    std = model.config.d_model**-0.5
    taps = CONV_STD * (model.config.conv_rank or 1) ** -0.5
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            scale = taps if name == "conv" else std * _SCALES.get(name.split(".")[-2:][0], 1.0)
            parameter.data.normal_(0, scale, generator=generator)
        elif name.endswith("W_mb.bias"):
            parameter.data.fill_(0.0 if model.config.num_mem_tokens else -1.0)
        if "W_mv" in name and not model.config.num_mem_tokens:
            parameter.data.diagonal().add_(0.25)


@dataclasses.dataclass(frozen=True)
class Marks:
    """How the questions of one step fared.

    Attributes:
        asked: what each was about, and whether it was answered exactly.
        loss: mean over the answers' tokens; None where nothing was asked.
        pointing: see `armt_lab.pointing`; None where it is not taught.
    """

    asked: Sequence[tuple[Topic, bool]]
    loss: float | None
    pointing: float | None


@dataclasses.dataclass(frozen=True)
class Learnt:
    """What a share of the rows was taught, how many ids of theirs, and the gradients of its loss."""

    lesson: Lesson
    tokens: int
    read: Read
    gradients: Sequence[torch.Tensor | None]


class Trainer:
    """A run: model, optimizer, streams and their memories, and where in the recipe it is.

    With several threads each takes a part of the rows and the gradients are averaged: in a model so small
    there is less to gain from more threads within one operation.
    """

    def __init__(
        self, recipe: Recipe, folder: Path, books: Path | None, device: torch.device, threads: int = 1
    ) -> None:
        self.recipe, self.folder, self.device, self.threads = recipe, folder, device, threads
        self._pool = ThreadPoolExecutor(threads)
        self.dtype = hardware.dtype("auto", device)
        folder.mkdir(parents=True, exist_ok=True)
        sentences = corpus.spaced_sentences(books)
        self.tokenizer, noise = self._text(sentences)
        words, config = self._words(sentences), recipe.size.config(recipe.stages[0].segment)
        self.model = ArmtModel(config)
        initialise(self.model, recipe.seed)
        if self.model.words is not None:
            self.model.words.spell(self.tokenizer.get_vocab())
        self.model.to(device)
        self._graphs = None
        if device.type == "cuda":
            self.lessons: Ahead | Inline = Ahead(
                Setup(recipe, config, self.tokenizer.to_str(), noise, words), threads
            )
            self._graphs = Graphs(self._compute, device)
        else:
            source = Source.of(self.tokenizer, noise, words)
            asker = Asker.of(self.tokenizer, config)
            self.lessons = Inline([Drawer(recipe, config, asker, source) for _ in range(threads)])
            self.model.backbone.spell_out_attention()
        self.gates = Gates()
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
        words = corpus.open_words(sentences)
        fewest = min(map(len, (words.people, words.places, words.things)))
        if fewest < FEWEST_WORDS and any(stage.open for stage in self.recipe.stages):
            raise RecipeError(f"{fewest} words are too few for open stories: give --books, or more of them")
        return words

    def enter(self, index: int) -> None:
        """Begin a stage: its segment size, fresh streams, empty memories."""
        self.index, self.stage_step = index, 0
        stage = self.stage
        self.model.config = dataclasses.replace(self.model.config, segment_size=stage.segment)
        self.lessons.enter(index, self.step, stage.rows)
        self.state = self.model.empty_state(stage.rows)
        self.recent: deque[float] = deque(maxlen=50)
        if self._graphs is not None:
            self._graphs.forget()

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

    def train_step(self) -> Marks:
        """One optimizer step over every row; returns how what was asked was answered."""
        rate = self.learning_rate()
        for optimizer, scale in zip(self.optimizers, (1.0, self.stage.muon), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = scale * rate
        shares = self.lessons.shares(self.step)
        learnt = list(self._pool.map(self._learn, shares)) if shares[1:] else [self._learn(shares[0])]
        self.lessons.prepare(self.step)
        parameters = list(self.model.parameters())
        for parameter, *of_shares in zip(parameters, *(one.gradients for one in learnt), strict=True):
            found = [gradient for gradient in of_shares if gradient is not None]
            parameter.grad = torch.stack(found).sum(dim=0) / len(learnt) if found else None
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        if torch.isfinite(norm):
            for optimizer in self.optimizers:
                optimizer.step()
        self.state = MemoryState.cat([one.read.state for one in learnt])
        self.gates = Gates()
        for one in learnt:
            self.gates.judge(one.lesson, one.read.opened)
        self.lessons.miss(self.gates.missed)
        marks = _marks(learnt)
        if marks.asked:
            self.recent.append(sum(right for _, right in marks.asked) / len(marks.asked))
        self.step += 1
        self.stage_step += 1
        self.tokens += sum(one.tokens for one in learnt)
        return marks

    def _learn(self, share: tuple[slice, Callable[[], Lesson]]) -> Learnt:
        """Teach a share of the rows its lesson."""
        rows, draw = share
        drawn = draw()
        lesson = drawn.asking()
        learn = self._compute if self._graphs is None else self._graphs.learn
        return Learnt(lesson, drawn.tokens, *learn(lesson, self.state.view(rows)))

    def _compute(self, lesson: Lesson, state: MemoryState) -> tuple[Read, Sequence[torch.Tensor | None]]:
        """What comes of a lesson, and the gradients of its loss."""
        # The cache of cast weights is one for all threads, and each would clear it under the others.
        with torch.autocast(
            self.device.type, self.dtype, enabled=self.dtype != torch.float32, cache_enabled=False
        ):
            found = read(self.model, lesson, state, self.stage)
        parameters = list(self.model.parameters())
        if found.loss is None:
            return found, [None] * len(parameters)
        gradients = torch.autograd.grad(found.loss, parameters, allow_unused=True)
        return found.detach(), gradients

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
        values |= self.lessons.progress()
        values |= {"model": self.model.state_dict(), "optimizer": [o.state_dict() for o in self.optimizers]}
        torch.save(values, self.folder / "last.tmp")
        (self.folder / "last.tmp").rename(self.folder / "last.pt")

    def resume(self) -> bool:
        """Go on from last.pt, if there is one, at the very step."""
        path = self.folder / "last.pt"
        if not path.exists():
            return False
        values = torch.load(path, map_location="cpu", weights_only=False)
        self.enter(values["index"])
        self.model.load_state_dict(values["model"])
        for optimizer, state in zip(self.optimizers, values["optimizer"], strict=True):
            optimizer.load_state_dict(state)
        for name in _PROGRESS:
            setattr(self, name, values[name])
        self.state = self.state.to(self.device)
        self.lessons.go_on(values)
        return True


def _marks(learnt: Sequence[Learnt]) -> Marks:
    """How what was asked of all shares was answered."""
    graded = [(look, g) for one in learnt for look, g in zip(one.lesson.looks, one.read.graded, strict=True)]
    pointing = [one.read.pointing.item() for one in learnt if one.read.pointing is not None]
    right = [(look.asks, look.asks.right(g.missed)) for look, g in graded]
    return Marks(
        [
            (topic, one)
            for asks, of_asks in right
            for topic, one in zip(asks.topics, of_asks, strict=True)
            if topic.kind != HANDS
        ],
        sum(g.loss.item() for _, g in graded) / len(graded) if graded else None,
        sum(pointing) / len(pointing) if pointing else None,
    )


def _decaying(parameters: list[torch.nn.Parameter]) -> list[dict[str, Any]]:
    """Groups for AdamW: matrices decay, vectors do not."""
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.01},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]


_PROGRESS = ("index", "stage_step", "step", "tokens", "state", "recent")
