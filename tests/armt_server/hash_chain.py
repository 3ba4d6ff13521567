"""A fake model, named as such: its memory is a hash chain over the segments, so equality is exact.

Whatever order, batch or restart the segments came through, a memory tells whether they were the right ones,
in the right order, each once. Its answers are a hash of the memory and the prompt, spelled in letters.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

import torch

import tiny
from armt.checkpoint import Checkpoint, PromptTemplate
from armt.errors import PositionError
from armt.state import MemoryState
from armt.text import StreamTokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from armt.sampling import Sampling

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TEMPLATE = PromptTemplate(before="<|question|>", after="<|answer|>", stop=("<|end|>",), closing="\n")


class HashChain:
    """Stands where an `ArmtModel` stands.

    Args:
        max_segments: of a session, after which it has no positions left; None for no end.

    Attributes:
        batches: the number of rows of each absorption so far.
        gate: absorption waits while it is not set.
        arrived: set when an absorption has come to the gate.
    """

    def __init__(self, *, max_segments: int | None = None) -> None:
        self.config = tiny.config(segment_size=8)
        self.words = None  # it copies none
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Event()
        self._max_segments = max_segments

    def empty_state(self, batch: int = 1) -> MemoryState:
        return MemoryState.empty(self.config, batch)

    reads_ahead = False

    def absorb_ahead(
        self, runs: Sequence[torch.Tensor], states: Sequence[MemoryState], _pool: object
    ) -> list[tuple[int, MemoryState]]:
        after = self.absorb(torch.cat([run[:1] for run in runs]), MemoryState.cat(states))
        return [(1, after.row(i)) for i in range(len(runs))]

    def absorb(self, ids: torch.Tensor, state: MemoryState) -> MemoryState:
        assert ids.shape == (state.batch, self.config.segment_size)
        self.arrived.set()
        assert self.gate.wait(30), "nobody opened the gate"
        if self._max_segments is not None and int(state.segments.max()) >= self._max_segments:
            raise PositionError("no positions are left: start a new session")
        self.batches.append(state.batch)
        W = torch.stack([_link(state.W[:, i], ids[i]) for i in range(state.batch)], dim=1)
        return MemoryState(W, state.z, state.segments + 1, state.recent)


def _link(W: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    digest = hashlib.sha256(W.numpy().tobytes() + ids.numpy().tobytes()).digest()
    values = torch.frombuffer(bytearray(digest), dtype=torch.uint8).float()
    return values.repeat(W.numel() // len(digest)).reshape(W.shape)


def decode(
    model: HashChain,
    state: MemoryState,
    ids: Sequence[int],
    sampling: Sampling,
    stop_ids: frozenset[int],
    **_: int,
) -> Iterator[int]:
    """Letters that depend on the memory and on all ids; the byte tokenizer's ids of them."""
    state, rest = absorb_full(model, state, ids)
    seed = hashlib.sha256(state.W.numpy().tobytes() + repr(rest).encode()).digest()
    letters = TOKENIZER.encode(LETTERS)
    for n in range(sampling.max_tokens):
        yield letters[hashlib.sha256(seed + bytes([n % 256])).digest()[0] % len(letters)]


def absorb_full(model: HashChain, state: MemoryState, ids: Sequence[int]) -> tuple[MemoryState, list[int]]:
    """Absorb all full segments of `ids`, one after another; the memory and the ids that are left."""
    size = model.config.segment_size
    full = len(ids) // size * size
    for i in range(0, full, size):
        state = model.absorb(torch.tensor([ids[i : i + size]]), state)
    return state, list(ids[full:])


TOKENIZER = StreamTokenizer(tiny.raw_tokenizer())


def checkpoint(model: HashChain | None = None, fingerprint: str = "0" * 64) -> Checkpoint:
    """A checkpoint of the fake model, asked in the way of the models that ship."""
    return Checkpoint(
        model=model or HashChain(),  # type: ignore[arg-type]  # the fake, in the model's place
        tokenizer=TOKENIZER,
        template=TEMPLATE,
        fingerprint=fingerprint,
        name="hash-chain",
    )


def fold_at_once(text: str) -> tuple[MemoryState, list[int]]:
    """The oracle: memory and tail of a text that is read in one piece, one segment after another."""
    model = HashChain()
    return absorb_full(model, model.empty_state(), TOKENIZER.encode(text))


def answer_at_once(text: str, question: str, sampling: Sampling) -> str:
    """The oracle: what the fake model answers about a text."""
    memory, tail = fold_at_once(text)
    encode = TOKENIZER.encode_template
    before, after = encode(TEMPLATE.closing + TEMPLATE.before), encode(TEMPLATE.after)
    prompt = [*before, *TOKENIZER.encode(question), *after]
    return TOKENIZER.decode(list(decode(HashChain(), memory, [*tail, *prompt], sampling, frozenset())))
