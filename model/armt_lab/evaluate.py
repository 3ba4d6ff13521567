"""Measure recall as a user would meet it: append a long text to a running service, then ask.

    python -m armt_lab.evaluate --stories DIR --books DIR --tasks qa1 --tokens 0 4000 16000 --out FILE.json

Each question has a session of its own: the facts of one bAbI sample hidden in a book (BABILong), the question
at the end, exact match on the whole answer.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from tokenizers import Tokenizer

from armt_client import Client
from armt_lab import babi, babilong, books

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armt_lab.babi import Sample
    from armt_lab.babilong import Composed

BUNDLED_TOKENIZER = Path(__file__).parent.parent / "armt" / "bundled" / "tokenizer.json"


@dataclasses.dataclass(frozen=True)
class Cell:
    """One task at one length.

    Attributes:
        task: as `qa1`.
        tokens: the length asked for, in the model's own tokens.
        mean_bytes: what the texts really had.
        questions: asked.
        right: answered exactly.
        ask_ms: median milliseconds from question to whole answer.
        wrong: up to ten wrong ones: question, answer, truth.
    """

    task: str
    tokens: int
    mean_bytes: int
    questions: int
    right: int
    ask_ms: float
    wrong: list[tuple[str, str, str]]

    @property
    def accuracy(self) -> float:
        """Percent exact match."""
        return 100 * self.right / self.questions


def pick(stories: Path, task: str, count: int, rng: random.Random) -> list[Sample]:
    """`count` samples of a task's file, without repeats as far as it has them."""
    found = sorted(stories.glob(f"{task}_*.txt"))
    if len(found) != 1:
        raise FileNotFoundError(f"{stories} has {len(found)} files {task}_*.txt; one is needed")
    samples = list(babi.samples(babi.read(found[0])))
    return rng.sample(samples, min(count, len(samples)))


def measure(client: Client, task: str, tokens: int, texts: Sequence[Composed], rows: int) -> Cell:
    """Append each text to a fresh session, ask, and delete it; `rows` sessions at a time."""

    def one(text: Composed) -> tuple[Composed, str, float]:
        session = client.create_session()
        try:
            client.append(session.id, text.text)
            client.wait_absorbed(session.id)
            started = time.perf_counter()
            answer = client.ask(session.id, text.question, max_tokens=8).text.strip()
            return text, answer, 1000 * (time.perf_counter() - started)
        finally:
            client.delete_session(session.id)

    with ThreadPoolExecutor(rows) as pool:
        results = list(track(pool.map(one, texts), f"{task} {tokens}", total=len(texts)))
    wrong = [(t.question, answer, t.answer) for t, answer, _ in results if answer.lower() != t.answer.lower()]
    times = sorted(ms for *_, ms in results)
    return Cell(
        task=task,
        tokens=tokens,
        mean_bytes=sum(len(t.text.encode()) for t in texts) // len(texts),
        questions=len(texts),
        right=len(texts) - len(wrong),
        ask_ms=round(times[len(times) // 2], 1),
        wrong=wrong[:10],
    )


def table(cells: Sequence[Cell]) -> Table:
    """The cells as a table, a row each."""
    shown = Table("task", "tokens", "bytes", "right", "exact match %", "median ask ms")
    for c in cells:
        shown.add_row(
            c.task,
            f"{c.tokens:,}",
            f"{c.mean_bytes:,}",
            f"{c.right}/{c.questions}",
            f"{c.accuracy:.1f}",
            f"{c.ask_ms}",
        )
    return shown


def main() -> None:
    """Read the command line, measure cell by cell, and write the result file after each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", default="http://127.0.0.1:8000")
    parser.add_argument("--stories", type=Path, required=True, help="folder of bAbI files")
    parser.add_argument("--books", type=Path, required=True, help="folder of .txt files to hide facts in")
    parser.add_argument("--tasks", nargs="+", default=["qa1"])
    parser.add_argument("--tokens", nargs="+", type=int, default=[0, 4000, 16000])
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--rows", type=int, default=4, help="sessions at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--tokenizer", type=Path, default=BUNDLED_TOKENIZER, help="counts the tokens of a length"
    )
    parser.add_argument("--out", type=Path, required=True, help="result file, JSON")
    options = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(options.tokenizer))
    background = [s for book in books.load(options.books) for s in books.sentences(book.text)]
    cells: list[Cell] = []
    with Client(options.server, timeout_seconds=600) as client:
        for task in options.tasks:
            for tokens in options.tokens:
                rng = random.Random(f"{options.seed}/{task}/{tokens}")
                texts = [
                    babilong.compose(s, background, tokens, lambda t: len(tokenizer.encode(t).ids), rng)
                    for s in pick(options.stories, task, options.questions, rng)
                ]
                cells.append(measure(client, task, tokens, texts, options.rows))
                result: dict[str, Any] = {
                    "model": client.models()[0],
                    "machine": platform.processor() or platform.machine(),
                    "seed": options.seed,
                    "cells": [dataclasses.asdict(c) | {"accuracy": round(c.accuracy, 2)} for c in cells],
                }
                options.out.parent.mkdir(parents=True, exist_ok=True)
                options.out.write_text(json.dumps(result, indent=1) + "\n")
    Console().print(table(cells))


if __name__ == "__main__":
    main()
