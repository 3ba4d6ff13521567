"""Measure recall as a user would meet it: append a long text to a running service, then ask.

Each question has a session of its own: the facts of one bAbI sample hidden in a book, the question at the
end. Exact match on the whole answer, whatever its case. One session that reads on and on: `endurance.py`.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.progress import track
from rich.table import Table
from tokenizers import Tokenizer

from armt_lab import babi, babilong, books
from armt_lab.marks import wrapped
from armt_lab.words import EVERYONE, HELD_OUT, KINDS, OBJECTS, PEOPLE, PLACES, STRANGERS, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from armt_client import Client
    from armt_lab.babi import Sample
    from armt_lab.world import Step

BUNDLED_TOKENIZER = Path(__file__).parent.parent / "armt" / "bundled" / "tokenizer.json"
ANSWER_TOKENS = 8


class Background:
    """A shelf of books as sentences, and how many tokens each is."""

    def __init__(self, folder: Path, tokenizer: Path = BUNDLED_TOKENIZER) -> None:
        self.shelf = [books.sentences(book.text) for book in books.load(folder)]
        self.sentences = [sentence for book in self.shelf for sentence in book]
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        encoded = self._tokenizer.encode_batch(self.sentences, add_special_tokens=False)
        self._known = {s: len(e.ids) for s, e in zip(self.sentences, encoded, strict=True)}

    def measure(self, text: str) -> int:
        """Tokens of a sentence, encoded alone."""
        if text not in self._known:
            self._known[text] = len(self._tokenizer.encode(text, add_special_tokens=False).ids)
        return self._known[text]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One task at one length.

    Attributes:
        task: as `qa1`.
        tokens: the length asked for, in the model's own tokens.
        mean_bytes: what the texts really had.
        questions: asked.
        right: answered exactly.
        false_unknown: answered `unknown` though it was told.
        ask_ms: median milliseconds from question to whole answer.
        seconds: that the cell took, texts read side by side.
        wrong: up to ten wrong ones: question, answer, truth.
    """

    task: str
    tokens: int
    mean_bytes: int
    questions: int
    right: int
    false_unknown: int
    ask_ms: float
    seconds: float
    wrong: list[tuple[str, str, str]]

    @property
    def accuracy(self) -> float:
        """Percent exact match."""
        return 100 * self.right / self.questions


class _Asked(NamedTuple):
    question: str
    answer: str
    truth: str
    text_bytes: int
    milliseconds: float


def pick(stories: Path, task: str, count: int, rng: random.Random) -> list[Sample]:
    """`count` samples of a task's file, without repeats as far as it has them."""
    samples = list(babi.samples(read_stories(stories, task)))
    return rng.sample(samples, min(count, len(samples)))


def renamed(sample: Sample, rng: random.Random, kinds: Collection[str] = KINDS) -> Sample:
    """The same story of other people, places or things: `HELD_OUT` words, which no fact in training has."""
    new: dict[str, str] = {}
    for kind, old, words in (
        ("people", EVERYONE, HELD_OUT.people),
        ("places", PLACES, HELD_OUT.places),
        ("things", OBJECTS, HELD_OUT.things),
    ):
        if kind in kinds:
            new |= dict(zip(old, rng.sample(words, len(old)), strict=True))

    def put(text: str) -> str:
        return re.sub(r"\w+", lambda word: new.get(word[0], word[0]), text)

    facts = tuple(map(put, sample.facts))
    return dataclasses.replace(sample, facts=facts, question=put(sample.question), answer=put(sample.answer))


def read_stories(folder: Path, task: str) -> list[list[Step]]:
    """The stories of a task's file, whatever stands in its name after the task's."""
    found = sorted(folder.glob(f"{task}_*.txt"))
    if len(found) != 1:
        raise FileNotFoundError(f"{folder} has {len(found)} files {task}_*.txt; one is needed")
    return babi.read(found[0])


