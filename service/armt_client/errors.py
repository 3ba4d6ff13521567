"""The client's error tree, and the one place where foreign errors become ours.

ClientError
├── InputError           what you gave cannot be sent: an empty id, a source that does not cover the offset
├── BadAddress           the server's address is not one that HTTP can reach
├── ConnectionFailed     no connection, or it broke; worth another try
│   └── TimedOut         the server did not answer in time
├── UnexpectedReply      something answered, but not in this service's words
└── Problem              the service said no: status, code, title, detail, request_id, extra
    ├── InvalidRequest   400, 405, 413, 415, 422
    │   └── InvalidText  code invalid_utf8; knows the offset of the bad byte
    ├── NotAllowed       401, 403
    ├── NotFound         404, 410
    ├── Conflict         409
    │   └── OffsetMismatch  code offset_mismatch; knows the current offset
    ├── TryLater         429, 503; knows after how many seconds
    └── ServerFault      500, 507 and whatever else is not listed

Every error has a `title` (a few words, the same for every error of its kind) and a `detail` (what happened
this time and what to do about it).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, ClassVar

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class ClientError(Exception):
    """Any error of this client.

    Attributes:
        title: the kind of error in a few words.
        detail: what happened and what to do about it.
    """

    title: str = "Client error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InputError(ClientError):
    """What the caller gave cannot be sent; nothing was."""

    title = "Cannot send this"


class BadAddress(ClientError):
    """The server's address is not one that HTTP can reach."""

    title = "Bad server address"


class ConnectionFailed(ClientError):
    """No connection to the server, or it broke before the reply was whole."""

    title = "Server unreachable"


class TimedOut(ConnectionFailed):
    """The server did not answer in time; it may still have done what was asked."""

    title = "Server timed out"


class UnexpectedReply(ClientError):
    """Something answered that is not this service, or is another version of it."""

    title = "Unexpected reply"


class Problem(ClientError):
    """The service refused, in a problem document (RFC 9457).

    Attributes:
        status: the HTTP status.
        code: stable, for programs; "" where the reply was no problem document.
        request_id: names this request in the server's log, or None.
        extra: the document's further members.
    """

    statuses: ClassVar[frozenset[int]] = frozenset()

    def __init__(
        self,
        status: int,
        *,
        code: str = "",
        title: str = "",
        detail: str = "",
        extra: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or f"the server answered {status}")
        self.status = status
        self.code = code
        self.title = title or f"HTTP {status}"
        self.extra: dict[str, object] = dict(extra or {})
        self.headers: dict[str, str] = {name.lower(): value for name, value in (headers or {}).items()}
        told = self.extra.get("request_id")
        self.request_id = told if isinstance(told, str) else self.headers.get("x-request-id")


class InvalidRequest(Problem):
    """The request cannot be served as it is; sending it again will not help."""

    statuses = frozenset({400, 405, 413, 415, 422})


class InvalidText(InvalidRequest):
    """The text is not UTF-8; nothing of the append was kept."""

    @property
    def offset(self) -> int | None:
        """Position in the session's bytes of the first bad byte, where the server told it."""
        return _as_int(self.extra.get("offset"))


class NotAllowed(Problem):
    """No API key, an unknown one, or one that may not do this."""

    statuses = frozenset({401, 403})


class NotFound(Problem):
    """No such session (or checkpoint, or route), or it has expired."""

    statuses = frozenset({404, 410})


class Conflict(Problem):
    """The request does not fit the state it meets."""

    statuses = frozenset({409})


class OffsetMismatch(Conflict):
    """An append at another offset than the session's end; nothing was added."""

    @property
    def current(self) -> int | None:
        """The session's length in bytes, where the server told it."""
        return _as_int(self.headers.get("upload-offset", self.extra.get("offset")))


class TryLater(Problem):
    """Not now; the same request may work later."""

    statuses = frozenset({429, 503})

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait, where it told them."""
        return _as_int(self.headers.get("retry-after"))


class ServerFault(Problem):
    """The server failed, or its store is full."""


_BY_CODE: dict[str, type[Problem]] = {"invalid_utf8": InvalidText, "offset_mismatch": OffsetMismatch}
_BY_STATUS: dict[int, type[Problem]] = {
    status: kind
    for kind in (InvalidRequest, NotAllowed, NotFound, Conflict, TryLater)
    for status in kind.statuses
}
# The most special first: the first match wins.
_FROM_HTTPX: tuple[tuple[type[Exception], type[ClientError]], ...] = (
    (httpx.TimeoutException, TimedOut),
    (httpx.UnsupportedProtocol, BadAddress),
    (httpx.InvalidURL, BadAddress),
    (httpx.LocalProtocolError, BadAddress),
    (httpx.TransportError, ConnectionFailed),
    (httpx.HTTPError, UnexpectedReply),
    (httpx.StreamError, UnexpectedReply),
)


@contextlib.contextmanager
def translated(server: str) -> Iterator[None]:
    """Within this block every httpx error is raised as the client's own.

    Args:
        server: the address, named in the detail.
    """
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        kind = next(ours for theirs, ours in _FROM_HTTPX if isinstance(error, theirs))
        raise kind(f"{server}: {error or type(error).__name__}") from error


def problem(
    status: int, document: object, headers: Mapping[str, str] | None = None, body: str = ""
) -> Problem:
    """The error that a problem document tells.

    Args:
        status: the HTTP status of the reply.
        document: the parsed JSON body, or None where it was no JSON object.
        headers: of the reply.
        body: the first words of a body that was no JSON, for the detail.
    """
    if not isinstance(document, dict):
        kind = _BY_STATUS.get(status, ServerFault)
        return kind(status, detail=f"the server answered {status} {body[:200]}".strip(), headers=headers)
    known = {"code", "title", "detail", "status", "type", "instance"}
    code = str(document.get("code", ""))
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, ServerFault)
    return kind(
        status,
        code=code,
        title=str(document.get("title", "")),
        detail=str(document.get("detail", "")),
        extra={name: value for name, value in document.items() if name not in known},
        headers=headers,
    )


def _as_int(value: object) -> int | None:
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else None
