"""What the service answers, as values. Unknown fields are ignored: an old client reads a new server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar

from armt_client.errors import UnexpectedReply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from armt_client.errors import ClientError

_T = TypeVar("_T")


@dataclass(frozen=True)
class Context:
    """What a session has been given to read, and how far it is.

    Attributes:
        bytes: accepted, and durable on the server.
        absorbed_bytes: of those, read into the memory.
        tokens: read so far.
        segments: full segments read so far.
        resident: the memory is in the server's own memory now (a question need not load it).
        memory_bytes: what the session's memory takes; it does not grow with the text.
    """

    bytes: int
    absorbed_bytes: int
    tokens: int
    segments: int
    resident: bool
    memory_bytes: int

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read the `context` object of a session.

        Raises:
            UnexpectedReply: a field is missing or of another type.
        """
        reply = _object(data, "context")
        return cls(
            bytes=_get(reply, "bytes", int),
            absorbed_bytes=_get(reply, "absorbed_bytes", int),
            tokens=_get(reply, "tokens", int),
            segments=_get(reply, "segments", int),
            resident=_get(reply, "resident", bool),
            memory_bytes=_get(reply, "memory_bytes", int),
        )


@dataclass(frozen=True)
class Session:
    """One session.

    Attributes:
        id: names it in every call.
        model: the model that reads for it.
        created_at: unix seconds.
        expires_at: unix seconds, or None for never; renewed by use.
        ttl_seconds: seconds of disuse until it expires, or None for never.
        metadata: the client's own notes.
        keep_source: the text stays readable on the server after it is absorbed.
        context: what it has read.
        raw: the JSON object it was read from.
    """

    id: str
    model: str
    created_at: float
    expires_at: float | None
    ttl_seconds: int | None
    metadata: dict[str, str]
    keep_source: bool
    context: Context
    raw: dict[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read a session object.

        Raises:
            UnexpectedReply: a field is missing or of another type.
        """
        reply = _object(data, "session")
        expires = reply.get("expires_at")
        ttl = reply.get("ttl_seconds")
        return cls(
            id=_get(reply, "id", str),
            model=_get(reply, "model", str),
            created_at=float(_get(reply, "created_at", int, float)),
            expires_at=None if expires is None else float(_get(reply, "expires_at", int, float)),
            ttl_seconds=None if ttl is None else _get(reply, "ttl_seconds", int),
            metadata={
                str(name): str(value) for name, value in _object(reply.get("metadata"), "metadata").items()
            },
            keep_source=_get(reply, "keep_source", bool),
            context=Context.from_json(reply.get("context")),
            raw=reply,
        )


@dataclass(frozen=True)
class SessionPage:
    """Some of the sessions, newest first.

    Attributes:
        sessions: this page's.
        has_more: there is a further page.
        last_id: give this as `after` to get it; None where the page is empty.
    """

    sessions: tuple[Session, ...]
    has_more: bool
    last_id: str | None

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read a list object of sessions.

        Raises:
            UnexpectedReply: a field is missing or of another type.
        """
        reply = _object(data, "list")
        last = reply.get("last_id")
        return cls(
            sessions=tuple(Session.from_json(item) for item in _get(reply, "data", list)),
            has_more=_get(reply, "has_more", bool),
            last_id=None if last is None else str(last),
        )


@dataclass(frozen=True)
class Delta:
    """A piece of an answer, as it is made."""

    text: str


@dataclass(frozen=True)
class Usage:
    """What an answer took.

    Attributes:
        prompt_tokens: read for the question.
        completion_tokens: of the answer.
        memory_source: where the memory came from: "resident", "snapshot" or "replay".
        segments_replayed: segments read again to make the memory.
        context_bytes: bytes of text that the answer stands on.
        context_tokens: tokens of it.
        wait_ms: until everything accepted was absorbed.
        total_ms: from the question's arrival to the answer's end.
    """

    prompt_tokens: int
    completion_tokens: int
    memory_source: str
    segments_replayed: int
    context_bytes: int
    context_tokens: int
    wait_ms: float
    total_ms: float

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read the `usage` object of an answer.

        Raises:
            UnexpectedReply: a field is missing or of another type.
        """
        reply = _object(data, "usage")
        return cls(
            prompt_tokens=_get(reply, "prompt_tokens", int),
            completion_tokens=_get(reply, "completion_tokens", int),
            memory_source=_get(reply, "memory_source", str),
            segments_replayed=_get(reply, "segments_replayed", int),
            context_bytes=_get(reply, "context_bytes", int),
            context_tokens=_get(reply, "context_tokens", int),
            wait_ms=float(_get(reply, "wait_ms", int, float)),
            total_ms=float(_get(reply, "total_ms", int, float)),
        )


@dataclass(frozen=True)
class Answer:
    """A whole answer.

    Attributes:
        id: names the query in the server's log.
        session_id: the session that was asked.
        text: the answer.
        finish_reason: "stop" (the model ended it, or a stop string came) or "length" (max_tokens).
        usage: what it took.
        raw: the JSON object it was read from.
    """

    id: str
    session_id: str
    text: str
    finish_reason: str
    usage: Usage
    raw: dict[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read a query object.

        Raises:
            UnexpectedReply: a field is missing or of another type.
        """
        reply = _object(data, "query")
        return cls(
            id=_get(reply, "id", str),
            session_id=_get(reply, "session_id", str),
            text=_get(reply, "answer", str),
            finish_reason=_get(reply, "finish_reason", str),
            usage=Usage.from_json(reply.get("usage")),
            raw=reply,
        )


@dataclass(frozen=True)
class Progress:
    """How far an append is.

    Attributes:
        offset: bytes the session holds now.
        end: bytes it will hold at the end, or None where the source has no known size.
        waiting: what went wrong, when this tells of a wait before another try.
        wait_seconds: until that try.
    """

    offset: int
    end: int | None
    waiting: ClientError | None = None
    wait_seconds: float = 0.0


def _object(data: object, what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise UnexpectedReply(
            f"the reply holds no {what} object: is this an ARMT server, and of this version?"
        )
    return data


def _get(reply: Mapping[str, Any], name: str, *kinds: type[_T]) -> _T:
    value = reply.get(name)
    if not isinstance(value, kinds):
        raise UnexpectedReply(
            f"the reply's {name!r} is {value!r}: is this an ARMT server, and of this version?"
        )
    return value
