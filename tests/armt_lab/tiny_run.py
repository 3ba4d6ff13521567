"""A recipe that trains in seconds, and its runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from armt_lab import recipe
from armt_lab.ahead import Setup
from armt_lab.drawing import Inline
from armt_lab.trainer import Trainer

if TYPE_CHECKING:
    from pathlib import Path

    from armt_lab.drawing import Drawer

CPU = torch.device("cpu")
TINY = recipe.Recipe(
    name="tiny",
    size=recipe.Size(vocab=600, d_model=16, layers=2, heads=2, d_ff=32, d_mem=4, memory_tokens=2, conv=3),
    stages=(
        recipe.Stage(segment=24, segments=1, rows=3, memory=False, until=0.95, max_steps=2),
        recipe.Stage(
            segment=64,
            segments=2,
            rows=3,
            density=(0.05, 1.0),
            tasks={"qa1": 1, "qa5": 1},
            story=4.0,
            max_steps=6,
            decay=2,
        ),
    ),
)


def trainer_in(
    runs: Path, name: str, threads: int = 1, recipe: recipe.Recipe = TINY, device: torch.device = CPU
) -> Trainer:
    """A run that has not begun, with the book and the tokenizer of the fixture `runs`."""
    folder = runs / name
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_bytes((runs / "first" / "tokenizer.json").read_bytes())
    return Trainer(recipe, folder, runs / "books", device, threads)


def weights(trainer: Trainer) -> torch.Tensor:
    """All of them, one after the other."""
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def drawer_of(trainer: Trainer) -> Drawer:
    """What draws the lessons of a run on a CPU: of all rows, or of the first thread's."""
    assert isinstance(trainer.lessons, Inline)
    return trainer.lessons.drawers[0]


def setup_of(trainer: Trainer) -> Setup:
    """What other processes need to draw the lessons of a run on a CPU."""
    source = drawer_of(trainer).source
    return Setup(trainer.recipe, trainer.model.config, trainer.tokenizer.to_str(), source.noise, source.words)
