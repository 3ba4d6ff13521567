"""A recipe that trains in seconds, and its runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from armt_lab import recipe
from armt_lab.trainer import Trainer

if TYPE_CHECKING:
    from pathlib import Path

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


def trainer_in(runs: Path, name: str, threads: int = 1, recipe: recipe.Recipe = TINY) -> Trainer:
    """A run that has not begun, with the book and the tokenizer of the fixture `runs`."""
    folder = runs / name
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_bytes((runs / "first" / "tokenizer.json").read_bytes())
    return Trainer(recipe, folder, runs / "books", CPU, threads)
