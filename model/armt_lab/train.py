"""Train a model by a recipe: `armt train model/recipes/qa1.toml --books DIR`.

Stop it at any time and run it again: it goes on at the very step. A run lives in a folder (`runs/NAME`):
tokenizer.json, metrics.csv, last.pt and, when it stops, training.png. `last.pt` is a pickle: go on only with
runs of your own.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import gc
import math
import signal
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from tokenizers import Tokenizer

from armt import checkpoint, hardware
from armt.text import StreamTokenizer
from armt_lab import corpus, plots, recipe
from armt_lab.corpus import ANSWER, END, QUESTION
from armt_lab.trainer import Trainer
from armt_lab.words import ASIDES, TASKS, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from armt_lab.streams import Topic
    from armt_lab.trainer import Marks

SAVE_SECONDS = 120.0
LOG_STEPS = 20
KINDS = (*TASKS, *ASIDES, UNKNOWN)
AGES = (0, 1, 4, 16, 64, 256, 1024)
"""Lower bounds, in segments, of the ages by which accuracy is told."""


def by_age(asked: Sequence[tuple[Topic, bool]], segment: int) -> dict[str, float | str]:
    """Share of right answers for each bucket of `AGES`; empty where nothing was asked."""
    return {
        f"age_{low}": _share([right for topic, right in asked if low <= topic.age / segment < high])
        for low, high in pairwise([*AGES, math.inf])
    }


def by_kind(asked: Sequence[tuple[Topic, bool]]) -> dict[str, float | str]:
    """Share of right answers for each kind of question, and for all in stories of open words."""
    kinds = {kind: _share([right for topic, right in asked if topic.kind == kind]) for kind in KINDS}
    is_open = [right for topic, right in asked if topic.is_open and topic.kind != UNKNOWN]
    return kinds | {"open": _share(is_open)}


def metrics(trainer: Trainer, window: Sequence[Marks]) -> dict[str, float | str]:
    """One row of metrics.csv: where the run is, and how the last steps went."""
    norms = trainer.state.W.flatten(2).norm(dim=-1)
    asked = [each for marks in window for each in marks.asked]
    return {
        "step": trainer.step,
        "stage": trainer.index,
        "stage_step": trainer.stage_step,
        "tokens": trainer.tokens,
        "loss": _mean([marks.loss for marks in window if marks.loss is not None]),
        "accuracy": round(trainer.accuracy, 4),
        **{f"w_norm_{layer}": round(norm, 2) for layer, norm in enumerate(norms.mean(dim=1).tolist())},
        "rate": trainer.learning_rate(),
        "opened_on_fact": _share(trainer.gates.fact),
        "opened_on_noise": _share(trainer.gates.noise),
        **by_kind(asked),
        **by_age(asked, trainer.stage.segment),
        "pointing": _mean([marks.pointing for marks in window if marks.pointing is not None]),
    }


def _share(of: list[bool]) -> float | str:
    return round(sum(of) / len(of), 4) if of else ""


def _mean(of: list[float]) -> float | str:
    return round(sum(of) / len(of), 5) if of else ""


def run(trainer: Trainer, seconds: float) -> bool:
    """Train until the recipe is through, the time is up or a signal says stop; True when it is through."""
    deadline, saved = time.monotonic() + seconds, time.monotonic()
    _forget_after(trainer.step, trainer.folder / "metrics.csv")
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    window: list[Marks] = []
    with (
        _stopped_by_signals() as stopped,
        (trainer.folder / "metrics.csv").open("a", newline="") as log,
        Progress(*columns, TimeElapsedColumn()) as bar,
    ):
        writer = csv.writer(log)
        task = bar.add_task("", note="")
        while True:
            window.append(trainer.train_step())
            through = trainer.over
            ending = through or stopped.is_set() or time.monotonic() > deadline
            if ending or trainer.step % LOG_STEPS == 0:
                row = metrics(trainer, window)
                if log.tell() == 0:
                    writer.writerow(row)
                writer.writerow(row.values())
                log.flush()
                bar.update(
                    task,
                    description=f"stage {trainer.index + 1}/{len(trainer.recipe.stages)}",
                    note=f"step {trainer.stage_step}  loss {row['loss']}  right {trainer.accuracy:.3f}",
                    total=trainer.stage.max_steps,
                    completed=trainer.stage_step,
                )
                window = []
            trainer.advance()
            if ending or time.monotonic() - saved > SAVE_SECONDS:
                trainer.save()
                saved = time.monotonic()
            if ending:
                return through


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Set by the first SIGINT or SIGTERM, after which the step is ended and saved; the next one kills."""
    stopped = threading.Event()

    def stop(number: int, _: object) -> None:
        stopped.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _forget_after(step: int, log: Path) -> None:
    """Take out of the log what a run that was cut off did after its last save: it comes again."""
    if log.exists():
        head, *rows = log.read_text().splitlines(keepends=True) or [""]
        log.write_text(head + "".join(row for row in rows if int(row.split(",")[0]) <= step))


