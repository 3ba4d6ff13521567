"""The engine: owns the checkpoint; one thread of its own does all work on tensors, one turn after another.

A turn is a batch of segments, one for each of several sessions and more where they are read ahead, or a
token for each of several answers. On a CPU the segments are shared among more threads (`armt.rows`).
Memories come in and go out as values; nothing of a session stays here, and nothing here knows of a store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import torch

from armt import codec
from armt.decode import decode
from armt.errors import PositionError
from armt.rows import RowPool
from armt_server.errors import ContextFull, MissingModel, ShuttingDown
from armt_server.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

    from armt.checkpoint import Checkpoint, PromptTemplate
    from armt.sampling import Sampling
    from armt.state import MemoryState
    from armt.text import StreamTokenizer

log = logging.getLogger(__name__)

AHEAD_IDS: Final = 4096
"""Token ids in a turn at most, as far as segments are read ahead: enough to keep the hardware busy."""

FIRST_AHEAD: Final = 16
"""Segments read ahead in a reader's first turn; then twice as many, or as few as the last turn kept."""

T = TypeVar("T")
Ids: TypeAlias = "Sequence[int]"

Decode: TypeAlias = "Callable[..., Iterator[int]]"
"""How answers are made: `armt.decode.decode`, or a stand-in in tests."""


@dataclass(eq=False)
class _Reader:
    """Segments on their way into one memory; `ahead` of them are read in the next turn, on a guess."""

    segments: Sequence[Ids]
    memory: MemoryState
    future: Future[MemoryState] = field(default_factory=Future)
    done: int = 0
    ahead: int = FIRST_AHEAD


@dataclass(eq=False)
class _Answer:
    """Tokens on their way to one asker; `emit` takes each, then None or the error that ended them."""

    start: Callable[[], Iterator[int]]
    emit: Callable[[int | Exception | None], None]
    tokens: Iterator[int] | None = None
    cancelled: bool = False


