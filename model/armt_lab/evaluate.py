"""Measure recall as a user would meet it: append a long text to a running service, then ask.

`babilong_cell`: each question has a session of its own: the facts of one bAbI sample hidden in a book, the
question at the end. `stream`: one session reads on and on, and is asked at marks on the way. Always exact
match on the whole answer, whatever its case.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import track
from rich.table import Table
from tokenizers import Tokenizer

from armt_lab import babi, babilong, books
from armt_lab.world import PEOPLE, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from armt_client import Client
    from armt_lab.babi import Sample
    from armt_lab.babilong import Composed
    from armt_lab.world import Step

BUNDLED_TOKENIZER = Path(__file__).parent.parent / "armt" / "bundled" / "tokenizer.json"
ANSWER_TOKENS = 8
PIECE_SENTENCES = 2000
STRANGERS = ("Julie", "Victor", "Sophie", "Walter")
"""People of whom no story tells and after whom training never asked."""


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


def pick(stories: Path, task: str, count: int, rng: random.Random) -> list[Sample]:
    """`count` samples of a task's file, without repeats as far as it has them."""
    samples = list(babi.samples(_stories(stories, task)))
    return rng.sample(samples, min(count, len(samples)))


def pick_last(stories: Path, task: str, rng: random.Random) -> Sample:
    """The last question of a random story, so that all of its facts are told."""
    return list(babi.samples([rng.choice(_stories(stories, task))]))[-1]


