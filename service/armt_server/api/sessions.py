"""Sessions: make, list, look at, change, delete."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from armt_server.api import examples
from armt_server.api.dependencies import Patience, ServiceDep, SessionId, require_json, session_reply
from armt_server.api.waiting import wait_until_absorbed
from armt_server.errors import (
    BodyTooLarge,
    InvalidRequest,
    SessionExpired,
    SessionNotFound,
    StoreFull,
    UnknownModel,
    UnsupportedMediaType,
)
from armt_server.schemas import SESSION_ID, CreateSession, Session, SessionList, UpdateSession

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])

_BAD_BODY = (InvalidRequest, UnsupportedMediaType, BodyTooLarge)
_NO_SESSION = (SessionNotFound, SessionExpired)


@router.post(
    "",
    status_code=201,
    summary="Make a session",
    responses=examples.reply(201, examples.NEW_SESSION, headers={"Location": "Address of the session."})
    | examples.problems(*_BAD_BODY, UnknownModel, StoreFull),
    dependencies=[Depends(require_json)],
)
async def create_session(
    service: ServiceDep, response: Response, body: CreateSession | None = None
) -> Session:
    """A session starts empty: stream text into its context, then ask. The body may be left out."""
    wanted = body or CreateSession()
    given = "ttl_seconds" in wanted.model_fields_set
    record = await service.sessions.create(
        model=wanted.model,
        ttl_seconds=wanted.ttl_seconds if given else service.settings.default_ttl_seconds,
        metadata=wanted.metadata,
        keep_source=wanted.keep_source,
    )
    response.headers["Location"] = f"/v1/sessions/{record.id}"
    return session_reply(await service.sessions.status(record.id))


@router.get(
    "",
    summary="List sessions",
    responses=examples.reply(200, examples.SESSION_LIST) | examples.problems(InvalidRequest, SessionNotFound),
)
async def list_sessions(
    service: ServiceDep,
    limit: Annotated[int, Query(ge=1, le=100, description="Sessions on a page.")] = 20,
    after: Annotated[
        str | None, Query(pattern=f"^{SESSION_ID}$", description="`last_id` of the page before.")
    ] = None,
) -> SessionList:
    """Newest first. Sessions made while you go through the pages do not move them."""
    records, has_more = await service.sessions.list(limit=limit, after=after)
    data = []
    for record in records:
        try:
            data.append(session_reply(await service.sessions.status(record.id)))
        except (SessionNotFound, SessionExpired):
            continue  # it ended between the list and the look
    last_id = records[-1].id if records else None
    return SessionList(data=data, has_more=has_more, last_id=last_id)


@router.get(
    "/{session_id}",
    summary="Look at a session",
    responses=examples.reply(200, examples.SESSION) | examples.problems(*_NO_SESSION),
)
async def get_session(
    request: Request, service: ServiceDep, session_id: SessionId, patience: Patience
) -> Session:
    """`context` tells what it was given to read and how far it is.

    With `Prefer: wait` the reply comes when all of it is read, or when the time is over. A worker that was
    restarted reads a session on when it is waited for, asked or appended to.
    """
    if patience is not None:
        record = await service.sessions.get(session_id)
        await wait_until_absorbed(request, service, session_id, record.log_end, patience)
    return session_reply(await service.sessions.status(session_id))


@router.patch(
    "/{session_id}",
    summary="Change a session",
    responses=examples.reply(200, examples.SESSION) | examples.problems(*_BAD_BODY, *_NO_SESSION, StoreFull),
    dependencies=[Depends(require_json)],
)
async def update_session(service: ServiceDep, session_id: SessionId, body: UpdateSession) -> Session:
    """What is left out stays; a new `ttl_seconds` counts from now, and `metadata` is replaced whole."""
    changes: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
    await service.sessions.update(session_id, **changes)
    return session_reply(await service.sessions.status(session_id))


@router.delete(
    "/{session_id}", status_code=204, summary="Delete a session", responses=examples.problems(*_NO_SESSION)
)
async def delete_session(service: ServiceDep, session_id: SessionId) -> None:
    """Its text and its memory are forgotten at once and for good."""
    await service.sessions.delete(session_id)
