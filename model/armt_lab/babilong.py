"""The composer of BABILong (arXiv 2406.10149): the facts of a story hidden in a long background text.

Facts keep their order and stand at random sentence boundaries of the background, which is otherwise
untouched; the question comes after the text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Iterator

    from armt_lab.babi import Sample


class BackgroundTooShortError(ValueError):
    """The background ended before the text was long enough."""


@dataclasses.dataclass(frozen=True, slots=True)
class Composed:
    """A long text with facts in it, and what to ask of it.

    Attributes:
        text: background and facts; the question is not in it.
        question: to be asked at the end of the text.
        answer: the right one.
        fact_offsets: where each fact begins in `text`, in characters, rising.
    """

    text: str
    question: str
    answer: str
    fact_offsets: tuple[int, ...]


def utf8_length(text: str) -> int:
    """Bytes of `text` in UTF-8: the measure where no tokenizer is at hand."""
    return len(text.encode())


def compose(
    sample: Sample,
    background: Iterator[str] | Sequence[str],
    length: int,
    measure: Callable[[str], int],
    rng: random.Random,
) -> Composed:
    """Hide the facts of `sample` in `background`.

    Args:
        sample: facts, question and answer.
        background: sentences, each with the white space that follows it. A sequence is read from a random
            sentence on, round and round; of an iterator the next sentences are taken, and the first one
            that no longer fits is lost.
        length: what the text with the question should measure; it is less by at most one sentence. Facts
            are never left out: where they alone are longer, the text is the facts without any background.
        measure: length of a piece, tokens or bytes; each sentence is measured alone.
        rng: where the facts go, and where in a sequence the background begins.

    Raises:
        BackgroundTooShortError: the iterator ended, or the sequence is empty, before the length was reached.
    """
    pieces = [fact.strip() + " " for fact in sample.facts]
    left = length - sum(map(measure, pieces)) - measure(sample.question)
    noise = _fitting(_endless(background, rng), left, measure)
    # A fact at boundary i stands before sentence i; sorting keeps the order of the story.
    boundaries = sorted(rng.randrange(len(noise) + 1) for _ in pieces)
    text: list[str] = []
    offsets: list[int] = []
    written = done = 0
    for boundary, piece in zip(boundaries, pieces, strict=True):
        text += noise[done:boundary]
        written += sum(map(len, noise[done:boundary]))
        offsets.append(written)
        text.append(piece)
        written += len(piece)
        done = boundary
    text += noise[done:]
    return Composed("".join(text), sample.question, sample.answer, tuple(offsets))


def _endless(background: Iterator[str] | Sequence[str], rng: random.Random) -> Iterable[str]:
    if not isinstance(background, Sequence):
        return background
    return _round_and_round(background, rng.randrange(len(background))) if background else ()


def _round_and_round(sentences: Sequence[str], start: int) -> Iterator[str]:
    while True:
        for i in range(start, len(sentences)):
            yield sentences[i]
        start = 0


def _fitting(sentences: Iterable[str], room: int, measure: Callable[[str], int]) -> list[str]:
    """The first sentences that fit into `room`, each ending in white space so that a fact may follow."""
    taken: list[str] = []
    if room <= 0:
        return taken
    for sentence in sentences:
        piece = sentence if sentence[-1:].isspace() else sentence + " "
        room -= measure(piece)
        if room < 0:
            return taken
        taken.append(piece)
    raise BackgroundTooShortError(
        f"the background ended {room} short of the length asked for: give more text"
    )
