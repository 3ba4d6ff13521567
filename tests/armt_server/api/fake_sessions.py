"""A stand-in for the sessions that needs no model: what the routes do is tested without waiting for one.

What a question does is said by the question: "hang" never answers, "refuse" is refused, "crash" fails in a
way that nobody foresaw, anything else is given back word by word.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any

from armt_server.errors import (
    ContextFull,
    OffsetMismatch,
    SessionExpired,
    SessionNotFound,
    StoreUnavailable,
    UnknownModel,
)
from armt_server.sessions import Answer, Appended, Delta, Done, SessionStatus, Usage
from armt_server.store import SessionRecord

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from armt.sampling import Sampling


class FakeSessions:
    """Sessions in a dict; the metadata `expired`, `stuck` and `full` make a session behave so."""

    def __init__(self) -> None:
        self.records: dict[str, SessionRecord] = {}
        self.texts: dict[str, bytes] = {}
        self.hanging = threading.Event()  # a question that never answers has begun
        self.stopped = threading.Event()  # and was stopped
        self.waiting = threading.Event()  # somebody waits for a session that never absorbs
        self.asked: list[tuple[str, Sampling, tuple[str, ...]]] = []
        self.reachable = True

    async def ping(self) -> None:
        if not self.reachable:
            raise StoreUnavailable("the store does not answer: start it")

    async def create(
        self, *, model: str | None, ttl_seconds: int | None, metadata: dict[str, str], keep_source: bool
    ) -> SessionRecord:
        if model not in (None, "fake"):
            raise UnknownModel(model, ["fake"])
        record = SessionRecord(
            id=f"ses_{secrets.token_urlsafe(18)}",
            model="fake",
            created_at=time.time(),
            ttl_seconds=ttl_seconds,
            expires_at=time.time() + ttl_seconds if ttl_seconds else None,
            metadata=metadata,
            keep_source=keep_source,
        )
        self.records[record.id] = record
        self.texts[record.id] = b""
        return record

    async def get(self, session_id: str) -> SessionRecord:
        if session_id not in self.records:
            raise SessionNotFound(session_id)
        record = self.records[session_id]
        if "expired" in record.metadata:
            raise SessionExpired(session_id)
        return dataclasses.replace(record, log_end=len(self.texts[session_id]))

    async def list(self, limit: int, after: str | None) -> tuple[list[SessionRecord], bool]:
        ids = [key for key, record in reversed(self.records.items()) if "expired" not in record.metadata]
        start = ids.index(after) + 1 if after else 0
        page = ids[start : start + limit]
        return [await self.get(key) for key in page], start + limit < len(ids)

    async def update(self, session_id: str, **changes: Any) -> SessionRecord:
        self.records[session_id] = dataclasses.replace(await self.get(session_id), **changes)
        return self.records[session_id]

    async def delete(self, session_id: str) -> None:
        await self.get(session_id)
        del self.records[session_id]

    async def append(self, session_id: str, offset: int | None, data: bytes) -> Appended:
        record = await self.get(session_id)
        text = self.texts[session_id]
        if offset is not None and offset != record.log_end:
            if text[offset:] != data:
                raise OffsetMismatch(record.log_end)
            return Appended(record.log_end)
        if data == b"lightning strikes":
            raise RuntimeError("the secret of the implementation")
        self.texts[session_id] = text + data
        return Appended(len(text + data))

    async def wait_absorbed(self, session_id: str, upto: int) -> None:
        record = await self.get(session_id)
        assert upto <= record.log_end
        if "stuck" in record.metadata:
            self.waiting.set()
            await asyncio.Event().wait()
        if "full" in record.metadata:
            raise ContextFull("the session is as long as it can get: make a new one")

    async def status(self, session_id: str) -> SessionStatus:
        record = await self.get(session_id)
        return SessionStatus(
            record=record,
            absorbed_offset=record.log_end,
            segments=record.log_end // 8,
            tokens=record.log_end,
            resident=True,
            memory_bytes=1024,
        )

    async def ask(
        self, session_id: str, question: str, sampling: Sampling, stop: tuple[str, ...]
    ) -> AsyncGenerator[Delta | Done, None]:
        record = await self.get(session_id)
        self.asked.append((question, sampling, stop))
        if question == "refuse":
            raise ContextFull("the session is as long as it can get: make a new one")
        if question == "crash":
            raise RuntimeError("the secret of the implementation")
        words = question.split(" ")
        for word in words:
            yield Delta(word)
        if question == "hang":
            self.hanging.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.stopped.set()
        usage = Usage(
            prompt_tokens=len(words),
            completion_tokens=len(words),
            memory_source="resident",
            segments_replayed=0,
            context_bytes=record.log_end,
            context_tokens=record.log_end,
            wait_ms=0.0,
            total_ms=1.0,
        )
        yield Done(Answer(text="".join(words), finish_reason="stop", usage=usage))
