"""Workers for tests of sessions: the real sessions layer over a real store, usually with the fake model."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import hash_chain
import torch
from hash_chain import HashChain

from armt.sampling import Sampling
from armt_server.sessions import Done, Sessions
from armt_server.settings import Settings
from armt_server.store import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from armt.checkpoint import Checkpoint
    from armt_server.engine import Decode
    from armt_server.sessions import Answer
    from armt_server.store import SessionRecord, StateStore

SOON = 30
"""Seconds after which something that should happen at once has failed."""

PROSE = "Mary went to the kitchen. John was in the garden, naïve, 日本 and 🐈 in it. "


class Worker:
    """One worker: its store, its sessions, and what tests ask of them."""

    def __init__(self, store: StateStore, sessions: Sessions) -> None:
        self.store = store
        self.sessions = sessions

    async def create(self, **options: Any) -> str:
        return (await self.sessions.create(**options)).id

    async def append(self, session_id: str, text: str | bytes, offset: int | None = None) -> int:
        data = text.encode() if isinstance(text, str) else text
        return (await self.sessions.append(session_id, offset, data)).offset

    async def read(self, session_id: str) -> None:
        """Until everything accepted is absorbed."""
        async with asyncio.timeout(SOON):
            await self.sessions.wait_absorbed(session_id, 2**62)

    async def ask(
        self, session_id: str, question: str = "Where?", stop: tuple[str, ...] = (), **sampling: Any
    ) -> Answer:
        async with asyncio.timeout(SOON):
            chosen = Sampling(**{"max_tokens": 24, **sampling})
            events = [event async for event in self.sessions.ask(session_id, question, chosen, stop)]
        *deltas, done = events
        assert isinstance(done, Done)
        assert "".join(delta.text for delta in deltas) == done.answer.text
        return done.answer

    async def saved(self, session_id: str) -> SessionRecord:
        """The session once everything that it holds is in a snapshot, and its task has ended."""
        self.sessions._absorber.wake(session_id, hurry=True)
        async with asyncio.timeout(SOON):
            await asyncio.wait((self.sessions._absorber._tasks[session_id],))
        record = await self.store.get(session_id)
        assert record.snapshot_offset == record.log_end
        return record

    async def idle(self) -> None:
        """Until no session has a task."""
        async with asyncio.timeout(SOON):
            while tasks := self.sessions._absorber._tasks:
                await asyncio.wait(tasks.values())

    async def kill(self) -> None:
        """As SIGKILL would: nothing is finished and nothing is saved."""
        tasks = list(self.sessions._absorber._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.sessions._engine.close(SOON)


@asynccontextmanager
async def working(
    url: str,
    model: HashChain | None = None,
    *,
    checkpoint: Checkpoint | None = None,
    decode: Decode = hash_chain.decode,
    **options: Any,
) -> AsyncIterator[Worker]:
    """A worker on the store at `url`, which is closed in good order unless it was killed."""
    settings = Settings(store_url=url, **{"idle_seconds": 3600, "backpressure_seconds": 0, **options})
    store = await open_store(url)
    chosen = checkpoint or hash_chain.checkpoint(model)
    worker = Worker(store, await Sessions.open(settings, store, chosen, decode=decode))
    try:
        yield worker
    finally:
        if model is not None:
            model.gate.set()
        await worker.sessions.close(SOON)
        await store.close()


def assert_read(worker: Worker, session_id: str, text: str) -> None:
    """The worker's memory and ids of a session are those of the text read in one piece."""
    resident = worker.sessions._absorber.find(session_id)
    assert resident is not None
    memory, tail = hash_chain.fold_at_once(text)
    folded = resident.folded
    assert folded.offset == len(text.encode())
    assert folded.memory.segments.tolist() == [folded.segments]
    # What is not decided yet may be more than a segment: it is read here as an answer would read it.
    rest = [*folded.tail_ids, *hash_chain.TOKENIZER.finish(folded.text)]
    reached, rest = hash_chain.absorb_full(HashChain(), folded.memory, rest)
    assert torch.equal(reached.W, memory.W)
    assert reached.segments.tolist() == memory.segments.tolist()
    assert rest == tail
