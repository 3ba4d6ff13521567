"""The server's error tree: everything a caller can be told, each with a status, a stable code and a sentence.

ServerError                    500 internal_error
├── InvalidRequest             422 invalid_request        extra: errors, a list of {location, message}
│   ├── EmptyBody              422 empty_body
│   ├── InvalidText            422 invalid_utf8           extra: offset of the first bad byte in the session
│   ├── QuestionTooLong        422 question_too_long      extra: tokens, limit
│   ├── ContextFull            422 context_full           the backbone has no positions left for this session
│   └── UnknownModel           422 unknown_model          extra: available
├── Unauthorized               401 unauthorized           header: WWW-Authenticate
├── Forbidden                  403 forbidden
├── NotFound                   404 not_found              no such route
│   └── SessionNotFound        404 session_not_found
├── MethodNotAllowed           405 method_not_allowed     header: Allow
├── Conflict                   409 conflict
│   ├── SessionExists          409 session_exists
│   ├── OffsetMismatch         409 offset_mismatch        header: Upload-Offset; extra: offset
│   └── FingerprintMismatch    409 model_changed          made by another model, and no source text is kept
├── SessionExpired             410 session_expired
├── BodyTooLarge               413 body_too_large         extra: limit_bytes
├── UnsupportedMediaType       415 unsupported_media_type header: Accept-Patch or Accept-Post
├── LogTrimmed                 500 log_trimmed            internal: the log does not reach back that far
├── Unavailable                503 unavailable            header: Retry-After
│   ├── TooManyPending         429 too_many_pending
│   ├── NotReady               503 not_ready
│   ├── ShuttingDown           503 shutting_down
│   └── StoreUnavailable       503 store_unavailable
├── StoreFull                  507 store_full
└── ConfigurationError         the server cannot start: one line on the terminal, exit code 2
    ├── BadSettings            a setting that cannot work
    └── MissingModel           the model is not where the settings say

`code` never changes its meaning; `detail` is for people and says what to do. Foreign errors (redis, sqlite,
pydantic, `armt.errors`) are translated into this tree where they enter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class ServerError(Exception):
    """Any error that the service answers with.

    Attributes:
        status: the HTTP status.
        code: stable, for programs.
        title: the kind of error in a few words; the same for every error of one code.
        detail: what happened this time and what to do about it.
        headers: HTTP headers that go with the reply.
        extra: further members of the problem document, JSON values only.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def __init_subclass__(
        cls, *, status: int | None = None, code: str | None = None, title: str | None = None
    ) -> None:
        super().__init_subclass__()
        cls.status = cls.status if status is None else status
        cls.code = code or cls.code
        cls.title = title or cls.title

    def __init__(
        self,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers: dict[str, str] = dict(headers or {})
        self.extra: dict[str, object] = dict(extra or {})


class InvalidRequest(ServerError, status=422, code="invalid_request", title="Invalid request"):
    """A wrong type, an unknown field or a value out of bounds; `errors` tells each `(location, message)`."""

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[tuple[str, str]] = (),
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail, extra=extra)
        if errors:
            self.extra["errors"] = [{"location": where, "message": what} for where, what in errors]


class EmptyBody(InvalidRequest, code="empty_body", title="Empty body"):
    """An append without bytes."""

    def __init__(self, detail: str = "the body is empty: send at least one byte of text") -> None:
        super().__init__(detail)


class InvalidText(InvalidRequest, code="invalid_utf8", title="Text is not UTF-8"):
    """Bytes that are not UTF-8; nothing of the append was kept.

    Attributes:
        offset: position, in the session's bytes, of the first byte of the bad sequence.
    """

    def __init__(self, offset: int, detail: str | None = None) -> None:
        told = detail or f"invalid UTF-8 at byte {offset} of the session: send text encoded as UTF-8"
        super().__init__(told, extra={"offset": offset})
        self.offset = offset


class QuestionTooLong(InvalidRequest, code="question_too_long", title="Question too long"):
    """A question of more tokens than the settings allow."""

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(
            f"the question has {tokens} tokens and the limit is {limit}: put long text in the context and "
            "ask a shorter question",
            extra={"tokens": tokens, "limit": limit},
        )


class ContextFull(InvalidRequest, code="context_full", title="Context full"):
    """The backbone numbers positions across segments and this session has used them all."""


class UnknownModel(InvalidRequest, code="unknown_model", title="Unknown model"):
    """A model name that this server does not serve."""

    def __init__(self, name: str, available: Iterable[str]) -> None:
        names = list(available)
        super().__init__(
            f"this server does not serve a model named {name!r}: leave `model` out or use one of "
            f"{', '.join(names)}",
            extra={"available": names},
        )


