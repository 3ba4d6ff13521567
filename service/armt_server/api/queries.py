"""Queries: questions to a session, answered whole or as server-sent events."""

from __future__ import annotations

import secrets
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Depends, Request, Response

from armt.sampling import Sampling
from armt_server.api import examples
from armt_server.api.dependencies import ServiceDep, SessionId, require_json
from armt_server.api.problems import document, foreseen
from armt_server.api.streams import PING, PING_SECONDS, EventStream, attended, event, paced
from armt_server.errors import (
    BodyTooLarge,
    ContextFull,
    FingerprintMismatch,
    InvalidRequest,
    QuestionTooLong,
    ServerError,
    SessionExpired,
    SessionNotFound,
    UnsupportedMediaType,
)
from armt_server.schemas import AskQuestion, Query, Usage
from armt_server.sessions import Delta, Done

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from armt_server.api.dependencies import Service
    from armt_server.sessions import Sessions

router = APIRouter(prefix="/v1/sessions/{session_id}/queries", tags=["queries"])

DEFAULT_MAX_TOKENS: Final = 64


@router.post(
    "",
    summary="Ask a question",
    response_model=Query,
    responses=examples.reply(200, examples.QUERY, events=examples.QUERY_EVENTS)
    | examples.problems(
        SessionNotFound,
        SessionExpired,
        FingerprintMismatch,
        BodyTooLarge,
        UnsupportedMediaType,
        InvalidRequest,
        QuestionTooLong,
        ContextFull,
    ),
    dependencies=[Depends(require_json)],
)
async def ask(
    request: Request, service: ServiceDep, session_id: SessionId, body: AskQuestion
) -> Response | Query:
    """The answer stands on everything appended before; asking never changes the session.

    With `stream` the reply is `query.created`, a `query.output_text.delta` for each piece of the answer, then
    `query.completed` (as the JSON answer, with usage) or `query.failed` (a problem document), and a comment
    every 15 s of silence. Leaving early stops the work.
    """
    sampling = _sampling(body, service.settings.max_answer_tokens)
    asked = _Asked(session_id, body.question, sampling, tuple(body.stop))
    if not body.stream:
        return await attended(request.receive, _answer(service, asked), service.stopping)
    await service.sessions.get(session_id)  # an unknown session has a status of its own, not an event
    return EventStream(_events(service, asked, request.state.request_id))


def _sampling(body: AskQuestion, max_answer_tokens: int) -> Sampling:
    max_tokens = min(DEFAULT_MAX_TOKENS, max_answer_tokens) if body.max_tokens is None else body.max_tokens
    if max_tokens > max_answer_tokens:
        what = f"is {max_tokens} and the limit of this server is {max_answer_tokens}: ask for fewer"
        raise InvalidRequest(f"body.max_tokens: {what}", errors=[("body.max_tokens", what)])
    return Sampling(max_tokens=max_tokens, temperature=body.temperature, top_p=body.top_p, seed=body.seed)


async def _answer(service: Service, asked: _Asked) -> Query:
    async with aclosing(asked.of(service.sessions)) as parts:
        async for part in parts:
            if isinstance(part, Done):
                return asked.reply(part)
    raise ServerError("the answer ended before it was whole: ask again")


async def _events(service: Service, asked: _Asked, request_id: str) -> AsyncGenerator[bytes, None]:
    yield event("query.created", {"id": asked.id, "object": "query", "session_id": asked.session_id})
    try:
        async with aclosing(paced(asked.of(service.sessions), service.stopping, PING_SECONDS)) as parts:
            async for part in parts:
                match part:
                    case None:
                        yield PING
                    case Delta(text=text):
                        yield event("query.output_text.delta", {"id": asked.id, "delta": text})
                    case Done():
                        yield event("query.completed", asked.reply(part).model_dump())
    except Exception as error:  # noqa: BLE001  the status is sent: whatever failed is told as an event
        yield event("query.failed", {"id": asked.id, **document(foreseen(error, request_id), request_id)})


@dataclass(frozen=True)
class _Asked:
    """One question on its way."""

    session_id: str
    question: str
    sampling: Sampling
    stop: tuple[str, ...]
    id: str = field(default_factory=lambda: f"qry_{secrets.token_urlsafe(18)}")

    def of(self, sessions: Sessions) -> AsyncGenerator[Delta | Done, None]:
        return sessions.ask(self.session_id, self.question, self.sampling, self.stop)

    def reply(self, done: Done) -> Query:
        answer = done.answer
        return Query(
            id=self.id,
            session_id=self.session_id,
            answer=answer.text,
            finish_reason=answer.finish_reason,
            usage=Usage.model_validate(answer.usage),
        )
