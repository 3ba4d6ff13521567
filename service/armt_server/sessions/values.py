"""What the sessions give to their callers; plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from armt_server.store import SessionRecord

MemorySource: TypeAlias = Literal["resident", "snapshot", "replay"]
"""Where a memory came from: it was at hand, from a snapshot and the log after it, or from the whole log."""


@dataclass(frozen=True)
class Appended:
    """An append that is durable; `offset` is where the next one starts."""

    offset: int


@dataclass(frozen=True)
class SessionStatus:
    """A session and how far this worker knows it to be read.

    Attributes:
        record: the session as the store has it.
        absorbed_offset: bytes read into the memory.
        segments: full segments in the memory.
        tokens: those of the segments and of the tail; text that is not decided yet does not count.
        resident: the memory is at hand here.
        memory_bytes: what the memory takes, the same for every session of a model.
    """

    record: SessionRecord
    absorbed_offset: int
    segments: int
    tokens: int
    resident: bool
    memory_bytes: int


@dataclass(frozen=True)
class Usage:
    """What an answer took.

    Attributes:
        prompt_tokens: of the question and the template around it.
        completion_tokens: generated, those of a stop text included.
        memory_source: where the memory came from.
        segments_replayed: segments read again to make the memory; 0 if it was resident.
        context_bytes: bytes of text that the answer stands on.
        context_tokens: tokens of that text.
        wait_ms: until everything accepted before the question was absorbed.
        total_ms: until the answer ended.
    """

    prompt_tokens: int
    completion_tokens: int
    memory_source: MemorySource
    segments_replayed: int
    context_bytes: int
    context_tokens: int
    wait_ms: float
    total_ms: float


@dataclass(frozen=True)
class Answer:
    """A whole answer; `finish_reason` is "stop" when the model or a stop text ended it, else "length"."""

    text: str
    finish_reason: Literal["stop", "length"]
    usage: Usage


@dataclass(frozen=True)
class Delta:
    """The next piece of an answer's text; never empty."""

    text: str


@dataclass(frozen=True)
class Done:
    """The end of an answer: all of it, which is the pieces joined."""

    answer: Answer
