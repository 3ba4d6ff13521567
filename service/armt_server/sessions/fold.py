"""The fold: what a session has read, as one value, and the step that reads on.

`fold` depends on nothing but its arguments, so any worker that folds the same log has the same memory.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

from armt.codec import Snapshot
from armt.text import TextState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from armt.state import MemoryState
    from armt_server.engine import Engine


@dataclasses.dataclass(frozen=True)
class Folded:
    """The fold of a session's log up to an offset. Immutable, so a question works on it as on a fork.

    Attributes:
        offset: bytes of the log that are in it.
        segments: segments in the memory; a plain number, so that nobody waits for a device to know it.
        tail_ids: decided token ids after the last full segment, fewer than a segment.
        text: text after those, not decided yet.
        memory: batch 1.
    """

    offset: int
    segments: int
    tail_ids: tuple[int, ...]
    text: TextState
    memory: MemoryState

    @classmethod
    def nothing(cls, engine: Engine) -> Folded:
        """What a session has read before its first byte."""
        return cls(0, 0, (), TextState(), engine.empty)

    @classmethod
    def of(cls, snapshot: Snapshot) -> Folded:
        """What `to_snapshot` was given."""
        memory = snapshot.memory
        return cls(snapshot.offset, int(memory.segments), tuple(snapshot.tail_ids), snapshot.text, memory)

    def to_snapshot(self, fingerprint: str) -> Snapshot:
        """The same as the codec takes it."""
        return Snapshot(
            fingerprint=fingerprint,
            offset=self.offset,
            tail_ids=self.tail_ids,
            text=self.text,
            memory=self.memory,
        )

    def tokens(self, segment_size: int) -> int:
        """Decided tokens that were read."""
        return self.segments * segment_size + len(self.tail_ids)


async def fold(engine: Engine, folded: Folded, pieces: AsyncIterator[bytes]) -> AsyncGenerator[Folded, None]:
    """Read on in the log behind `folded`: tokenise each piece of it, cut full segments, absorb them.

    While a piece is absorbed the next one is fetched and tokenised.

    Yields:
        The fold after each piece.

    Raises:
        ContextFull: the model cannot take more segments.
        ShuttingDown: the engine was drained; nothing of the piece counts as read.
        ServerError: what fetching a piece raises.
    """
    coming = asyncio.create_task(_tokenise(engine, folded.text, pieces))
    try:
        while (found := await coming) is not None:
            count, decided, text = found
            coming = asyncio.create_task(_tokenise(engine, text, pieces))
            folded = await _absorb(engine, folded, count, decided, text)
            yield folded
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def _tokenise(
    engine: Engine, text: TextState, pieces: AsyncIterator[bytes]
) -> tuple[int, list[int], TextState] | None:
    """Of the next piece its bytes, and the ids and the text that they come to; None if there is none."""
    piece = await anext(pieces, None)
    if piece is None:
        return None
    return len(piece), *await asyncio.to_thread(engine.tokenizer.feed, text, piece)


async def _absorb(engine: Engine, folded: Folded, count: int, decided: list[int], text: TextState) -> Folded:
    ids = [*folded.tail_ids, *decided]
    size = engine.segment_size
    full = len(ids) // size
    memory = folded.memory
    if full:
        segments = [ids[i * size : (i + 1) * size] for i in range(full)]
        memory = await engine.absorb(segments, memory)
    return Folded(
        offset=folded.offset + count,
        segments=folded.segments + full,
        tail_ids=tuple(ids[full * size :]),
        text=text,
        memory=memory,
    )
