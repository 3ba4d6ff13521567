"""The description of the API that /docs shows and clients are made from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi

from armt_server import __version__
from armt_server.api import examples
from armt_server.errors import ServerError, ShuttingDown, StoreUnavailable
from armt_server.schemas import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

DESCRIPTION: Final = """\
Stream a text of any length into a **session**; its memory has a constant size. Ask **queries** of it, at a
price that does not depend on how much was read.

An append is durable when it is answered. Offsets are bytes: an append says at which offset it starts, a
wrong one is refused with the right one, and the same bytes sent again are recognised, so any client can
resume after any failure. Errors are `application/problem+json` with a stable `code` and a `detail` that
says what to do.
"""

TAGS: Final = [
    {"name": "sessions", "description": "Make, list, look at, change, delete."},
    {"name": "context", "description": "The text that a session reads."},
    {"name": "queries", "description": "Questions, answered whole or as they are made."},
    {"name": "models", "description": "What this server serves."},
    {"name": "health", "description": "Is it alive, can it serve, and within which limits."},
]

_REQUEST_ID_PARAMETER: Final = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "A name of your own for this request (up to 128 visible ASCII characters); it is echoed.",
    "schema": {"type": "string", "maxLength": 128},
    "example": examples.REQUEST_ID,
}
_REQUEST_ID_HEADER: Final = {
    "description": "Names the request in the server's log: yours, or one that was made.",
    "schema": {"type": "string"},
}


def builder(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """What makes the description of `app`, once."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(
                get_openapi(
                    title="ARMT",
                    version=__version__,
                    summary="A service that remembers.",
                    description=DESCRIPTION,
                    routes=app.routes,
                    tags=TAGS,
                )
            )
        return app.openapi_schema

    return build


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """Adds what every operation has: the request's name, and the errors that any of them can meet."""
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own form of errors is never sent
        schema["components"]["schemas"].pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    components = schema.setdefault("components", {}).setdefault("schemas", {})
    components |= problem.pop("$defs", {}) | {"Problem": problem}
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            operation.setdefault("parameters", []).append(_REQUEST_ID_PARAMETER)
            common = examples.problems(ServerError)
            if "{session_id}" in path or path == "/v1/sessions":
                common |= examples.problems(ShuttingDown, StoreUnavailable)
            replies = operation["responses"]
            if "HTTPValidationError" in json.dumps(replies.get("422")):
                del replies["422"]
            for status, told in common.items():
                replies.setdefault(str(status), told)
            for told in replies.values():
                told.setdefault("headers", {})["X-Request-Id"] = _REQUEST_ID_HEADER
    return schema
