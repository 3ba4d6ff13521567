"""`armt demo`: a long text with facts hidden in it, streamed to a server, and questions about the facts."""

from __future__ import annotations

import contextlib
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from armt_client import DEFAULT_SERVER, Client, ConnectionFailed
from armt_lab import babilong, books, prose
from armt_lab.babi import Sample
from armt_lab.world import Question, World
from armt_server.cli import common, private
from armt_server.cli.progress import Meter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BYTES_PER_TOKEN = 4  # of English prose, about; the server tells afterwards how many there were
_TTL_SECONDS = 24 * 3600  # the demo's session may be asked more for a day
_ANSWER_TOKENS = 8
_ASKED = ("qa1", "qa2", "qa3")


def demo(
    book: Annotated[
        str | None,
        typer.Argument(metavar="[BOOK.txt]", help="Text to hide facts in. [default: built-in prose]"),
    ] = None,
    *,
    tokens: Annotated[int, typer.Option(metavar="N", min=0, help="Length of the text, about.")] = 16_000,
    facts: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="How many facts to hide.")] = 16,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="The same seed, the same text. [default: another each time]"),
    ] = None,
    serve: Annotated[
        bool,
        typer.Option("--serve", help="Start a server for the length of the demo, with a store of its own."),
    ] = False,
    server: common.Server = DEFAULT_SERVER,
    api_key: common.ApiKey = None,
) -> None:
    """See it remember: hide facts in a long text, stream it in, ask about each.

    People walk from room to room and take things along ("Mary moved to the bathroom.", "Mary got the milk.");
    the sentences stand far apart in a book or in made-up prose. The memory keeps its size however long the
    text is, and so does the time of an answer.

    Examples:

    \b
      armt demo
      armt demo emma.txt --tokens 100000
      armt demo --serve
    """  # noqa: D301, D412  typer's \b keeps lines as they are
    rng = random.Random(seed)
    story = _story(_background(book, rng), facts, tokens * _BYTES_PER_TOKEN, rng)
    with contextlib.ExitStack() as closing:
        address = closing.enter_context(_own_server()) if serve else server
        client = closing.enter_context(common.connect(address, api_key))
        _check_there(client)
        source = book or "made-up prose"
        common.note(f"{len(story.text):,} bytes of {source} with {facts} facts hidden in them, such as")
        common.note(f"  {story.facts[0]}")
        session_id = _run(client, story)
        if not serve:
            flag = " ".join(["", *common.server_flag(server)])
            common.note(f'ask it yourself: armt ask "{story.questions[0].text}" --session {session_id}{flag}')


@dataclass(frozen=True)
class _Story:
    """A text in UTF-8, the facts hidden in it, and what can be asked at its end."""

    text: bytes
    facts: tuple[str, ...]
    questions: Sequence[Question]


def _background(book: str | None, rng: random.Random) -> Iterator[str] | Sequence[str]:
    if book is None:
        return prose.sentences(rng)
    try:
        text = Path(book).read_bytes().decode()
    except OSError as error:
        common.refuse(f"Cannot read {book}", error.strerror or str(error))
    except UnicodeDecodeError as error:
        common.refuse(
            f"Cannot read {book}", f"invalid UTF-8 at byte {error.start}: convert the text to UTF-8"
        )
    sentences = books.sentences(text)
    if not text.strip():
        common.refuse("Nothing to read", f"{book} is empty")
    return sentences


def _story(background: Iterator[str] | Sequence[str], facts: int, length: int, rng: random.Random) -> _Story:
    questions: list[Question] = []
    while not questions:  # a few facts may tell of what nobody can place yet
        world = World("qa3", rng)
        told = tuple(world.fact() for _ in range(facts))
        asks = world.asks()
        # What is asked more often than other things stands there more than once.
        questions = list(dict.fromkeys(q for kind in _ASKED for q in asks.get(kind, ())))
    sample = Sample(facts=told, question="", answer="")
    composed = babilong.compose(sample, background, length, babilong.utf8_length, rng)
    return _Story(composed.text.encode(), told, questions)


@contextlib.contextmanager
def _own_server() -> Iterator[str]:
    common.note("starting a server for the length of the demo ...")
    with private.server() as address:
        yield address


def _check_there(client: Client) -> None:
    try:
        client.limits()
    except ConnectionFailed as error:
        common.refuse(
            error.title,
            f"{error.detail}. Start a server with `make serve` (or `armt serve`), name another with --server "
            "URL, or let the demo start one of its own: armt demo --serve",
        )


def _run(client: Client, story: _Story) -> str:
    """Stream, ask, print; the session's id."""
    session = client.create_session(ttl_seconds=_TTL_SECONDS, metadata={"source": "armt demo"})
    with Meter(client, session) as meter:
        offset = client.append(session.id, story.text, progress=meter.sent)
        meter.end(offset)
        session = client.wait_absorbed(session.id, upto=offset, progress=meter.read, waiting=meter.waiting)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("question", "answer", "truth", ""):
        table.add_column(name)
    table.add_column("ms", justify="right")
    right = 0
    for question in story.questions:
        started = time.perf_counter()
        answer = client.ask(session.id, question.text, max_tokens=_ANSWER_TOKENS).text.strip()
        milliseconds = 1000 * (time.perf_counter() - started)
        good = answer.casefold() == question.answer.casefold()
        right += good
        verdict = Text("right", "green") if good else Text("wrong", "red")
        table.add_row(question.text, answer, question.answer, verdict, f"{milliseconds:.0f}")
    common.print_table(table)
    context = session.context
    common.out.print(
        f"{right} of {len(story.questions)} right. Read {context.tokens:,} tokens ({context.bytes:,} bytes) "
        f"at {meter.tokens_per_second:,.0f} tokens/s; memory held: {context.memory_bytes:,} bytes, the same "
        "for a text of any length."
    )
    return session.id
