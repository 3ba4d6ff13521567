"""A recipe: everything that decides a training run, read from one TOML file in `model/recipes/`."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from typing import TYPE_CHECKING, Any

from armt.config import ArmtConfig
from armt_lab.people import Habits
from armt_lab.words import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from armt.config import Features


class RecipeError(ValueError):
    """A file that is no recipe."""


END_ID = 2
"""The id of END in every tokenizer that `corpus.train_tokenizer` makes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """The model to build: a Llama-style backbone with tied embeddings, and its memory."""

    vocab: int = 4096
    d_model: int = 128
    layers: int = 4
    heads: int = 4
    d_ff: int = 256
    d_mem: int = 32
    features: Features = "dpfp"
    memory_tokens: int = 8
    memory_layers: tuple[int, ...] = (1, 2)
    overlap: int = 16
    conv: int = 0
    conv_rank: int = 0
    fold_tail: bool = False
    reads_within: bool = False
    bidirectional: bool = False
    copying: int = 0

    def config(self, segment_size: int) -> ArmtConfig:
        """The library's config of such a model at a segment size."""
        return ArmtConfig(
            backbone={
                "model_type": "llama",
                "vocab_size": self.vocab,
                "hidden_size": self.d_model,
                "intermediate_size": self.d_ff,
                "num_hidden_layers": self.layers,
                "num_attention_heads": self.heads,
                "num_key_value_heads": self.heads,
                "max_position_embeddings": 4096,
                "tie_word_embeddings": True,
                "bos_token_id": END_ID,
                "eos_token_id": END_ID,
            },
            segment_size=segment_size,
            num_mem_tokens=self.memory_tokens,
            d_mem=self.d_mem,
            features=self.features,
            wrap_layers=tuple(i in self.memory_layers for i in range(self.layers)),
            gate="hard",
            normalise_write=True,
            overlap=self.overlap,
            conv=self.conv,
            conv_rank=self.conv_rank,
            fold_tail=self.fold_tail,
            reads_within=self.reads_within,
            bidirectional=self.bidirectional,
            copying=self.copying,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the curriculum; it ends when the running accuracy reaches `until` or after `max_steps`.

    Attributes:
        segment: token ids in a segment; of a model that folds the tail half are shorter.
        segments: segments absorbed in one optimizer step, with gradients through all of them.
        rows: streams in the batch.
        density: lowest and highest share of facts among sentences; drawn log-uniformly for each story. What
            is drawn above 1 tells nothing but facts.
        tasks: which stories are told, and how often each against the others.
        noise_weight: of the penalty on gates that are open where there is no fact.
        pointing: weight of the loss that has questions point to where their answers stand in the memory; see
            `armt_lab.pointing`. Only where the text itself writes (`memory_tokens` 0).
        rehearse: share of background sentences that are easily taken for facts: they have words of the
            stories in them, or a gate opened on them.
        nameless: share of background sentences that tell what a fact might, but of nobody by name; see
            `armt_lab.nameless`.
        memory: False means that everything asked stands in the one segment in view.
        story: mean length of a story in segments; a row then starts afresh with an empty memory.
        asks: weights of kinds of questions, where they are not as follows.
        asides: weight of a kind of question that is not the story's own, against 1 for its own.
        open: share of stories that tell of people, places and things drawn anew from the words of the books.
        renamed: how often each of these is drawn then; otherwise they are as published.
        spelled: whether such words are asked for too; False: they are only asked after.
        marked: share of facts that stand within quotation marks or brackets, are items of a list, or end
            without a full stop.
        laid_out: share of stories all facts of which stand alike, as the lines of a list or of a log do.
        wrapped: share of other stories that are broken into lines, background and all, as mail is.
        busy, named, whence, hinted: how stories go where they do not go as published; see `people.Habits`.
        tricky: weight of a question that a short cut answers wrong, against 1 for others of its kind.
        along: and of one after a thing that did not move alone, times that.
        view: ids at most of a text that is asked about before any of it is absorbed; 0 means a segment.
        questions: asked of each row after each segment.
        drawn: questions drawn for each that is asked: the one with the oldest facts is.
        lookahead: how often they come within the next segment instead, as happens in service unless the model
            folds the tail.
        until: running accuracy that ends the stage early.
        min_steps: steps it takes at least.
        max_steps: steps it takes at most.
        lr: peak learning rate of AdamW; warmed up over 100 steps at the start of the stage.
        muon: learning rate of Muon over that of AdamW.
        decay: steps before `max_steps` over which it falls to nothing; 0 leaves it up.
    """

    segment: int
    segments: int
    rows: int
    density: tuple[float, float] = (1.0, 1.0)
    tasks: Mapping[str, float] = dataclasses.field(default_factory=lambda: {"qa1": 1.0})
    noise_weight: float = 0.1
    pointing: float = 0.0
    rehearse: float = 0.2
    nameless: float = 0.0
    memory: bool = True
    story: float = 100.0
    asks: Mapping[str, float] = dataclasses.field(default_factory=dict)
    asides: float = 0.3
    questions: int = 4
    drawn: int = 1
    open: float = 0.0
    renamed: Mapping[str, float] = dataclasses.field(default_factory=lambda: dict.fromkeys(KINDS, 1.0))
    spelled: bool = True
    marked: float = 0.0
    laid_out: float = 0.0
    wrapped: float = 0.0
    busy: float = 0.0
    named: float = 0.0
    whence: float = 0.0
    hinted: float = 0.0
    tricky: float = 1.0
    along: float = 1.0
    view: int = 0
    lookahead: float = 0.5
    until: float = math.inf
    min_steps: int = 50
    max_steps: int = 20_000
    lr: float = 1e-3
    muon: float = 1.0
    decay: int = 0

    @property
    def habits(self) -> Habits:
        """How its stories go."""
        return Habits(busy=self.busy, named=self.named, whence=self.whence, hinted=self.hinted)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole run. See `Size` and `Stage`.

    Attributes:
        name: of the run and of the model it makes.
        seed: of weights and stories.
        soften: by how much, of each memory, the logits are multiplied by which each token picks the word that
            it keeps, where a run starts with a model that copies: a choice that is sure has no gradient by
            which a token could learn to keep another word (docs/experiments.md, 31). (): none is.
    """

    name: str
    seed: int = 1
    soften: tuple[float, ...] = ()
    size: Size = Size()
    stages: tuple[Stage, ...] = ()


def load(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        FileNotFoundError: there is no such file.
        RecipeError: it is not TOML, has no stage, a key that `Recipe`, `Size` or `Stage` does not have, or
            what does not go together.
    """
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text())
        stages = tuple(
            Stage(**{**stage, "density": tuple(stage.get("density", (1.0, 1.0)))})
            for stage in values.pop("stage")
        )
        soften = tuple(values.pop("soften", ()))
        recipe = Recipe(size=Size(**values.pop("size", {})), stages=stages, soften=soften, **values)
    except KeyError as error:
        raise RecipeError(f"{path} has no [[stage]]: a recipe is a list of them") from error
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{path}: {error}") from error
    if recipe.size.memory_tokens and any(stage.pointing for stage in stages):
        raise RecipeError(f"{path}: pointing needs memory_tokens = 0, for then it is the text that writes")
    memories = len({*recipe.size.memory_layers} & {*range(recipe.size.layers)})
    if soften and len(soften) != memories:
        raise RecipeError(f"{path}: soften is of {len(soften)} memories, but the model has {memories}")
    return recipe
