"""Train a model by a recipe: `python -m armt_lab.train model/recipes/qa1.toml --books DIR`.

Stop it at any time and run it again: it goes on at the very step. A run lives in a folder (`runs/NAME`):
tokenizer.json, metrics.csv, last.pt. `last.pt` is a pickle, so go on only with runs of your own.
"""

from __future__ import annotations

import argparse
import csv
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from armt import checkpoint
from armt.text import StreamTokenizer
from armt_lab import recipe
from armt_lab.corpus import ANSWER, END, QUESTION
from armt_lab.trainer import Trainer

if TYPE_CHECKING:
    from armt_lab.asking import Graded

SAVE_SECONDS = 120.0
LOG_STEPS = 20
AGES = (0, 1, 4, 16, 64, 256, 1024)
"""Lower bounds, in segments, of the ages by which accuracy is told."""


def by_age(graded: list[Graded], segment: int) -> dict[str, float | str]:
    """Share of right answers for each bucket of `AGES`; empty where nothing was asked."""
    right = torch.cat([g.right for g in graded]).float()
    ages = torch.cat([g.ages for g in graded]) / segment
    table: dict[str, float | str] = {}
    for low, high in pairwise([*AGES, float("inf")]):
        chosen = right[(ages >= low) & (ages < high)]
        table[f"age_{low}"] = round(chosen.mean().item(), 4) if len(chosen) else ""
    return table


def metrics(trainer: Trainer, graded: list[Graded]) -> dict[str, float | str]:
    """One row of metrics.csv: where the run is, and how the last asks went."""
    norms = trainer.state.W.flatten(2).norm(dim=-1)
    return {
        "step": trainer.step,
        "stage": trainer.index,
        "stage_step": trainer.stage_step,
        "tokens": trainer.tokens,
        "loss": round(torch.stack([g.loss.detach() for g in graded]).mean().item(), 5),
        "accuracy": round(trainer.accuracy, 4),
        "w_norm": round(norms.mean().item(), 2),
        "rate": trainer.learning_rate(),
    } | by_age(graded, trainer.stage.segment)


def run(trainer: Trainer, seconds: float) -> bool:
    """Train until the recipe is through or the time is up; True when it is through."""
    deadline, saved = time.monotonic() + seconds, time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    window: list[Graded] = []
    with (
        (trainer.folder / "metrics.csv").open("a", newline="") as log,
        Progress(*columns, TimeElapsedColumn()) as bar,
    ):
        writer = csv.writer(log)
        task = bar.add_task("", note="")
        while True:
            window += trainer.train_step()
            if trainer.step % LOG_STEPS == 0:
                row = metrics(trainer, window)
                if log.tell() == 0:
                    writer.writerow(row)
                writer.writerow(row.values())
                log.flush()
                bar.update(
                    task,
                    description=f"stage {trainer.index + 1}/{len(trainer.recipe.stages)}",
                    note=f"step {trainer.stage_step}  loss {row['loss']:.3f}  right {trainer.accuracy:.3f}",
                    total=trainer.stage.max_steps,
                    completed=trainer.stage_step,
                )
                window = []
            through = trainer.advance()
            now = time.monotonic()
            if through or now > deadline or now - saved > SAVE_SECONDS:
                trainer.save()
                saved = now
            if through or now > deadline:
                return through


def export(trainer: Trainer, folder: Path) -> None:
    """Write the model as the library loads it: weights, tokenizer and the prompt it was trained with."""
    prompt = checkpoint.PromptTemplate(before=QUESTION, after=ANSWER, stop=(END,))
    tokenizer = StreamTokenizer(trainer.tokenizer)
    checkpoint.save(checkpoint.Checkpoint.of(trainer.model, tokenizer, prompt, trainer.recipe.name), folder)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument(
        "--books", type=Path, help="folder of .txt files for background; built-in prose without"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--minutes", type=float, default=600.0, help="stop after this long; run again to go on"
    )
    parser.add_argument("--export", type=Path, help="folder to write the model to, as the library loads it")
    options = parser.parse_args()
    chosen = recipe.load(options.recipe)
    trainer = Trainer(chosen, options.runs / chosen.name, options.books, torch.device(options.device))
    print("going on" if trainer.resume() else "starting", chosen.name, f"at step {trainer.step}")
    print("finished" if run(trainer, options.minutes * 60) else "stopped: run again to go on")
    if options.export:
        export(trainer, options.export)


if __name__ == "__main__":
    main()
