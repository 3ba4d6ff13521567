"""One session that reads on and on, asked at marks on the way: what lasts, measured through the service."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from armt_lab import babi, babilong, books, replay
from armt_lab.evaluate import ANSWER_TOKENS, read_stories, same
from armt_lab.words import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from armt_client import Client
    from armt_lab.babi import Sample
    from armt_lab.evaluate import Background

PIECE_SENTENCES = 2000


def pick(stories: Path, task: str, *, streams: int, asked: int, seed: int) -> Iterator[Sample]:
    """The last question of random stories, so that all of their facts are told, one for each stream.

    Args:
        stories: folder of bAbI files.
        task: see `questions`.
        streams: so many at least.
        asked: and so many that this many questions can be asked at each mark.
        seed: the same seed, the same stories.

    Raises:
        ValueError: the task is none of `TASKS`.
    """
    told = read_stories(stories, task)
    for number in itertools.count():
        if number >= streams and asked <= 0:
            return
        rng = random.Random(f"{seed}/stream/{number}")
        sample = list(babi.samples([rng.choice(told)]))[-1]
        asked -= len(questions(task, sample))
        yield sample


@dataclasses.dataclass(frozen=True)
class Mark:
    """How a stream stood when it had read so much.

    Attributes:
        task: whose facts were told.
        tokens: absorbed.
        bytes: absorbed.
        asked: questions, every one that the facts answer.
        right: answered exactly.
        answers: question, answer, truth.
        seconds: since the stream began or was taken up again, asking included.
        tokens_per_second: since the mark before.
        ask_ms: median milliseconds of an answer.
        server_rss_bytes: resident memory of the server's process, where its number was given.
        memory_bytes: of the session's memory.
    """

    task: str
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

    @property
    def wrong(self) -> list[tuple[str, str, str]]:
        """Those of `answers` that are."""
        return [each for each in self.answers if not same(*each[1:])]


def cut_off(path: Path, settings: Mapping[str, Any]) -> tuple[list[list[Mark]], str | None]:
    """What a file of results has of each stream, and the session of the last one, if that was cut off.

    Nothing and None where there is no such file, so that the same call begins and goes on.

    Raises:
        ValueError: it was measured with other settings.
    """
    if not path.exists():
        return [], None
    before = json.loads(path.read_text())
    for name, value in settings.items():
        if before.get(name) != value:
            raise ValueError(f"{path} was measured with {name} {before.get(name)}, not {value}")
    streams = [
        [Mark(**mark | {"answers": list(map(tuple, mark["answers"]))}) for mark in reached]
        for reached in before["streams"]
    ]
    return streams, before["session"]


def stream(
    client: Client,
    session: str,
    background: Background,
    sample: Sample,
    *,
    task: str,
    marks: Sequence[int],
    within: int,
    seed: int,
    pid: int | None = None,
) -> Iterator[Mark]:
    """One session that reads books on and on. All facts stand in its first `within` tokens.

    The same arguments, the same text, so one that was cut off goes on at the very byte.

    Args:
        client: of the service.
        session: an empty one, or that of a stream that was cut off; deleted at the end.
        background: read in whole books, in a new order each round.
        sample: its facts are told.
        task: of them; see `questions`.
        marks: tokens after which to ask, rising; of one that was cut off those that are left.
        within: tokens in which the facts are hidden; not more than the first mark.
        seed: of the order of books and of where the facts stand.
        pid: process id of the server, to watch its memory.

    Raises:
        ValueError: the task is none of `TASKS`.
    """
    asked = questions(task, sample)
    rng = random.Random(f"{seed}/stream")
    noise = books.stream(background.shelf, rng)
    head = babilong.compose(sample, noise, within, background.measure, rng)
    text = itertools.chain([head.text], (s if s[-1:].isspace() else s + "\n\n" for s in noise))
    began = before = time.monotonic()
    read = client.get_session(session).context.tokens
    held = client.offset(session)
    if rest := behind(held, text) if held else next(text):
        client.append(session, rest)
    for mark in marks:
        while (
            missing := mark - client.wait_absorbed(session, stall_seconds=600).context.tokens
        ) > 0:  # sentences alone have a few more tokens than their text
            client.append(session, _pieces(text, missing, background))
        context = client.get_session(session).context
        now = time.monotonic()
        rate = (context.tokens - read) / (now - before)
        answers, times = [], []
        for question, truth in asked:
            started = time.perf_counter()
            answer = client.ask(session, question, max_tokens=ANSWER_TOKENS).text.strip()
            times.append(1000 * (time.perf_counter() - started))
            answers.append((question, answer, truth))
        read, before = context.tokens, time.monotonic()
        yield Mark(
            task=task,
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
    client.delete_session(session)


def _pieces(text: Iterator[str], tokens: int, background: Background) -> Iterator[str]:
    """About `tokens` tokens of the text, a piece of many sentences at a time."""
    left = tokens
    while left > 0:
        piece: list[str] = []
        while left > 0 and len(piece) < PIECE_SENTENCES:
            piece.append(next(text))
            left -= background.measure(piece[-1])
        yield "".join(piece)


def behind(held: int, text: Iterator[str]) -> bytes:
    """The rest of the piece of a text within which its first `held` bytes end; nothing where one ends there.

    That piece and those before it are taken from `text`.
    """
    while held > 0:
        piece = next(text).encode()
        if held < len(piece):
            return piece[held:]
        held -= len(piece)
    return b""


def questions(task: str, sample: Sample) -> list[tuple[str, str]]:
    """Every question of the task that a sample's facts answer, with its answer: of qa1 where each person is.

    Raises:
        ValueError: the task is none of `TASKS`.
    """
    if task not in TASKS:
        raise ValueError(f"{task}: a stream can be asked {', '.join(TASKS)}")
    return sorted((text, answer) for text, (answer, _) in replay.answers(task, sample.facts).items())


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process, where the system tells it under /proc."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS")), None)


def totals_table(streams: Sequence[Sequence[Mark]], marks: Sequence[int]) -> Table:
    """Right answers of all streams of a task at each mark, a row for each task, and the mean of them."""
    shown = Table("task", *(f"{mark:,}" for mark in marks))
    shares = []
    for task in dict.fromkeys(reached[0].task for reached in streams):
        at_marks = list(zip(*(reached for reached in streams if reached[0].task == task), strict=True))
        counts = [(sum(m.right for m in at), sum(m.asked for m in at)) for at in at_marks]
        shares.append([right / asked for right, asked in counts])
        shown.add_row(task, *(f"{right}/{asked} = {right / asked:.1%}" for right, asked in counts))
    shown.add_section()
    shown.add_row("mean", *(f"{sum(at) / len(at):.1%}" for at in zip(*shares, strict=True)))
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
