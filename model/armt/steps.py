"""The steps of a tokenizer before its model, as its JSON has them: what they put before texts and words."""

from __future__ import annotations

import copy
import re
from typing import Any

Node = dict[str, Any]

_OPENING = '"\u2018\u201c\u00ab([{<>*_|:=\u2013\u2014,;/#`~+@\\\t'
AS_WITHIN = {r"\r\n": "\n", r"\n(?=\S)": "\n ", rf"(?<=[{re.escape(_OPENING)}])(?=\p{{L}})": " "}
"""What Replace normalizers put for patterns: lines end alike in files of any origin, and a word that begins
one, or stands behind a mark that opens or parts something, is the tokens that it is behind a space."""
_PAST = {r"\r\n": "\r", r"\n(?=\S)": "\n"}
_BEHIND = re.compile(r"\(\?<=\[((?:\\\W|[^\\\[\]^&-])+)\]\)\(\?=\\p\{L\}\)")


def has_prefix(spec: Node) -> bool:
    """Whether the tokenizer puts something before a text."""
    return (
        any(step["type"] == "Prepend" for step in normalizers(spec))
        or any(step.get("prepend_scheme", "never") != "never" for step in pretokenizers(spec))
        or any(step.get("add_prefix_space", False) for step in pretokenizers(spec))
    )


def without_prefix(spec: Node) -> Node:
    """The same tokenizer for a text that goes on: it puts nothing before it."""
    spec = copy.deepcopy(spec)
    steps = [step for step in normalizers(spec) if step["type"] != "Prepend"]
    spec["normalizer"] = {"type": "Sequence", "normalizers": steps} if steps else None
    for step in pretokenizers(spec):
        if step["type"] == "Metaspace":
            step["prepend_scheme"] = "never"
        if step["type"] == "ByteLevel":
            step["add_prefix_space"] = False
    return spec


def normalizers(spec: Node) -> list[Node]:
    """One after the other, however they are nested."""
    return _flat(spec["normalizer"], "normalizers")


def pretokenizers(spec: Node) -> list[Node]:
    """Likewise."""
    return _flat(spec["pre_tokenizer"], "pretokenizers")


def _flat(node: Node | None, key: str) -> list[Node]:
    if node is None:
        return []
    return [step for part in node[key] for step in _flat(part, key)] if node["type"] == "Sequence" else [node]


def looks_past(step: Node) -> str:
    """The characters past which a step looks at what follows, if it is as in `AS_WITHIN`, of any marks."""
    pattern, content = step.get("pattern", {}).get("Regex", ""), step.get("content")
    if content == " " and (marks := _BEHIND.fullmatch(pattern)):
        return re.sub(r"\\(.)", r"\1", marks[1], flags=re.DOTALL)
    return _PAST.get(pattern, "") if AS_WITHIN.get(pattern) == content else ""
