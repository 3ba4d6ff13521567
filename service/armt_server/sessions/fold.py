"""The fold: what a session has read, as one value, and the step that reads on.

`fold` depends on nothing but its arguments, so any worker that folds the same log has the same memory.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from typing import TYPE_CHECKING

from armt.codec import Snapshot
from armt.text import TextState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

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


async def fold(engine: Engine, folded: Folded, data: bytes, piece_bytes: int) -> AsyncGenerator[Folded, None]:
    """Read `data`, the bytes of the log after `folded`, by pieces: tokenise, cut full segments, absorb them.

    There must be at least a byte. While a piece is absorbed the next one is tokenised.

    Yields:
        The fold after each piece.

    Raises:
        ContextFull: the model cannot take more segments.
        ShuttingDown: the engine was drained; nothing of the piece counts as read.
    """
    pieces = [data[start : start + piece_bytes] for start in range(0, len(data), piece_bytes)]
    coming = _tokenise(engine, folded.text, pieces[0])
    try:
        for piece, following in itertools.zip_longest(pieces, pieces[1:]):
            decided, text = await coming
            if following is not None:
                coming = _tokenise(engine, text, following)
            folded = await _absorb(engine, folded, len(piece), decided, text)
            yield folded
    finally:
        coming.cancel()


def _tokenise(engine: Engine, text: TextState, data: bytes) -> asyncio.Task[tuple[list[int], TextState]]:
    return asyncio.create_task(asyncio.to_thread(engine.tokenizer.feed, text, data))


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
