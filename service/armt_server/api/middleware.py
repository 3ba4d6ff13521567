"""What every request passes through, in plain ASGI so that streams and disconnects are left alone."""

from __future__ import annotations

import logging
import re
import secrets
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect

from armt_server.api.problems import ProblemResponse, foreseen
from armt_server.errors import BodyTooLarge

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")

_log = logging.getLogger(__name__)


class RequestId:
    """Names each request, echoes the name, and answers for what no one foresaw.

    A client's own `X-Request-Id` is taken if it is up to 128 visible ASCII characters; otherwise one is made.
    An unforeseen error is logged with that name, and answered without telling what it was.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(8)}"
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def named(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, named)
        except ClientDisconnect:
            _log.info("%s %s %r: the client went away", request_id, scope["method"], scope["path"])
        except Exception as error:
            if started:
                raise  # the server breaks the connection, so that a cut reply is not taken for a whole one
            await ProblemResponse(foreseen(error, request_id), request_id)(scope, receive, named)


class BodyLimit:
    """Refuses a body of more than `limit` bytes as soon as that is known, whatever route would read it."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        read = 0

        async def limited() -> Message:
            nonlocal read
            # Raised while the route reads, so that it is answered like any other error of a route.
            if declared.isdigit() and int(declared) > self._limit:
                raise BodyTooLarge(self._limit)
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                raise BodyTooLarge(self._limit)
            return message

        await self._app(scope, limited, send)
