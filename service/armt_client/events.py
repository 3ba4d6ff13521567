"""Server-sent events, read from a reply as its bytes come."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from armt_client.errors import UnexpectedReply

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True)
class Event:
    """One event: its name and the JSON object it carries."""

    name: str
    data: dict[str, Any]


def events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """The events in a reply; comments (pings) are left out.

    Args:
        chunks: the body, cut anywhere.

    Raises:
        UnexpectedReply: an event's data is no JSON object.
    """
    name, data = "message", ""
    for line in _lines(chunks):
        label, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if label == "event":
            name = value
        elif label == "data":
            data = f"{data}\n{value}" if data else value
        elif not line:
            if data:
                yield Event(name, _parsed(data))
            name, data = "message", ""


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    # Not httpx's iter_lines: that also cuts at U+2028 and its like, which may stand inside the JSON.
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode(errors="replace")


def _parsed(data: str) -> dict[str, Any]:
    try:
        parsed = json.loads(data)
    except ValueError as error:
        raise UnexpectedReply(f"an event that is not JSON: {data[:200]!r}") from error
    if not isinstance(parsed, dict):
        raise UnexpectedReply(f"an event that is not a JSON object: {data[:200]!r}")
    return parsed
