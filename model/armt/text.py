"""Text that arrives in pieces, as the very token ids that the whole text would give.

Bytes are kept back until a cut that is proven safe (`armt.cuts`) has appeared after them, and no longer: what
is kept is a function of the bytes so far, however they were split. A cut is looked for in new bytes only,
so the work is linear. Ordinary text has a safe cut at nearly every word (in byte-level tokenizers, after
every run of letters or numbers); a text without any, such as a long run of one letter, is kept whole.
"""

from __future__ import annotations

import codecs
import functools
import json
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from armt.cuts import safe_cut
from armt.errors import CheckpointError, TextError
from armt.steps import has_prefix, without_prefix

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_BLOCK = 1 << 16  # bytes tokenised at once: the tokenizer needs some hundred bytes of memory for each
_CONTEXT = 7  # bytes that surely hold the last whole character and an incomplete one after it
_CONTINUATION = bytes(range(0x80, 0xC0))  # what a character's second to fourth byte can be


def validate_utf8(carry: bytes, data: bytes, offset: int) -> bytes:
    """Check the next bytes of a stream.

    Args:
        carry: the incomplete character before `data`, see `utf8_carry`.
        data: what arrived.
        offset: position of `data[0]` in the stream.

    Returns:
        The new carry, 0 to 3 bytes.

    Raises:
        TextError: with the stream position of the first byte of the bad sequence.
    """
    return _decode(carry + data, offset - len(carry))[1]


def utf8_carry(last_bytes: bytes) -> bytes:
    """The incomplete character, 0 to 3 bytes, at the end of valid UTF-8, of which the last bytes are given.

    Args:
        last_bytes: the last three bytes or more; fewer only if there are no more.
    """
    end = last_bytes[-3:]
    _, used = codecs.utf_8_decode(end, "ignore", False)  # ignores the end of a character that began before
    return end[used:]


def _decode(data: bytes, offset: int) -> tuple[str, bytes]:
    """The whole characters of `data`, and the bytes of an incomplete one after them."""
    try:
        text, used = codecs.utf_8_decode(data, "strict", False)
    except UnicodeDecodeError as error:
        raise TextError(offset + error.start) from None
    rest = data[used:]
    if rest[:1] == b"\xed" and rest[1:] >= b"\xa0":  # a surrogate, of which Python awaits the third byte
        raise TextError(offset + used)
    return text, rest


class TextState:
    """Undecided text: a value, equal to any other with the same bytes.

    Its bytes lie in pieces, each longer than the next, so that adding a byte copies few of them.
    """

    __slots__ = ("_pieces", "_started")

    def __init__(self, pending: bytes = b"", *, started: bool = False) -> None:
        self._pieces = (pending,) if pending else ()
        self._started = started

    @property
    def pending(self) -> bytes:
        """Bytes that are accepted but not yet tokenised."""
        return b"".join(self._pieces)

    @property
    def started(self) -> bool:
        """Whether anything before them was tokenised; the very start of a text may get a prefix."""
        return self._started

    def with_more(self, data: bytes) -> TextState:
        """The same with `data` after what is pending; amortised, a byte is copied log(pending) times."""
        pieces = [*self._pieces, data]
        while len(pieces) > 1 and len(pieces[-2]) <= len(pieces[-1]):
            pieces[-2:] = [pieces[-2] + pieces[-1]]
        state = TextState(started=self._started)
        state._pieces = tuple(pieces)
        return state

    def last(self, size: int) -> bytes:
        """The last `size` bytes, or all if there are fewer."""
        return b"".join(piece[-size:] for piece in self._pieces[-size:])[-size:]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TextState):
            return NotImplemented
        return (self.pending, self.started) == (other.pending, other.started)

    def __hash__(self) -> int:
        return hash((self.pending, self.started))

    def __repr__(self) -> str:
        return f"TextState({self.pending!r}, started={self.started})"