def export(trainer: Trainer, folder: Path) -> None:
    """Write the model as the library loads it: weights, tokenizer and the prompt it was trained with."""
    closing = "\n" if trainer.model.config.copying else ""  # its words are there only behind them
    prompt = checkpoint.PromptTemplate(before=QUESTION, after=ANSWER, stop=(END,), closing=closing)
    tokenizer = StreamTokenizer(trainer.tokenizer)
    checkpoint.save(checkpoint.Checkpoint.of(trainer.model, tokenizer, prompt, trainer.recipe.name), folder)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is given besides its recipe.

    Attributes:
        books: folder of .txt files for background; built-in prose without.
        runs: the run's own folder is made in it.
        name: of the run, instead of the recipe's.
        seed: of weights and stories, instead of the recipe's.
        device: "auto", or a torch device.
        start: "bundled", "open" or a folder: the model whose weights and tokenizer a run begins with. The
            recipe may have it copy tokens (`copying`) where it does not yet, or with codes some times as
            long (`copying` and `d_mem`); if its memories are made otherwise too, they begin anew and only
            the blocks go on.
        threads: of the CPU, each taking a part of the rows; as many as torch would take without. With a GPU,
            processes that draw what it learns next.
        minutes: stop after so long.
        export: folder to write the model to, as the library loads it.
    """

    books: Path | None = None
    runs: Path = Path("runs")
    name: str | None = None
    seed: int | None = None
    device: str = "auto"
    start: str | None = None
    threads: int | None = None
    minutes: float = 600.0
    export: Path | None = None


def _starting_with(start: checkpoint.Checkpoint, chosen: recipe.Recipe, folder: Path) -> dict[str, Tensor]:
    """What a new run takes of the model it starts with, whose tokenizer is laid into the run's folder.

    Its blocks; and its memories, if they are made as the recipe has them but for copying tokens, or for codes
    that are some times as long.
    """
    theirs = start.model.config
    size = chosen.size.config(theirs.segment_size)
    shapes = [{**of.backbone, "conv": of.conv, "conv_rank": of.conv_rank} for of in (theirs, size)]
    other = [name for name, value in shapes[1].items() if shapes[0].get(name) != value]
    if other or start.tokenizer is None:
        what = (
            f"of another size than the recipe's: see {', '.join(other)}" if other else "without a tokenizer"
        )
        raise recipe.RecipeError(f"{start.name}, to start with, is {what}")
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = corpus.as_within(Tokenizer.from_str(start.tokenizer.to_json()))
    tokenizer.save(str(folder / "tokenizer.json"))
    by = {f"memories.{i}.copier.picks.W_pq.weight": factor for i, factor in enumerate(chosen.soften)}
    softened = {name: w * by.get(name, 1.0) for name, w in start.model.state_dict().items()}
    times = max(1, size.copying // max(1, theirs.copying))
    longer = dataclasses.replace(theirs, copying=theirs.copying * times, d_mem=theirs.d_mem * times)
    if times > 1 and size == longer:
        return {name: _repeated(name, w, times) for name, w in softened.items()}
    alike = theirs in (size, dataclasses.replace(size, copying=0))
    taken = ("",) if alike else ("backbone.", "conv")
    return {name: w for name, w in softened.items() if name.startswith(taken)}


def _repeated(name: str, weight: Tensor, times: int) -> Tensor:
    """A weight of a model whose codes are so many times as long.

    What is learnt of a half of a key stands in it so often: keys are then as alike as they were, but for what
    codes have in common by chance.
    """
    if name.endswith(("W_mq.weight", "W_mk.weight")):
        return torch.cat([half.repeat(times, 1) for half in weight.chunk(2)])
    return weight.repeat(times, 1) if name.endswith("W_r.weight") else weight


def train_by(path: Path, options: Options) -> None:
    """Train by the recipe at `path`, from where the run is, and tell how it ended."""
    device = hardware.device(options.device)
    threads = options.threads or torch.get_num_threads()
    torch.set_num_threads(1)
    chosen = recipe.load(path)
    chosen = dataclasses.replace(
        chosen, name=options.name or chosen.name, seed=chosen.seed if options.seed is None else options.seed
    )
    folder = options.runs / chosen.name
    taken: dict[str, Tensor] = {}
    if options.start and not (folder / "last.pt").exists():
        start = checkpoint.load(options.start, device="cpu", dtype="float32")
        taken = _starting_with(start, chosen, folder)
    trainer = Trainer(chosen, folder, options.books, device, threads)
    gc.freeze()  # the books and all their words stay, and to look through them each time holds up all threads
    going_on = trainer.resume()
    if taken:
        trainer.model.load_state_dict(trainer.model.state_dict() | taken)
        trainer.save()
    print("going on" if going_on else "starting", chosen.name, f"at step {trainer.step}")
    print("finished" if run(trainer, options.minutes * 60) else "stopped: run again to go on")
    plots.training(trainer.folder / "metrics.csv", trainer.folder / "training.png")
    if options.export:
        export(trainer, options.export)