def babilong_cell(
    client: Client,
    background: Background,
    samples: Sequence[Sample],
    *,
    task: str,
    tokens: int,
    rows: int,
    seed: int,
    columns: int | None = None,
) -> Cell:
    """Append each sample, hidden in `tokens` tokens of books, to a fresh session, ask, and delete it.

    Args:
        client: of the service.
        background: what to hide facts in.
        samples: facts, question and answer of each.
        task: names the cell.
        tokens: length of each text with its question.
        rows: sessions at a time.
        seed: of where in the books a text begins and where its facts stand.
        columns: characters in a line at most; None leaves lines as long as they are.
    """

    def one(numbered: tuple[int, Sample]) -> _Asked:
        number, sample = numbered
        rng = random.Random(f"{seed}/{task}/{tokens}/{number}")
        composed = babilong.compose(sample, background.sentences, tokens, background.measure, rng)
        text = _in_lines(composed.text, columns)
        session = client.create_session()
        try:
            client.append(session.id, text)
            client.wait_absorbed(session.id)
            started = time.perf_counter()
            answer = client.ask(session.id, composed.question, max_tokens=ANSWER_TOKENS).text.strip()
            milliseconds = 1000 * (time.perf_counter() - started)
            return _Asked(composed.question, answer, composed.answer, len(text.encode()), milliseconds)
        finally:
            client.delete_session(session.id)

    began = time.monotonic()
    with ThreadPoolExecutor(rows) as pool:
        results = list(track(pool.map(one, enumerate(samples)), f"{task} {tokens:,}", total=len(samples)))
    wrong = [(a.question, a.answer, a.truth) for a in results if not same(a.answer, a.truth)]
    times = sorted(a.milliseconds for a in results)
    return Cell(
        task=task,
        tokens=tokens,
        mean_bytes=sum(a.text_bytes for a in results) // len(results),
        questions=len(results),
        right=len(results) - len(wrong),
        false_unknown=sum(same(answer, UNKNOWN) for _, answer, _ in wrong),
        ask_ms=round(times[len(times) // 2], 1),
        seconds=round(time.monotonic() - began, 1),
        wrong=wrong[:10],
    )


def strangers_cell(
    client: Client,
    background: Background,
    samples: Sequence[Sample],
    *,
    task: str,
    tokens: int,
    seed: int,
    columns: int | None = None,
) -> dict[str, Any]:
    """Ask each text, as in `babilong_cell`, after people of whom it never told: `unknown` is right."""
    given: list[tuple[str, str]] = []
    for number, sample in enumerate(track(samples, f"unknown {task} {tokens:,}")):
        rng = random.Random(f"{seed}/unknown/{task}/{tokens}/{number}")
        text = babilong.compose(sample, background.sentences, tokens, background.measure, rng)
        session = client.create_session()
        client.append(session.id, _in_lines(text.text, columns))
        told = " ".join(sample.facts)
        for name in (*PEOPLE[task], *STRANGERS):
            if name not in told:
                answer = client.ask(session.id, f"Where is {name}?", max_tokens=ANSWER_TOKENS).text.strip()
                given.append((name, answer))
        client.delete_session(session.id)
    false = [(name, answer) for name, answer in given if not same(answer, UNKNOWN)]
    return {
        "task": task,
        "tokens": tokens,
        "asked": len(given),
        "false_answers": len(false),
        "asked_after_names_of_the_task": sum(name not in STRANGERS for name, _ in given),
        "false_after_names_of_the_task": sum(name not in STRANGERS for name, _ in false),
        "such_as": false[:10],
    }


def _in_lines(text: str, columns: int | None) -> str:
    return text if columns is None else wrapped(text, 0, columns)[0]


def same(answer: str, truth: str) -> bool:
    """Exact match, whatever the case."""
    return answer.lower() == truth.lower()


def write(path: Path, **values: Any) -> None:
    """A result as JSON, with the machine it was measured on, whole or not at all: a run may be cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"machine": platform.processor() or platform.machine(), **values}
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(values, indent=1) + "\n")
    draft.replace(path)


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
