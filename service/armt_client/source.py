"""What is to be sent, whatever it is, read by position."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, Protocol

from armt_client.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Text = bytes | str | BinaryIO | Iterable[bytes | str]


class Source(Protocol):
    """Bytes at positions that count from 0.

    Attributes:
        size: the bytes there are, or None where only the end will tell.
    """

    size: int | None

    def read(self, position: int, limit: int) -> bytes:
        """Between 1 and `limit` bytes from `position`; b"" exactly at the end.

        Raises:
            InputError: the source does not reach that far, or cannot go back to there.
        """


class SeekableSource:
    """A file, or bytes in memory: any position may be read at any time."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._origin = file.tell()
        self._size = file.seek(0, io.SEEK_END) - self._origin
        self.size: int | None = self._size

    def read(self, position: int, limit: int) -> bytes:
        """See `Source.read`."""
        if not 0 <= position <= self._size:
            raise _out_of_reach(position, self._size)
        self._file.seek(self._origin + position)
        return self._file.read(
            min(limit, self._size - position)
        )  # what a growing file gains is not of this call


class StreamSource:
    """A pipe or an iterator: read once, in order; only the piece last read can be read again.

    That piece is what the server has not acknowledged, so a lost connection costs nothing.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.size: int | None = None
        self._pieces = pieces
        self._held = b""
        self._start = 0  # position of the first byte held

    def read(self, position: int, limit: int) -> bytes:
        """See `Source.read`."""
        if position < self._start:
            raise _out_of_reach(position, None)
        while position >= self._start + len(self._held):
            piece = next(self._pieces, b"")
            if not piece:
                if position > self._start + len(self._held):
                    raise _out_of_reach(position, self._start + len(self._held))
                return b""
            self._start += len(self._held)
            self._held = piece
        self._held = self._held[position - self._start :]
        self._start = position
        return self._held[:limit]


def open_source(text: Text, piece_bytes: int) -> Source:
    """A source over bytes, a string, a binary file (or pipe), or an iterable of pieces.

    Args:
        text: strings are sent as UTF-8. Pieces of an iterable are gathered up to `piece_bytes`; what
            a pipe gives is sent as it comes.
        piece_bytes: bytes a piece at most.

    Raises:
        InputError: the file was opened in text mode.
    """
    if isinstance(text, str):
        text = text.encode()
    if isinstance(text, bytes | bytearray | memoryview):
        return SeekableSource(io.BytesIO(text))
    if isinstance(text, io.TextIOBase):
        raise InputError("open the file in binary mode ('rb'): the text is sent as it stands")
    if hasattr(text, "read"):
        file: BinaryIO = text  # type: ignore[assignment]  # told by its method: mypy cannot narrow a union so
        return SeekableSource(file) if file.seekable() else StreamSource(_as_it_comes(file, piece_bytes))
    return StreamSource(_gathered(text, piece_bytes))


def _as_it_comes(file: BinaryIO, piece_bytes: int) -> Iterator[bytes]:
    read = getattr(
        file, "read1", file.read
    )  # read1 returns what is there instead of waiting for a full piece
    while piece := read(piece_bytes):
        yield piece


def _gathered(pieces: Iterable[bytes | str], piece_bytes: int) -> Iterator[bytes]:
    waiting = bytearray()
    for piece in pieces:
        waiting += piece.encode() if isinstance(piece, str) else piece
        while len(waiting) >= piece_bytes:
            yield bytes(waiting[:piece_bytes])
            del waiting[:piece_bytes]
    if waiting:
        yield bytes(waiting)


def _out_of_reach(position: int, size: int | None) -> InputError:
    if position < 0:
        return InputError(
            f"the session ends {-position} bytes before the place where this text is to start: "
            "send what comes before it first"
        )
    if size is None:
        return InputError(
            f"the server asks for byte {position} of the stream again, which is gone: send the whole text "
            "again, from a file"
        )
    return InputError(
        f"the session already holds {position} bytes from where this text starts, and the text has only "
        f"{size}: it is not the text that was sent (to add it after what is there, send it at the end)"
    )