def _stories(folder: Path, task: str) -> list[list[Step]]:
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
    """

    def one(numbered: tuple[int, Sample]) -> tuple[Composed, str, float]:
        number, sample = numbered
        rng = random.Random(f"{seed}/{task}/{tokens}/{number}")
        text = babilong.compose(sample, background.sentences, tokens, background.measure, rng)
        session = client.create_session()
        try:
            client.append(session.id, text.text)
            client.wait_absorbed(session.id)
            started = time.perf_counter()
            answer = client.ask(session.id, text.question, max_tokens=ANSWER_TOKENS).text.strip()
            milliseconds = 1000 * (time.perf_counter() - started)
            return dataclasses.replace(text, text=str(len(text.text.encode()))), answer, milliseconds
        finally:
            client.delete_session(session.id)

    began = time.monotonic()
    with ThreadPoolExecutor(rows) as pool:
        results = list(track(pool.map(one, enumerate(samples)), f"{task} {tokens:,}", total=len(samples)))
    wrong = [(t.question, answer, t.answer) for t, answer, _ in results if not same(answer, t.answer)]
    times = sorted(ms for *_, ms in results)
    return Cell(
        task=task,
        tokens=tokens,
        mean_bytes=sum(int(t.text) for t, *_ in results) // len(results),
        questions=len(results),
        right=len(results) - len(wrong),
        false_unknown=sum(same(answer, UNKNOWN) for _, answer, _ in wrong),
        ask_ms=round(times[len(times) // 2], 1),
        seconds=round(time.monotonic() - began, 1),
        wrong=wrong[:10],
    )


def strangers_cell(
    client: Client, background: Background, samples: Sequence[Sample], *, task: str, tokens: int, seed: int
) -> dict[str, Any]:
    """Ask each text after people of whom it never told: the right answer is `unknown`."""
    given: list[tuple[str, str]] = []
    for number, sample in enumerate(track(samples, f"unknown {task} {tokens:,}")):
        rng = random.Random(f"{seed}/unknown/{task}/{tokens}/{number}")
        text = babilong.compose(sample, background.sentences, tokens, background.measure, rng)
        session = client.create_session()
        client.append(session.id, text.text)
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


@dataclasses.dataclass(frozen=True)
class Mark:
    """How a stream stood when it had read so much.

    Attributes:
        tokens: absorbed.
        bytes: absorbed.
        asked: questions, one for each person told of.
        right: answered exactly.
        answers: question, answer, truth.
        seconds: since the stream began, asking included.
        tokens_per_second: since the mark before.
        ask_ms: median milliseconds of an answer.
        server_rss_bytes: resident memory of the server's process, where its number was given.
        memory_bytes: of the session's memory.
    """

    tokens: int
    bytes: int
    asked: int
    right: int
    answers: list[tuple[str, str, str]]
    seconds: float
    tokens_per_second: float
    ask_ms: float
    server_rss_bytes: int | None
    memory_bytes: int


def stream(
    client: Client,
    background: Background,
    sample: Sample,
    *,
    questions: Sequence[tuple[str, str]],
    marks: Sequence[int],
    within: int,
    seed: int,
    pid: int | None = None,
) -> Iterator[Mark]:
    """One session that reads books on and on. All facts stand in its first `within` tokens.

    Args:
        client: of the service.
        background: read in whole books, in a new order each round.
        sample: its facts are told.
        questions: what is asked at each mark, with the right answer.
        marks: tokens after which to ask, rising.
        within: tokens in which the facts are hidden; not more than the first mark.
        seed: of the order of books and of where the facts stand.
        pid: process id of the server, to watch its memory.
    """
    rng = random.Random(f"{seed}/stream")
    noise = books.stream(background.shelf, rng)
    head = babilong.compose(sample, noise, within, background.measure, rng)
    session = client.create_session()
    began = before = time.monotonic()
    read = 0
    client.append(session.id, head.text)
    for mark in marks:
        while (
            missing := mark - client.wait_absorbed(session.id, stall_seconds=600).context.tokens
        ) > 0:  # sentences alone have a few more tokens than their text
            client.append(session.id, _pieces(noise, missing, background))
        context = client.get_session(session.id).context
        now = time.monotonic()
        rate = (context.tokens - read) / (now - before)
        answers, times = [], []
        for question, truth in questions:
            started = time.perf_counter()
            answer = client.ask(session.id, question, max_tokens=ANSWER_TOKENS).text.strip()
            times.append(1000 * (time.perf_counter() - started))
            answers.append((question, answer, truth))
        read, before = context.tokens, time.monotonic()
        yield Mark(
            tokens=context.tokens,
            bytes=context.bytes,
            asked=len(answers),
            right=sum(same(answer, truth) for _, answer, truth in answers),
            answers=answers,
            seconds=round(before - began, 1),
            tokens_per_second=round(rate),
            ask_ms=round(sorted(times)[len(times) // 2], 1),
            server_rss_bytes=None if pid is None else resident_bytes(pid),
            memory_bytes=context.memory_bytes,
        )
    client.delete_session(session.id)


def _pieces(noise: Iterator[str], tokens: int, background: Background) -> Iterator[str]:
    """About `tokens` tokens of the noise, a piece of many sentences at a time."""
    left = tokens
    while left > 0:
        piece: list[str] = []
        while left > 0 and len(piece) < PIECE_SENTENCES:
            sentence = next(noise)
            left -= background.measure(sentence)
            piece.append(sentence if sentence[-1:].isspace() else sentence + "\n\n")
        yield "".join(piece)


def everyone(sample: Sample) -> list[tuple[str, str]]:
    """A question and its answer for each person of a qa1 story: where the last fact about him says he is."""
    last = {fact.split()[0]: fact.rstrip(".").split()[-1] for fact in sample.facts}
    return [(f"Where is {name}?", place) for name, place in sorted(last.items())]


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process, where the system tells it under /proc."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS")), None)


def same(answer: str, truth: str) -> bool:
    """Exact match, whatever the case."""
    return answer.lower() == truth.lower()


def write(path: Path, **values: Any) -> None:
    """A result as JSON, with the machine it was measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"machine": platform.processor() or platform.machine(), **values}
    path.write_text(json.dumps(values, indent=1) + "\n")


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


def marks_table(marks: Sequence[Mark]) -> Table:
    """The marks of a stream as a table, a row each."""
    shown = Table("tokens", "bytes", "right", "seconds", "tokens/s", "median ask ms", "server's memory")
    for m in marks:
        rss = "" if m.server_rss_bytes is None else f"{m.server_rss_bytes / 1e6:,.0f} MB"
        shown.add_row(
            f"{m.tokens:,}",
            f"{m.bytes:,}",
            f"{m.right}/{m.asked}",
            f"{m.seconds:,.0f}",
            f"{m.tokens_per_second:,.0f}",
            f"{m.ask_ms}",
            rss,
        )
    return shown
