"""Context: the text that a session reads, appended at an offset and never applied twice."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Request, Response

from armt_server.api import examples
from armt_server.api.dependencies import Patience, ServiceDep, SessionId, require_json
from armt_server.api.waiting import wait_until_absorbed
from armt_server.errors import (
    BodyTooLarge,
    ContextFull,
    EmptyBody,
    FingerprintMismatch,
    InvalidRequest,
    InvalidText,
    OffsetMismatch,
    SessionExpired,
    SessionNotFound,
    StoreFull,
    TooManyPending,
    UnsupportedMediaType,
)
from armt_server.schemas import MAX_OFFSET, Appended, AppendText

router = APIRouter(prefix="/v1/sessions/{session_id}/context", tags=["context"])

RAW_TYPES: Final = ("application/offset+octet-stream", "application/octet-stream", "text/plain")
_CHARSETS: Final = {"", "utf-8", "utf8", "us-ascii"}
_NO_SESSION = (SessionNotFound, SessionExpired)
_APPEND_ERRORS = (
    *_NO_SESSION,
    OffsetMismatch,
    FingerprintMismatch,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidRequest,
    EmptyBody,
    InvalidText,
    ContextFull,
    TooManyPending,
    StoreFull,
)
_OFFSET_HEADER: Final = {
    "Upload-Offset": "Bytes the session holds: where the next append starts.",
}
_APPEND_HEADERS: Final = {
    **_OFFSET_HEADER,
    "Preference-Applied": "`wait` if the memory holds the text by now, as asked for by `Prefer: wait`.",
}
_RAW_BODY: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "Upload-Offset",
            "in": "header",
            "required": True,
            "description": "Bytes the session holds before this append; HEAD tells it.",
            "schema": {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET},
            "example": 0,
        }
    ],
    "requestBody": {
        "required": True,
        "description": (
            "UTF-8 bytes, at most `max_append_bytes` of GET /v1/limits. A character may be cut in two at the "
            "end and go on in the next append."
        ),
        "content": {
            kind: {
                "schema": {"type": "string", "format": "binary"},
                "example": "Mary went to the kitchen. ",
            }
            for kind in RAW_TYPES
        },
    },
}


@router.head(
    "",
    summary="Tell a session's offset",
    response_class=Response,
    responses=examples.reply(200, headers={**_OFFSET_HEADER, "Cache-Control": "no-store"})
    | examples.problems(*_NO_SESSION),
)
async def head_context(service: ServiceDep, session_id: SessionId) -> Response:
    """After a cut connection: go on sending from this offset. The reply has no body."""
    record = await service.sessions.get(session_id)
    return Response(headers={"Upload-Offset": str(record.log_end), "Cache-Control": "no-store"})


@router.patch(
    "",
    status_code=204,
    summary="Append raw text",
    responses=examples.reply(204, headers=_APPEND_HEADERS) | examples.problems(*_APPEND_ERRORS),
    openapi_extra=_RAW_BODY,
)
async def patch_context(
    request: Request,
    service: ServiceDep,
    session_id: SessionId,
    patience: Patience,
    upload_offset: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """The bytes are durable when the reply comes, and then absorbed in the background.

    The append must start where the session ends; another offset is refused with the right one. The same bytes
    at the same offset again (your reply was lost) are recognised and answered as before.
    """
    _check_raw_type(request)
    offset = _parsed_offset(upload_offset)
    await service.sessions.get(session_id)  # an unknown session is told before its body is read
    data = await _read(request, service.settings.max_append_bytes)
    appended = await service.sessions.append(session_id, offset, data)
    absorbed = await wait_until_absorbed(request, service, session_id, appended.offset, patience)
    return Response(status_code=204, headers=_offset_headers(appended.offset, absorbed=absorbed))


@router.post(
    "",
    summary="Append text as JSON",
    responses=examples.reply(200, examples.APPENDED, headers=_APPEND_HEADERS)
    | examples.problems(*_APPEND_ERRORS),
    dependencies=[Depends(require_json)],
)
async def post_context(
    *,
    request: Request,
    response: Response,
    service: ServiceDep,
    session_id: SessionId,
    patience: Patience,
    body: AppendText,
) -> Appended:
    """As PATCH, for short texts. Without `offset` the text goes to wherever the session ends."""
    data = body.text.encode()
    if not data:
        raise EmptyBody
    if len(data) > service.settings.max_append_bytes:
        raise BodyTooLarge(service.settings.max_append_bytes)
    appended = await service.sessions.append(session_id, body.offset, data)
    absorbed = await wait_until_absorbed(request, service, session_id, appended.offset, patience)
    response.headers.update(_offset_headers(appended.offset, absorbed=absorbed))
    return Appended(session_id=session_id, offset=appended.offset, absorbed=absorbed)


def _check_raw_type(request: Request) -> None:
    kind, _, options = request.headers.get("content-type", "").partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\s\";]*)", options, re.IGNORECASE)
    coding = request.headers.get("content-encoding", "identity")
    if kind.strip().lower() not in RAW_TYPES:
        told = f"the body's type is {kind.strip() or 'not given'}: send raw UTF-8 text as {RAW_TYPES[0]}"
    elif charset and charset[1].lower() not in _CHARSETS:
        told = f"the text's charset is {charset[1]}: send it in UTF-8"
    elif coding.strip().lower() != "identity":
        told = f"the body's encoding is {coding}: send it as it is, not compressed"
    else:
        return
    raise UnsupportedMediaType(told, headers={"Accept-Patch": ", ".join(RAW_TYPES)})


def _parsed_offset(header: str) -> int:
    if re.fullmatch(r"[0-9]{1,19}", header) and int(header) <= MAX_OFFSET:
        return int(header)
    was = f"is {header[:40]!r}" if header else "is missing"
    what = f"{was}: send the number of bytes that the session holds, which HEAD of this address tells"
    raise InvalidRequest(f"the header Upload-Offset {what}", errors=[("header.Upload-Offset", what)])


async def _read(request: Request, limit: int) -> bytes:
    """The raw body, read no further than `limit` bytes."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise BodyTooLarge(limit)
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise BodyTooLarge(limit)
    if not data:
        raise EmptyBody
    return bytes(data)


def _offset_headers(offset: int, *, absorbed: bool) -> dict[str, str]:
    applied = {"Preference-Applied": "wait"} if absorbed else {}
    return {"Upload-Offset": str(offset), **applied}
