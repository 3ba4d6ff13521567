"""From a question to tokens, and from tokens to the text of its answer, piece by piece up to a stop text."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from typing import TYPE_CHECKING, Literal, Self

from armt.errors import TextError
from armt_server.errors import InvalidRequest, QuestionTooLong
from armt_server.sessions.values import Answer, Delta, Done, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from armt.sampling import Sampling
    from armt.text import StreamTokenizer
    from armt_server.engine import Engine
    from armt_server.sessions.reading import Reached
    from armt_server.settings import Settings


@dataclasses.dataclass(frozen=True)
class Question:
    """A question as tokens, within the limits.

    Attributes:
        ids: of the question and the template around it.
        sampling: how the answer's tokens are chosen.
        stops: texts that end the answer.
        stop_ids: tokens that end it.
    """

    ids: tuple[int, ...]
    sampling: Sampling
    stops: tuple[str, ...]
    stop_ids: frozenset[int]

    @classmethod
    async def of(
        cls, text: str, sampling: Sampling, stop: tuple[str, ...], engine: Engine, settings: Settings
    ) -> Self:
        """Tokenise a question off the event loop.

        Raises:
            QuestionTooLong: more tokens than the settings allow.
            InvalidRequest: an answer longer than they allow, or text that is not Unicode.
        """
        limit = settings.max_answer_tokens
        if sampling.max_tokens > limit:
            raise InvalidRequest(
                f"max_tokens is {sampling.max_tokens} and the limit is {limit}: ask for fewer"
            )
        tokenizer, template = engine.tokenizer, engine.template
        try:
            ids = await asyncio.to_thread(tokenizer.encode, text)
        except TextError as error:
            raise InvalidRequest("the question holds a lone surrogate: send whole characters") from error
        if len(ids) > settings.max_question_tokens:
            raise QuestionTooLong(len(ids), settings.max_question_tokens)
        stop_tokens = [tokenizer.encode_template(text) for text in template.stop]
        return cls(
            ids=(
                *tokenizer.encode_template(template.before),
                *ids,
                *tokenizer.encode_template(template.after),
            ),
            sampling=sampling,
            stops=(*template.stop, *stop),
            stop_ids=frozenset(ids[0] for ids in stop_tokens if len(ids) == 1),
        )


async def answer(
    question: Question, reached: Reached, engine: Engine, began: float
) -> AsyncGenerator[Delta | Done, None]:
    """Answer a question from a fold, which stays as it is; `began` is when it came, by `time.monotonic`.

    Raises:
        InvalidRequest: there is not a single token to continue.
        ContextFull, ShuttingDown: as `Engine.generate`.
    """
    folded = reached.folded
    rest = await asyncio.to_thread(engine.tokenizer.finish, folded.text)
    tail = [*folded.tail_ids, *rest, *engine.tokenizer.encode_template(engine.template.closing)]
    ids = [*tail, *question.ids]
    if not ids:
        raise InvalidRequest("there is nothing to answer: the question and the session's text are empty")
    absorbed = time.monotonic()
    transcript = Transcript(engine.tokenizer, question.stops)
    tokens = engine.generate(folded.memory, ids, question.sampling, question.stop_ids, len(tail))
    async with contextlib.aclosing(tokens):
        async for token in tokens:
            if new := transcript.add(token):
                yield Delta(new)
            if transcript.stopped:
                break
    if new := transcript.end():
        yield Delta(new)
    ran_out = not transcript.stopped and transcript.tokens == question.sampling.max_tokens
    reason: Literal["stop", "length"] = "length" if ran_out else "stop"
    usage = Usage(
        prompt_tokens=len(question.ids),
        completion_tokens=transcript.tokens,
        memory_source=reached.source,
        segments_replayed=reached.segments_replayed,
        context_bytes=folded.offset,
        context_tokens=folded.tokens(engine.segment_size) + len(rest),
        wait_ms=1000 * (absorbed - began),
        total_ms=1000 * (time.monotonic() - began),
    )
    yield Done(Answer(transcript.text, reason, usage))


class Transcript:
    """An answer being written. What may turn out to be a stop text, or half a character, is held back.

    White space before the first word is left out: models put it there, nobody asks for it.

    Args:
        tokenizer: turns ids into text.
        stops: texts that end the answer and do not belong to it.
    """

    def __init__(self, tokenizer: StreamTokenizer, stops: Iterable[str]) -> None:
        self._tokenizer = tokenizer
        self._stops = tuple(stop for stop in stops if stop)
        self._ids: list[int] = []
        self._shown = ""
        self._stopped = False

    @property
    def text(self) -> str:
        """What was given out so far."""
        return self._shown

    @property
    def tokens(self) -> int:
        """Ids that were added."""
        return len(self._ids)

    @property
    def stopped(self) -> bool:
        """Whether a stop text was met; then nothing more is to be added."""
        return self._stopped

    def add(self, token: int) -> str:
        """Add an id; gives the text that is certain by now and was not given before, maybe none."""
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids)
        found = self._first_stop(text)
        if found is not None:
            self._stopped = True
            return self._show(text[:found])
        text = text.rstrip("\ufffd")  # characters whose last bytes have not come yet
        return self._show(text[: len(text) - self._doubtful(text)])

    def end(self) -> str:
        """No more ids come: the text that was held back, unless a stop text ended the answer."""
        return "" if self._stopped else self._show(self._tokenizer.decode(self._ids))

    def _show(self, text: str) -> str:
        text = text.lstrip()
        new = text[len(self._shown) :]
        self._shown += new
        return new

    def _first_stop(self, text: str) -> int | None:
        """Where the earliest stop text begins."""
        return min((at for at in (text.find(stop) for stop in self._stops) if at >= 0), default=None)

    def _doubtful(self, text: str) -> int:
        """Characters at the end that may be the beginning of a stop text."""
        return max(
            (
                size
                for stop in self._stops
                for size in range(1, min(len(stop), len(text) + 1))
                if text.endswith(stop[:size])
            ),
            default=0,
        )
