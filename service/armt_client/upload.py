"""The one loop that sends a text of any length, whatever happens to the connection.

The server's offset is the truth. A piece whose reply was lost is sent again at the same offset: the server
recognises it and adds nothing, so no byte is ever read twice and none is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from armt_client.errors import InputError, OffsetMismatch
from armt_client.values import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from armt_client.errors import ClientError
    from armt_client.retry import Retry
    from armt_client.source import Source


@dataclass(frozen=True)
class Upload:
    """A source on its way into a session.

    Attributes:
        source: what is sent.
        start: the session offset of the source's first byte.
        shared: what the session holds past `start` is the source's own beginning, so a wrong offset only
            means that we are further (or less far) than we thought. Otherwise somebody else wrote.
        piece_bytes: bytes a request at most.
        put: sends a piece at an offset, gives the session's new length.
        retry: how patient to be.
        progress: told after each piece and before each wait.
    """

    source: Source
    start: int
    shared: bool
    piece_bytes: int
    put: Callable[[int, bytes], int]
    retry: Retry
    progress: Callable[[Progress], None]

    def run(self, offset: int) -> int:
        """Send everything from the session's `offset` on; the session's length after it.

        Raises:
            OffsetMismatch: somebody else wrote to the session.
            InputError: the source does not reach the session's offset.
            ClientError: what no repetition mends.
        """
        if offset < self.start:
            raise InputError(
                f"the session holds {offset} bytes, so a text cannot start at byte {self.start}: "
                "send what comes before it first"
            )
        self._tell(offset)
        while piece := self.source.read(offset - self.start, self.piece_bytes):
            try:
                offset = self._put(offset, piece)
            except OffsetMismatch as mismatch:
                if not self.shared or mismatch.current is None or mismatch.current == offset:
                    raise
                offset = mismatch.current
            self._tell(offset)
        return offset

    def _put(self, offset: int, piece: bytes) -> int:
        return self.retry.call(
            lambda: self.put(offset, piece),
            lambda error, seconds: self._tell(offset, error, seconds),
        )

    def _tell(self, offset: int, waiting: ClientError | None = None, seconds: float = 0.0) -> None:
        end = None if self.source.size is None else self.start + self.source.size
        self.progress(Progress(offset, end, waiting, seconds))
