"""The front of the sessions: checks what comes in, and puts store, absorber and engine to work."""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import TYPE_CHECKING, Self

from armt.decode import decode
from armt_server.engine import Engine
from armt_server.errors import SessionNotFound, ShuttingDown, UnknownModel
from armt_server.sessions.absorber import Absorber
from armt_server.sessions.asking import Question, answer
from armt_server.sessions.intake import Intake
from armt_server.sessions.values import Appended, SessionStatus
from armt_server.store import UNSET, SessionRecord

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from armt.checkpoint import Checkpoint
    from armt.sampling import Sampling
    from armt_server.engine import Decode
    from armt_server.sessions.values import Delta, Done
    from armt_server.settings import Settings
    from armt_server.store import Page, StateStore, Unset


class Sessions:
    """All sessions of a store, as one worker serves them. Made by `open`.

    Every method that names a session raises `SessionNotFound`, `SessionExpired` or `StoreUnavailable`.
    """

    def __init__(self, settings: Settings, store: StateStore, engine: Engine) -> None:
        self._settings = settings
        self._store = store
        self._engine = engine
        self._absorber = Absorber(settings, store, engine)
        self._intake = Intake(settings, store, self._absorber)
        self._closing = False

    @classmethod
    async def open(
        cls, settings: Settings, store: StateStore, checkpoint: Checkpoint, *, decode: Decode = decode
    ) -> Self:
        """Starts an engine for the checkpoint; the store stays its owner's.

        Raises:
            MissingModel: the checkpoint has no tokenizer.
        """
        engine = Engine(checkpoint, max_batch=settings.max_batch, threads=settings.threads, decode=decode)
        return cls(settings, store, engine)

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109  what is not saved in time is left
        """Takes no more work, ends answers, saves what was read as far as `timeout` seconds allow."""
        self._closing = True
        began = time.monotonic()
        await self._absorber.close(timeout)
        await self._engine.close(max(0.0, timeout - (time.monotonic() - began)))

    async def create(
        self,
        model: str | None = None,
        ttl_seconds: int | None = None,
        metadata: dict[str, str] | None = None,
        *,
        keep_source: bool = False,
    ) -> SessionRecord:
        """Makes an empty session.

        Args:
            model: None or the name of the model that is served.
            ttl_seconds: lifetime after the last use; None for ever.
            metadata: the client's own notes.
            keep_source: never trim the log.

        Raises:
            UnknownModel: another model is served.
            StoreFull: the store has no room left.
        """
        if model not in (None, self._engine.name):
            raise UnknownModel(str(model), [self._engine.name])
        record = SessionRecord(
            id=f"ses_{secrets.token_urlsafe(18)}",
            model=self._engine.name,
            created_at=time.time(),
            ttl_seconds=ttl_seconds,
            metadata=dict(metadata or {}),
            keep_source=keep_source,
        )
        return await self._store.create(record)

    async def get(self, session_id: str) -> SessionRecord:
        """The session as the store has it."""
        return await self._store.get(session_id)

    async def list(self, limit: int, after: str | None = None) -> Page:
        """Up to `limit` sessions, newest first, and whether there are more."""
        return await self._store.list(limit, after)

    async def update(
        self,
        session_id: str,
        *,
        ttl_seconds: int | Unset | None = UNSET,
        metadata: dict[str, str] | Unset = UNSET,
    ) -> SessionRecord:
        """Sets a new time to live, counted from now, or replaces the metadata."""
        return await self._store.update(session_id, ttl_seconds=ttl_seconds, metadata=metadata)

    async def delete(self, session_id: str) -> None:
        """Forgets the session, in the store and here."""
        await self._store.delete(session_id)
        await self._absorber.forget(session_id, SessionNotFound(session_id))

    async def append(self, session_id: str, offset: int | None, data: bytes) -> Appended:
        """Adds text at the end of a session; it is durable when this returns, and absorbed afterwards.

        Args:
            session_id: the session.
            offset: bytes that the session must hold before; None adds wherever it ends, but then a repeated
                append is a second one.
            data: UTF-8; a character may be cut in two between appends.

        Raises:
            EmptyBody, BodyTooLarge, InvalidText: nothing of `data` was kept.
            OffsetMismatch: the session ends elsewhere, and this is not its last append sent again.
            TooManyPending: the session waited in vain for room in its unsaved log.
            ContextFull: the model cannot take more segments.
            ShuttingDown: the server takes no new work.
            StoreFull: the store has no room left.
        """
        if self._closing:
            raise ShuttingDown
        end = await self._intake.add(session_id, offset, data)
        with contextlib.suppress(ShuttingDown):  # it is durable: another worker will read it
            self._absorber.wake(session_id)
        return Appended(end)

    async def wait_absorbed(self, session_id: str, upto: int) -> None:
        """Waits until the first `upto` bytes (or all, if there are fewer) are in the session's memory."""
        record = await self._absorber.record(session_id)
        await self._absorber.reach(session_id, min(upto, record.log_end))

    async def status(self, session_id: str) -> SessionStatus:
        """How far a session is read: as this worker has it at hand, else as its newest snapshot says."""
        record = await self._store.get(session_id)
        resident = self._absorber.find(session_id)
        folded = None if resident is None else resident.folded
        if folded is None and record.snapshot_offset:
            folded = await self._absorber.snapshots.look(session_id, record.snapshot_offset)
        return SessionStatus(
            record=record,
            absorbed_offset=0 if folded is None else min(folded.offset, record.log_end),
            segments=0 if folded is None else folded.segments,
            tokens=0 if folded is None else folded.tokens(self._engine.segment_size),
            resident=resident is not None,
            memory_bytes=self._engine.empty.nbytes,
        )

    async def ask(
        self, session_id: str, question: str, sampling: Sampling, stop: tuple[str, ...] = ()
    ) -> AsyncGenerator[Delta | Done, None]:
        """Answers from everything that was accepted before; the session does not change.

        Closing the generator stops the work.

        Args:
            session_id: the session.
            question: plain text; special tokens in it are not recognised.
            sampling: how tokens are chosen and how many at most.
            stop: texts that end the answer, besides those of the model's template.

        Yields:
            `Delta` for each piece of text, then one `Done`.

        Raises:
            QuestionTooLong, InvalidRequest: what is asked for is not within the limits.
            ContextFull: the model has no positions left for the text or the answer.
            FingerprintMismatch: the memory was made by another model and the text is no longer kept.
            ShuttingDown: the server stops; also in the middle of an answer.
        """
        if self._closing:
            raise ShuttingDown
        began = time.monotonic()
        asked = await Question.of(question, sampling, stop, self._engine, self._settings)
        record = await self._absorber.record(session_id)
        if record.ttl_seconds is not None:  # otherwise a question needs nothing written, and no room for it
            await self._store.touch(session_id)
        reached = await self._absorber.reach(session_id, record.log_end)
        async with contextlib.aclosing(answer(asked, reached, self._engine, began)) as events:
            async for event in events:
                yield event