class StreamTokenizer:
    """A tokenizer that can be fed in pieces. Immutable: any thread may use it, the state is the caller's.

    Special tokens that stand in a text are plain text, except in `encode_template`.

    Raises:
        ConfigError: it is not known where texts may be cut for this kind of tokenizer.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        spec = json.loads(tokenizer.to_str())
        spec["truncation"] = spec["padding"] = None
        self._safe = functools.lru_cache(maxsize=1 << 16)(safe_cut(spec))
        self._template = Tokenizer.from_str(json.dumps(spec))
        self._whole = _plain(json.dumps(spec))
        self._later = _plain(json.dumps(without_prefix(spec))) if has_prefix(spec) else self._whole

    @classmethod
    def from_file(cls, path: str | Path) -> StreamTokenizer:
        """Read a `tokenizer.json`.

        Raises:
            CheckpointError: there is no such file, or it is not a tokenizer.
            ConfigError: see the class.
        """
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception
            raise CheckpointError(f"{path} is not a readable tokenizer.json: {error}") from error
        return cls(tokenizer)

    def to_json(self) -> str:
        """The tokenizer as the text of its `tokenizer.json`; the same for equal tokenizers."""
        return self._template.to_str()

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens included."""
        return self._whole.get_vocab_size(with_added_tokens=True)

    @property
    def vocabulary(self) -> dict[str, int]:
        """The tokens as the tokenizer writes them, and their ids; added tokens included."""
        return self._whole.get_vocab(with_added_tokens=True)

    def token_id(self, text: str) -> int | None:
        """The id of the token that is spelled `text`, special tokens included."""
        return self._whole.token_to_id(text)

    def feed(self, state: TextState, data: bytes) -> tuple[list[int], TextState]:
        """Add the next bytes of a stream.

        Args:
            state: what the last call returned, or `TextState()` at the start.
            data: the next bytes; they may begin and end anywhere in a character.

        Returns:
            The ids that are decided by now, and the state for the next call.

        Raises:
            TextError: not UTF-8. Its offset counts from `data[0]`: negative, if the sequence began before.
        """
        ids: list[int] = []
        for start in range(0, len(data), _BLOCK):
            more, state = self._feed_block(state, data[start : start + _BLOCK], start)
            ids += more
        return ids, state

    def _feed_block(self, state: TextState, data: bytes, offset: int) -> tuple[list[int], TextState]:
        context = state.last(_CONTEXT).lstrip(_CONTINUATION)  # from a character's first byte on
        text, rest = _decode(context + data, offset - len(context))
        cut = next((i for i in range(len(text) - 1, 0, -1) if self._safe(text[i - 1], text[i])), 0)
        if not cut:
            return [], state.with_more(data)
        kept = text[cut:].encode() + rest
        decided = (state.pending + data)[: -len(kept)]
        return self._encode(decided.decode(), started=state.started), TextState(kept, started=True)

    def finish(self, state: TextState) -> list[int]:
        """The ids of the undecided rest when no more text follows; an incomplete character is left out."""
        text, _ = _decode(state.pending, 0)
        return self._encode(text, started=state.started)

    def encode(self, text: str, *, begins: bool = True) -> list[int]:
        """The ids of a whole text, or one that goes on; special tokens in it are plain text.

        Raises:
            TextError: the string holds a lone surrogate, which no UTF-8 has.
        """
        return self._encode(text, started=not begins)

    def encode_template(self, text: str) -> list[int]:
        """The ids of trusted text: special tokens in it are recognised."""
        return list(self._template.encode(text, add_special_tokens=False).ids)

    def _encode(self, text: str, *, started: bool) -> list[int]:
        try:
            return list((self._later if started else self._whole).encode(text, add_special_tokens=False).ids)
        except TypeError:
            position = next(i for i, char in enumerate(text) if "\ud800" <= char <= "\udfff")
            raise TextError(len(text[:position].encode())) from None

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, without special tokens; incomplete characters become U+FFFD."""
        return self._whole.decode(list(ids), skip_special_tokens=True)

    def delta(self, ids: Sequence[int], emitted: int, *, final: bool = False) -> tuple[str, int]:
        """What a streaming answer may show next.

        Args:
            ids: all ids so far.
            emitted: characters shown so far, as the last call returned; 0 at the start.
            final: no more ids will come, so an incomplete character is not awaited.

        Returns:
            The new text, empty while a character is incomplete, and the new `emitted`.
        """
        text = self.decode(ids)
        if text.endswith("\ufffd") and not final:
            return "", emitted
        return text[emitted:], max(emitted, len(text))


def _plain(spec: str) -> Tokenizer:
    """A tokenizer for which special tokens in a text are plain text."""
    tokenizer = Tokenizer.from_str(spec)
    tokenizer.encode_special_tokens = True
    return tokenizer