class Engine:
    """Runs a checkpoint for many sessions at once.

    All methods are called from an event loop; they hand work to the engine's thread and await it.

    Args:
        checkpoint: the model, its tokenizer and its way of asking.
        max_batch: sessions, or answers, served in one turn.
        threads: on a CPU, that share a turn's segments, and of torch in answers; None leaves torch's choice.
        decode: how answers are made.

    Raises:
        MissingModel: the checkpoint has no tokenizer, so it cannot be given text.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        max_batch: int = 8,
        threads: int | None = None,
        decode: Decode = decode,
    ) -> None:
        if checkpoint.tokenizer is None:
            raise MissingModel(f"the model {checkpoint.name} has no tokenizer.json: add one to its folder")
        self.tokenizer: StreamTokenizer = checkpoint.tokenizer
        self.template: PromptTemplate = checkpoint.template
        self.name = checkpoint.name
        self.fingerprint = checkpoint.fingerprint
        self.segment_size = checkpoint.model.config.segment_size
        self.empty = checkpoint.model.empty_state(1)  # a value, so all new sessions share it
        self._model = checkpoint.model
        self._device = self.empty.device
        self._decode = decode
        self._threads = threads or torch.get_num_threads()
        self._rows = RowPool(self._threads) if self._device.type == "cpu" else None
        self._scheduler: Scheduler[_Answer, _Reader] = Scheduler(max_batch)
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._draining = False  # read and written by the thread alone
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="armt-engine", daemon=True)
        self._thread.start()

    async def absorb(self, segments: Sequence[Ids], memory: MemoryState) -> MemoryState:
        """The memory after full segments, batched with those of other sessions; `memory` is left as it is.

        Raises:
            ContextFull: the model numbers positions across segments and has none left.
            ShuttingDown: the engine was drained before the last segment.
        """
        job = _Reader(segments, memory)
        self._submit(lambda: self._begin_reader(job))
        return await asyncio.wrap_future(job.future)

    async def generate(
        self, memory: MemoryState, ids: Ids, sampling: Sampling, stop_ids: frozenset[int], told: int = 0
    ) -> AsyncGenerator[int, None]:
        """The ids that answer `ids`, as they come; `told` of them are the tail, the others the prompt.

        Closing the generator stops the work.

        Raises:
            ContextFull: the model numbers positions across segments and has too few left.
            ShuttingDown: the engine was drained before the answer ended.
        """
        loop, items = asyncio.get_running_loop(), asyncio.Queue[int | Exception | None]()

        def emit(item: int | Exception | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(items.put_nowait, item)

        def start() -> Iterator[int]:
            return self._decode(self._model, memory.to(self._device), ids, sampling, stop_ids, told=told)

        job = _Answer(start, emit)
        self._submit(lambda: self._begin_answer(job))
        try:
            while (item := await items.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            job.cancelled = True

    async def pack(self, snapshot: codec.Snapshot) -> bytes:
        """A snapshot as bytes."""
        return await self._call(lambda: codec.encode(snapshot))

    async def unpack(self, data: bytes) -> codec.Snapshot:
        """The snapshot that `pack` gave, checked whole; armt.errors.CodecError if it must not be used."""
        return await self._call(lambda: codec.decode(data, self._model.config, self.fingerprint))

    async def to_host(self, memory: MemoryState) -> MemoryState:
        """The same memory in the host's RAM; it may go on to any method here."""
        return await self._call(lambda: memory.to("cpu"))

    async def drain(self) -> None:
        """Ends all absorption at its next segment boundary and all answers, and takes no more of either."""
        if not self._closed:
            await self._call(self._drain)

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109  the thread cannot be cancelled, only left
        """Ends the thread after the step it is in; gives up waiting after `timeout` seconds."""
        self._closed = True
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join, timeout)

    def _submit(self, message: Callable[[], None]) -> None:
        if self._closed:
            raise ShuttingDown
        self._inbox.put(message)

    async def _call(self, function: Callable[[], T]) -> T:
        """Runs a function on the thread, before its next turn."""
        future: Future[T] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except Exception as error:  # noqa: BLE001  it is raised where the call is awaited
                    future.set_exception(error)

        self._submit(run)
        return await asyncio.wrap_future(future)

    # From here on everything runs on the engine's thread.

    def _run(self) -> None:
        torch.set_num_threads(self._threads)  # holds for the calling thread, so it is set here
        with torch.inference_mode():
            while True:
                try:
                    message = self._inbox.get(block=not self._scheduler.has_work)
                except queue.Empty:
                    self._take_turn()
                    continue
                if message is None:
                    break
                message()
            self._drain()
        if self._rows is not None:
            self._rows.close()

    def _take_turn(self) -> None:
        turn = self._scheduler.next_turn()
        for answer in turn.answers:
            self._advance(answer)
        readers = [job for job in turn.readers if not self._left(job)]
        if readers:
            self._absorb(readers)

    def _begin_reader(self, job: _Reader) -> None:
        if self._draining:
            self._end(job, ShuttingDown())
        elif not job.segments:
            self._end(job)
        else:
            self._scheduler.add_reader(job)

    def _begin_answer(self, job: _Answer) -> None:
        if self._draining:
            job.emit(ShuttingDown())
        else:
            self._scheduler.add_answer(job)

    def _drain(self) -> None:
        self._draining = True
        for reader in self._scheduler.readers:
            self._end(reader, ShuttingDown())
        for answer in self._scheduler.answers:
            self._scheduler.remove(answer)
            answer.emit(ShuttingDown())

    def _left(self, job: _Reader) -> bool:
        """Whether nobody waits for this reader any more; then it is removed."""
        if job.future.cancelled():
            self._scheduler.remove(job)
        return job.future.cancelled()

    def _absorb(self, readers: list[_Reader]) -> None:
        """A segment for each reader, or several as long as they write nothing, in one batch."""
        room = AHEAD_IDS // self.segment_size // len(readers) if self._model.reads_ahead else 1
        runs = [job.segments[job.done :][: max(1, min(job.ahead, room))] for job in readers]
        try:
            ids = [torch.tensor(run, device=self._device) for run in runs]
            memories = [job.memory.to(self._device) for job in readers]
            found = self._model.absorb_ahead(ids, memories, self._rows)
        except Exception as error:  # noqa: BLE001  it is raised where the job is awaited
            if len(readers) == 1:
                self._end(readers[0], error)
                return
            for job in readers:  # alone, so that one session's trouble is not the others'
                self._absorb([job])
            return
        for job, run, (read, job.memory) in zip(readers, runs, found, strict=True):
            job.done += read
            job.ahead = 2 * read if read == len(run) else read
            if job.done == len(job.segments):
                self._end(job)

    def _end(self, job: _Reader, error: Exception | None = None) -> None:
        self._scheduler.remove(job)
        with contextlib.suppress(InvalidStateError):  # cancelled in the meantime
            if error is None:
                job.future.set_result(job.memory)
            else:
                job.future.set_exception(_translated(error))

    def _advance(self, job: _Answer) -> None:
        """One more token of an answer; the first takes the prompt in."""
        if job.cancelled:
            self._scheduler.remove(job)
            return
        try:
            job.tokens = job.tokens or job.start()
            token = next(job.tokens, None)
        except Exception as error:  # noqa: BLE001  it is raised where the answer is read
            self._scheduler.remove(job)
            job.emit(_translated(error))
            return
        if token is None:
            self._scheduler.remove(job)
        job.emit(token)


def _translated(error: Exception) -> Exception:
    return ContextFull(str(error)) if isinstance(error, PositionError) else error
