"""How an answer is to be made."""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003  (a TypedDict's annotations are for readers at run time too)
from typing import TypedDict


class AskOptions(TypedDict, total=False):
    """What may be given beside a question; what is left out (or None) is the server's default.

    Attributes:
        max_tokens: of the answer, at most.
        temperature: 0 takes the likeliest token each time.
        top_p: sample from the likeliest tokens that make up this probability.
        stop: text, or several, at which the answer ends; not part of it.
        seed: the same seed gives the same answer.
    """

    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    stop: str | Sequence[str] | None
    seed: int | None
