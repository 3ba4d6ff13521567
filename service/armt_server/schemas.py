"""What travels over HTTP, as pydantic models: requests are strict, replies are complete.

A request with an unknown field, a wrong type or a value out of bounds is refused and told so; nothing is
coerced or dropped in silence. Bounds that depend on the settings are checked by the routes.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from armt_server.settings import MAX_TTL_SECONDS

SESSION_ID: Final = r"ses_[A-Za-z0-9_-]{24}"
MAX_QUESTION_CHARS: Final = 1_000_000  # before tokens are counted; the settings' limit in tokens is tighter
MAX_OFFSET: Final = 2**63 - 1


def _whole(text: str) -> str:
    # JSON can spell half a surrogate pair, which is no character: UTF-8 and tokenizers have no place for it.
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"half a surrogate pair at character {error.start}: send whole characters") from None
    return text


_WHOLE: Final = AfterValidator(_whole)  # stands last, so that bounds are told as those of a text
Ttl = Annotated[int, Field(ge=1, le=MAX_TTL_SECONDS, description="Seconds of disuse until it expires.")]
Metadata = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=64), _WHOLE],
        Annotated[str, Field(max_length=512), _WHOLE],
    ],
    Field(max_length=16, description="Notes of your own: up to 16 names (64 characters) with texts (512)."),
]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class CreateSession(_Request):
    """A new session; everything may be left out."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ttl_seconds": 86400, "metadata": {"title": "Emma"}}]}
    )

    model: Annotated[str, Field(min_length=1, max_length=512), _WHOLE] | None = Field(
        default=None, description="One of GET /v1/models; left out, the server's own."
    )
    ttl_seconds: Ttl | None = Field(
        default=None, description="Null: lives until it is deleted. Left out: the server's default."
    )
    metadata: Metadata = Field(default_factory=dict)
    keep_source: bool = Field(
        default=False, description="Keep the whole text, so that the session survives a change of model."
    )


class UpdateSession(_Request):
    """What to change of a session; what is left out stays."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ttl_seconds": None, "metadata": {"title": "Emma"}}]}
    )

    ttl_seconds: Ttl | None = Field(
        default=None, description="Counted from now; null: lives until it is deleted."
    )
    metadata: Metadata = Field(default_factory=dict, description="Replaces all of it.")


class AppendText(_Request):
    """Text to add at the end of a session."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "Mary went to the kitchen. ", "offset": 0}]}
    )

    text: Annotated[str, _WHOLE]
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET)] | None = Field(
        default=None,
        description="Bytes the session must hold before; left out: wherever it ends (a retry may repeat).",
    )


class AskQuestion(_Request):
    """A question to a session, and how to answer it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"question": "Where is Mary?", "max_tokens": 16, "stream": False}]}
    )

    question: Annotated[str, Field(min_length=1, max_length=MAX_QUESTION_CHARS), _WHOLE]
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None,
        description="At most `max_answer_tokens` of GET /v1/limits; left out: 64, or that if it is less.",
    )
    temperature: Annotated[float, Field(ge=0, le=2)] = Field(
        default=0.0, description="0 takes the likeliest token."
    )
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    stop: list[Annotated[str, Field(min_length=1, max_length=256), _WHOLE]] = Field(
        default_factory=list, max_length=8, description="Texts that end the answer; they are not part of it."
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(
        default=None, description="The same seed gives the same answer."
    )
    stream: bool = Field(default=False, description="Answer as server-sent events.")


class Context(_Reply):
    """What a session has been given to read, and how far it is."""

    bytes: int = Field(description="Accepted, and durable.")
    absorbed_bytes: int = Field(description="Of those, read into the memory.")
    tokens: int
    segments: int = Field(description="Full segments in the memory.")
    resident: bool = Field(description="The memory is in the server's own memory now.")
    memory_bytes: int = Field(description="What the memory takes; it does not grow with the text.")


class Session(_Reply):
    """One session."""

    id: str = Field(pattern=f"^{SESSION_ID}$", examples=["ses_0123456789abcdefABCDEF_-"])
    object: Literal["session"] = "session"
    model: str
    created_at: float = Field(description="Unix seconds.")
    expires_at: float | None = Field(description="Unix seconds, renewed by each append; null: never.")
    ttl_seconds: int | None
    metadata: dict[str, str]
    keep_source: bool
    context: Context


class SessionList(_Reply):
    """Some of the sessions, newest first."""

    object: Literal["list"] = "list"
    data: list[Session]
    has_more: bool
    last_id: str | None = Field(
        description="Give it as `after` to get the next page; null: none on this page."
    )


class Appended(_Reply):
    """An append that is durable."""

    object: Literal["context.append"] = "context.append"
    session_id: str
    offset: int = Field(description="Bytes the session holds now: where the next append starts.")
    absorbed: bool = Field(description="The memory holds them too (asked for by `Prefer: wait`).")


class Usage(_Reply):
    """What an answer took."""

    prompt_tokens: int
    completion_tokens: int
    memory_source: Literal["resident", "snapshot", "replay"] = Field(
        description="Where the memory came from."
    )
    segments_replayed: int = Field(description="Segments read again to make the memory.")
    context_bytes: int = Field(description="Bytes of text that the answer stands on.")
    context_tokens: int
    wait_ms: float = Field(description="Until everything accepted was absorbed.")
    total_ms: float


class Query(_Reply):
    """A whole answer."""

    id: str = Field(examples=["qry_0123456789abcdefABCDEF_-"])
    object: Literal["query"] = "query"
    session_id: str
    answer: str = Field(examples=["kitchen"])
    finish_reason: Literal["stop", "length"] = Field(
        description="`stop`: the model or a stop text ended it; `length`: max_tokens did."
    )
    usage: Usage


class Model(_Reply):
    """A model that this server serves."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="Unix seconds at which it was loaded.")
    owned_by: Literal["armt"] = "armt"
    fingerprint: str = Field(description="Digest of weights, config and tokenizer; a memory belongs to one.")
    segment_size: int = Field(description="Tokens in a segment.")
    memory_bytes: int = Field(description="What the memory of one session takes.")


class ModelList(_Reply):
    """The models that this server serves."""

    object: Literal["list"] = "list"
    data: list[Model]


class Limits(_Reply):
    """The numbers a client has to know; each is a setting of the server."""

    max_append_bytes: int
    max_pending_bytes: int = Field(description="Bytes not yet in a snapshot before appends are held back.")
    backpressure_seconds: float = Field(description="An append waits so long for room before it gets 429.")
    max_question_tokens: int
    max_answer_tokens: int
    default_ttl_seconds: int | None
    max_ttl_seconds: int = MAX_TTL_SECONDS


class Health(_Reply):
    """The process is alive."""

    status: Literal["ok"] = "ok"
    version: str


class Ready(_Reply):
    """The store answers and the model is loaded."""

    status: Literal["ready"] = "ready"
    model: str


class ErrorItem(_Reply):
    """One thing that is wrong with a request."""

    location: str = Field(examples=["body.question"])
    message: str = Field(examples=["Field required"])


class Problem(BaseModel):
    """Why a request was refused, and what to do about it (RFC 9457); some codes have further members."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = Field(description="A name for the kind of problem: `urn:armt:problem:` and the code.")
    title: str
    status: int
    code: str = Field(description="Stable, for programs.")
    detail: str = Field(description="What happened and what to do about it, for people.")
    request_id: str = Field(description="Names the request in the server's log; also in X-Request-Id.")
    errors: list[ErrorItem] | None = None