class Unauthorized(ServerError, status=401, code="unauthorized", title="Unauthorized"):
    """No key, or one that is not known."""

    def __init__(self, detail: str = "send a known key as `Authorization: Bearer KEY`") -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(ServerError, status=403, code="forbidden", title="Forbidden"):
    """A known key that may not do this."""


class NotFound(ServerError, status=404, code="not_found", title="Not found"):
    """No such route."""


class SessionNotFound(NotFound, code="session_not_found", title="Session not found"):
    """No session has this id."""

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"there is no session {session_id[:64]!r}: it was deleted, has expired, or the id is mistyped; "
            "GET /v1/sessions lists those that exist"
        )


class MethodNotAllowed(ServerError, status=405, code="method_not_allowed", title="Method not allowed"):
    """The route exists, but not with this method."""


class Conflict(ServerError, status=409, code="conflict", title="Conflict"):
    """The request does not fit the state it meets."""


class SessionExists(Conflict, code="session_exists", title="Session exists"):
    """A session with this id exists already."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"a session {session_id!r} exists already: leave the id out to get a new one")


class OffsetMismatch(Conflict, code="offset_mismatch", title="Offset mismatch"):
    """An append at another offset than the session's end; nothing was added.

    Attributes:
        current: the session's length in bytes, where the next append must start.
    """

    def __init__(self, current: int) -> None:
        super().__init__(
            f"the session holds {current} bytes: go on from offset {current}",
            headers={"Upload-Offset": str(current)},
            extra={"offset": current},
        )
        self.current = current


class FingerprintMismatch(Conflict, code="model_changed", title="Model changed"):
    """The session's memory was made by another model and its source text is not kept."""

    def __init__(
        self,
        detail: str = (
            "this session's memory was made by another model and its text is no longer kept: make a new "
            "session and send the text again (`keep_source: true` lets a session survive a change of model)"
        ),
    ) -> None:
        super().__init__(detail)


class SessionExpired(ServerError, status=410, code="session_expired", title="Session expired"):
    """The session's time to live is over."""

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"session {session_id[:64]!r} has expired: make a new one, with a longer `ttl_seconds` or none"
        )


class BodyTooLarge(ServerError, status=413, code="body_too_large", title="Body too large"):
    """A body of more bytes than the settings allow; nothing of it was kept."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the body is larger than {limit} bytes: send it in smaller pieces, each at its own offset",
            extra={"limit_bytes": limit},
        )
        self.limit = limit


class UnsupportedMediaType(
    ServerError, status=415, code="unsupported_media_type", title="Unsupported media type"
):
    """A content type that the route does not read."""


class LogTrimmed(ServerError, code="log_trimmed", title="Log trimmed"):
    """The log was asked for bytes from before its start; a caller never sees this unless we erred."""

    def __init__(self, start: int, log_start: int) -> None:
        super().__init__(f"the log starts at byte {log_start}; byte {start} is no longer kept")
        self.start = start
        self.log_start = log_start


class Unavailable(ServerError, status=503, code="unavailable", title="Unavailable"):
    """Not now; the same request may work after `retry_after` seconds."""

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})
        self.retry_after = retry_after


class TooManyPending(Unavailable, status=429, code="too_many_pending", title="Too many bytes waiting"):
    """The session has more bytes waiting to be absorbed than the settings allow; nothing was added."""


class NotReady(Unavailable, code="not_ready", title="Not ready"):
    """The server runs but cannot serve yet."""


class ShuttingDown(Unavailable, code="shutting_down", title="Shutting down"):
    """The server is stopping and takes no new work."""

    def __init__(
        self, detail: str = "the server is shutting down: try again in a moment", *, retry_after: int = 2
    ) -> None:
        super().__init__(detail, retry_after=retry_after)


class StoreUnavailable(Unavailable, code="store_unavailable", title="Store unavailable"):
    """The store does not answer; what was not acknowledged may be sent again."""


class StoreFull(ServerError, status=507, code="store_full", title="Store full"):
    """The store has no room left; nothing was added."""

    def __init__(
        self, detail: str = "the store has no room left: delete sessions or give the store more room"
    ) -> None:
        super().__init__(detail)


class ConfigurationError(ServerError, code="configuration_error", title="Cannot start"):
    """The server cannot start; the command line prints the detail and exits with `exit_code`."""

    exit_code: ClassVar[int] = 2


class BadSettings(ConfigurationError, code="bad_settings", title="Bad settings"):
    """A setting that cannot work."""


class MissingModel(ConfigurationError, code="missing_model", title="Missing model"):
    """The model is not where the settings say, or cannot be loaded."""
