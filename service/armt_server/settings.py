"""The server's settings: one frozen value, read from `ARMT_*` once at the edge and passed down.

`Settings()` reads the environment; keyword arguments (the command line's flags) win over it. A value that
cannot work raises `BadSettings` whose text has one clear sentence for each such value.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import ByteSize, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from armt_server.errors import BadSettings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PREFIX: Final = "ARMT_"
MAX_TTL_SECONDS: Final = 10 * 365 * 24 * 3600  # ten years; a longer one is a mistake in the unit

_MIB: Final = 2**20
_STORE_SCHEMES: Final = ("sqlite:///", "redis://", "rediss://", "unix://")

_SENTENCES: Final = {
    "byte_size": "must be a number of bytes, as in 8388608 or 8MiB",
    "string_pattern_mismatch": "must be auto, cpu, mps, cuda or cuda:N",  # the one pattern is the device's
    "string_too_short": "must not be empty",
}

_Count = Annotated[int, Field(ge=1)]
_Seconds = Annotated[float, Field(ge=0, le=24 * 3600, allow_inf_nan=False)]


class Settings(BaseSettings):
    """Everything that can be chosen about a server; sizes accept units, as in `ARMT_MAX_APPEND_BYTES=8MiB`.

    Raises:
        BadSettings: a value that cannot work; the text names each setting, its value and what would do.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, validate_default=True
    )

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000  # 0: any free port
    store_url: str = "sqlite:///armt.db"
    model: Annotated[str, Field(min_length=1)] = "open"  # or "bundled", a directory, a hub id
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None  # on a CPU; None: as many as torch takes
    api_keys_file: Path | None = None

    max_append_bytes: Annotated[ByteSize, Field(ge=1, le=256 * _MIB)] = ByteSize(8 * _MIB)
    max_pending_bytes: Annotated[ByteSize, Field(ge=1)] = ByteSize(16 * _MIB)  # log past the newest snapshot
    backpressure_seconds: _Seconds = 10  # an append waits so long for room before 429
    max_question_tokens: _Count = 4096
    max_answer_tokens: _Count = 1024
    default_ttl_seconds: Annotated[int, Field(ge=1, le=MAX_TTL_SECONDS)] | None = None  # None: for ever

    max_batch: Annotated[int, Field(ge=1, le=4096)] = 8  # sessions absorbed in one step of the model
    snapshot_segments: _Count = 1024  # a snapshot at least every so many segments
    idle_seconds: _Seconds = 5  # a session that rests so long gets a snapshot
    residency_bytes: Annotated[ByteSize, Field(ge=0)] = ByteSize(1024 * _MIB)  # memories kept at hand
    shutdown_seconds: _Seconds = 20

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise BadSettings(_tell(error)) from error

    @field_validator("store_url")
    @classmethod
    def _known_store(cls, url: str) -> str:
        if not url.startswith(_STORE_SCHEMES):
            raise ValueError(f"must start with one of {', '.join(_STORE_SCHEMES)}")
        return url

    @field_validator("api_keys_file")
    @classmethod
    def _no_keys_yet(cls, path: Path | None) -> Path | None:
        if path is not None:
            raise ValueError(
                "API keys are not supported by this version yet: unset it, and let only trusted "
                "clients reach the server"
            )
        return path

    @model_validator(mode="after")
    def _room_for_one_append(self) -> Self:
        if self.max_pending_bytes < self.max_append_bytes:
            raise ValueError(
                f"{PREFIX}MAX_PENDING_BYTES ({int(self.max_pending_bytes)}) must be at least "
                f"{PREFIX}MAX_APPEND_BYTES ({int(self.max_append_bytes)}), or no full append would ever fit"
            )
        return self


def _tell(error: ValidationError) -> str:
    """One sentence for each bad value, in one line."""
    return "; ".join(_sentence(problem) for problem in error.errors(include_url=False))


def _sentence(problem: ErrorDetails) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        return f"there is no setting named {name!r}"
    value = str(problem["input"])
    if name == "store_url":
        value = value.partition(":")[0] + ":..."  # the rest may hold a password
    told = _SENTENCES.get(problem["type"]) or re.sub(r"^(Input|String) should ", "must ", message)
    return f"{PREFIX}{name.upper()}={value}: {told}"
