"""Examples for OpenAPI, good replies and bad; a test holds them against the models they are examples of."""

from __future__ import annotations

import inspect
import json
from typing import Any, Final

from armt_server import errors
from armt_server.api.problems import MEDIA_TYPE, document

REQUEST_ID: Final = "req_0123456789abcdef"
_SESSION_ID: Final = "ses_0123456789abcdefABCDEF_-"
_QUERY_ID: Final = "qry_0123456789abcdefABCDEF_-"

SESSION: Final[dict[str, Any]] = {
    "id": _SESSION_ID,
    "object": "session",
    "model": "open",
    "created_at": 1767225600.0,
    "expires_at": 1767312000.0,
    "ttl_seconds": 86400,
    "metadata": {"title": "Emma"},
    "keep_source": False,
    "context": {
        "bytes": 881033,
        "absorbed_bytes": 881033,
        "tokens": 244731,
        "segments": 3823,
        "resident": True,
        "memory_bytes": 1182856,
    },
}
NEW_SESSION: Final = SESSION | {
    "context": {
        "bytes": 0,
        "absorbed_bytes": 0,
        "tokens": 0,
        "segments": 0,
        "resident": False,
        "memory_bytes": 1182856,
    }
}
SESSION_LIST: Final = {"object": "list", "data": [SESSION], "has_more": False, "last_id": _SESSION_ID}
APPENDED: Final = {"object": "context.append", "session_id": _SESSION_ID, "offset": 26, "absorbed": True}
QUERY: Final[dict[str, Any]] = {
    "id": _QUERY_ID,
    "object": "query",
    "session_id": _SESSION_ID,
    "answer": "kitchen",
    "finish_reason": "stop",
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 1,
        "memory_source": "resident",
        "segments_replayed": 0,
        "context_bytes": 881033,
        "context_tokens": 244731,
        "wait_ms": 0.1,
        "total_ms": 12.5,
    },
}
MODEL_LIST: Final = {
    "object": "list",
    "data": [
        {
            "id": "open",
            "object": "model",
            "created": 1767225600,
            "owned_by": "armt",
            "fingerprint": "5f0c1e2d3b4a",
            "segment_size": 64,
            "memory_bytes": 1182856,
        }
    ],
}
HEALTH: Final = {"status": "ok", "version": "0.1.0"}
READY: Final = {"status": "ready", "model": "open"}
LIMITS: Final = {
    "max_append_bytes": 8388608,
    "max_pending_bytes": 16777216,
    "backpressure_seconds": 10.0,
    "max_question_tokens": 4096,
    "max_answer_tokens": 1024,
    "default_ttl_seconds": None,
    "max_ttl_seconds": 315360000,
}
QUERY_EVENTS: Final = "".join(
    f"event: {name}\ndata: {json.dumps(data)}\n\n"
    for name, data in (
        ("query.created", {"id": _QUERY_ID, "object": "query", "session_id": _SESSION_ID}),
        ("query.output_text.delta", {"id": _QUERY_ID, "delta": "kitchen"}),
        ("query.completed", QUERY),
    )
)


def reply(
    status: int, example: object = None, *, headers: dict[str, str] | None = None, events: str | None = None
) -> dict[int | str, dict[str, Any]]:
    """The good reply of a route, for OpenAPI.

    Args:
        status: its HTTP status.
        example: its JSON body, None for a reply without one.
        headers: what each header of the reply tells.
        events: an example of the reply as server-sent events, None where it has no such form.
    """
    told: dict[str, Any] = {"description": "Done." if example is None else "As asked."}
    if headers:
        told["headers"] = {
            name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in headers.items()
        }
    if example is not None:
        told["content"] = {"application/json": {"example": example}}
    if events is not None:
        told["content"]["text/event-stream"] = {"schema": {"type": "string"}, "example": events}
    return {status: told}


def problems(*kinds: type[errors.ServerError]) -> dict[int | str, dict[str, Any]]:
    """The bad replies of a route, for OpenAPI: one entry a status, one example a code."""
    told: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        sample = _SAMPLES[kind]
        entry = told.setdefault(
            kind.status,
            {
                "description": "",
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}},
            },
        )
        meaning = (inspect.getdoc(kind) or kind.title).partition("\n")[0]
        entry["description"] = f"{entry['description']} `{kind.code}`: {meaning}".strip()
        entry["content"][MEDIA_TYPE]["examples"][kind.code] = {
            "summary": kind.title,
            "value": document(sample, REQUEST_ID),
        }
        for name, value in sample.headers.items():
            header = {"description": f"With `{kind.code}`.", "schema": {"type": "string"}, "example": value}
            entry.setdefault("headers", {})[name] = header
    return told


_SAMPLES: Final[dict[type[errors.ServerError], errors.ServerError]] = {
    type(sample): sample
    for sample in (
        errors.InvalidRequest("body.question: Field required", errors=[("body.question", "Field required")]),
        errors.EmptyBody(),
        errors.InvalidText(881033),
        errors.QuestionTooLong(5000, 4096),
        errors.ContextFull("the model has no positions left for this session: make a new session"),
        errors.UnknownModel("gpt-9", ["open"]),
        errors.SessionNotFound(_SESSION_ID),
        errors.OffsetMismatch(881033),
        errors.FingerprintMismatch(),
        errors.SessionExpired(_SESSION_ID),
        errors.BodyTooLarge(8388608),
        errors.UnsupportedMediaType("the body's type is image/png: send text"),
        errors.TooManyPending("16777216 bytes wait to be absorbed: try again in 1 s"),
        errors.NotReady("the store does not answer: check ARMT_STORE_URL"),
        errors.ShuttingDown(),
        errors.StoreUnavailable("the store does not answer: try again in 1 s"),
        errors.StoreFull(),
        errors.ServerError(f"something went wrong here: try again, or report {REQUEST_ID}"),
    )
}
