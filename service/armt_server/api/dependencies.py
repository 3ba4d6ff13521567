"""What routes ask for: the service behind them, checked path parts, the client's preferences."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Header, Path, Request

from armt_server.errors import SessionNotFound, ShuttingDown, UnsupportedMediaType
from armt_server.schemas import SESSION_ID, Session
from armt_server.schemas import Context as ContextReply

if TYPE_CHECKING:
    from armt_server.schemas import Model
    from armt_server.sessions import Sessions, SessionStatus
    from armt_server.settings import Settings
    from armt_server.store import StateStore

_SESSION_ID: Final = re.compile(SESSION_ID)
_WAIT: Final = re.compile(r"(?:^|[,;])\s*wait\s*(?:=\s*\"?(\d{1,9})\"?\s*)?(?=$|[,;])", re.IGNORECASE)


@dataclass(frozen=True)
class Service:
    """What stands behind the routes.

    Attributes:
        settings: as read at the edge.
        store: asked only whether it answers.
        sessions: does the work.
        model: the one that is served.
        stopping: set when the server begins to shut down; open streams end then.
    """

    settings: Settings
    store: StateStore
    sessions: Sessions
    model: Model
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


def get_service(request: Request) -> Service:
    """The service that the app was opened with."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]


def refuse_when_stopping(service: ServiceDep) -> None:
    """Lets no new work in once the server is shutting down."""
    if service.stopping.is_set():
        raise ShuttingDown


def require_json(request: Request) -> None:
    """Refuses a body that does not say it is JSON."""
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UnsupportedMediaType(
            f"the body's type is {kind or 'not given'}: send JSON with `Content-Type: application/json`"
        )


def _session_id(
    session_id: Annotated[
        str,
        Path(description="As given by POST /v1/sessions.", examples=["ses_0123456789abcdefABCDEF_-"]),
    ],
) -> str:
    # An id that this server cannot have made names no session; the store is not asked.
    if not _SESSION_ID.fullmatch(session_id):
        raise SessionNotFound(session_id)
    return session_id


SessionId = Annotated[str, Depends(_session_id)]


def _patience(
    prefer: Annotated[
        str,
        Header(
            alias="Prefer",
            description="`wait`: answer when the memory holds the text; `wait=10`: in 10 s at most.",
        ),
    ] = "",
) -> float | None:
    found = _WAIT.search(prefer)
    if found is None:
        return None
    return float(found[1]) if found[1] else float("inf")


Patience = Annotated[float | None, Depends(_patience)]
"""Seconds that the client wants to wait for absorption; None: not at all."""


def session_reply(status: SessionStatus) -> Session:
    """A session as it is told over HTTP."""
    record = status.record
    return Session(
        id=record.id,
        model=record.model,
        created_at=record.created_at,
        expires_at=record.expires_at,
        ttl_seconds=record.ttl_seconds,
        metadata=record.metadata,
        keep_source=record.keep_source,
        context=ContextReply(
            bytes=record.log_end,
            absorbed_bytes=status.absorbed_offset,
            tokens=status.tokens,
            segments=status.segments,
            resident=status.resident,
            memory_bytes=status.memory_bytes,
        ),
    )
