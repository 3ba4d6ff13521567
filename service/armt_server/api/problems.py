"""The one place where an error becomes a reply: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from armt_server.errors import InvalidRequest, MethodNotAllowed, NotFound, ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import FastAPI
    from starlette.requests import Request

MEDIA_TYPE: Final = "application/problem+json"

_log = logging.getLogger(__name__)


class ProblemResponse(JSONResponse):
    """A problem document as a reply."""

    media_type = MEDIA_TYPE

    def __init__(self, error: ServerError, request_id: str) -> None:
        super().__init__(document(error, request_id), status_code=error.status, headers=error.headers)

    def render(self, content: Any) -> bytes:
        """JSON in ASCII: what a client sent may stand in it, half a surrogate pair too."""
        return json.dumps(content, allow_nan=False).encode("ascii")


def document(error: ServerError, request_id: str) -> dict[str, object]:
    """The problem document of an error."""
    return {
        "type": f"urn:armt:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "request_id": request_id,
        **error.extra,
    }


def install(app: FastAPI) -> None:
    """Lets every error of a route be answered here; what is not foreseen is the middleware's."""
    for kind in (ServerError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _answer)


def foreseen(exc: Exception, request_id: str) -> ServerError:
    """The error itself, or for one that nobody foresaw what may be told; logged with the request's id."""
    if not isinstance(exc, ServerError):
        _log.error("%s failed", request_id, exc_info=exc)
        return ServerError(
            f"something went wrong here, not with your request: try again, or report {request_id}"
        )
    if exc.status >= 500:  # noqa: PLR2004  the server's own errors start there
        _log.warning("%s %s: %s", request_id, exc.code, exc.detail)
    return exc


async def _answer(request: Request, exc: Exception) -> ProblemResponse:
    request_id: str = request.state.request_id
    return ProblemResponse(foreseen(_translated(request, exc), request_id), request_id)


def _translated(request: Request, exc: Exception) -> ServerError:
    if isinstance(exc, ServerError):
        return exc
    if isinstance(exc, RequestValidationError):
        return _invalid(exc.errors())
    assert isinstance(exc, HTTPException)
    if isinstance(exc.__cause__, ServerError):  # raised while the body was read, wrapped on its way
        return exc.__cause__
    where = f"{request.method} {request.url.path}"
    if exc.status_code == NotFound.status:
        return NotFound(f"there is nothing at {where}: /docs lists what there is")
    if exc.status_code == MethodNotAllowed.status:
        # A route knows only its own methods; what is not in our description, such as /docs, is one route.
        described = ", ".join(_methods_at(request.app, request.url.path))
        allowed = described or (exc.headers or {}).get("Allow", "")
        return MethodNotAllowed(f"{where} cannot be done: use {allowed}", headers={"Allow": allowed})
    return InvalidRequest("the body cannot be read: send JSON in UTF-8, not nested too deeply")


def _invalid(errors: Sequence[dict[str, Any]]) -> InvalidRequest:
    told = []
    for error in errors:
        if error["type"] == "json_invalid":
            told.append(("body", f"not JSON at character {error['loc'][-1]}: {error['ctx']['error']}"))
        else:
            location = ".".join(str(part) for part in error["loc"] if part != "[key]")
            told.append((location[:200], error["msg"].removeprefix("Value error, ")))
    detail = "; ".join(f"{where}: {what}" for where, what in told[:3])
    if len(told) > 3:  # noqa: PLR2004  as many as a sentence holds
        detail += f"; and {len(told) - 3} more"
    return InvalidRequest(detail, errors=told)


def _methods_at(app: FastAPI, path: str) -> list[str]:
    found = set()
    for template, operations in app.openapi()["paths"].items():
        if compile_path(template)[0].match(path):
            found |= {name.upper() for name in operations}
    return sorted(found)
