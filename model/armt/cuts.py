"""Where a text may be cut so that its parts, tokenised apart, give the ids of the whole.

A tokenizer is read once, as its JSON, into a rule `safe(a, b)`: is a cut between the neighbours a and b
safe in every text? A rule that looks at two characters is decided as soon as b is there, does not depend on
how the text arrived, and costs next to nothing. Each rule has its proof beside it; a tokenizer for which
there is none is refused by name.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from typing import TYPE_CHECKING

from tokenizers import Regex, pre_tokenizers

from armt.errors import ConfigError
from armt.steps import has_prefix, looks_past, normalizers, pretokenizers

if TYPE_CHECKING:
    from collections.abc import Callable

    from armt.steps import Node

    Cut = Callable[[str, str], bool]

# The alternatives of which a known splitting pattern consists; one of each of the first four must be there.
_LETTERS = {r" ?\p{L}+", r"[^\r\n\p{L}\p{N}]?\p{L}+", r"[^\r\n\p{L}\p{N}]?+\p{L}+"}
_NUMBERS = {r" ?\p{N}+", r"\p{N}", r"\p{N}+", r"\p{N}{1,2}", r"\p{N}{1,3}"}
_OTHERS = {rf" ?[^\s\p{{L}}\p{{N}}]{more}" for more in ("+", r"+[\r\n]*", r"++[\r\n]*")}
_SPACES = {r"\s+"}
_CONTRACTIONS = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}
_CONTRACTIONS |= {r"(?i:'s|'t|'re|'ve|'m|'ll|'d)", r"'(?i:[sdmt]|ll|ve|re)"}
_KNOWN = _LETTERS | _NUMBERS | _OTHERS | _SPACES | _CONTRACTIONS
_KNOWN |= {r"\s*[\r\n]+", r"\s*[\r\n]", r"\s+(?!\S)"}

# A character's class is asked of the engine that runs the patterns, so that both know the same Unicode.
_CLASSES = {
    name: pre_tokenizers.Split(Regex(pattern), "removed")
    for name, pattern in (
        ("letter", r"\p{L}"),
        ("number", r"\p{N}"),
        ("newline", r"[\r\n]"),
        ("space", r"\s"),
    )
}
_BYTE_TOKEN = re.compile("<0x[0-9A-F]{2}>")


def safe_cut(spec: Node) -> Cut:
    """The rule for a tokenizer.

    Args:
        spec: the tokenizer's JSON.

    Raises:
        ConfigError: no rule is proven for a part of this tokenizer; names the part and what is known.
    """
    _check_model(spec)
    rules = [_pretokens_rule(spec)]
    if _normalizes_to_nfc(spec):
        rules.append(lambda a, b: _nfc_inert(a) and _nfc_inert(b))
    if heeded := "".join(map(looks_past, normalizers(spec))):
        rules.append(lambda a, _: a not in heeded)
    if any(not token["special"] for token in spec["added_tokens"]):
        rules.append(_added_rule(spec))
    return lambda a, b: all(rule(a, b) for rule in rules)


def _check_model(spec: Node) -> None:
    """Refuse what depends on chance, and what would let plain text pass for a special token."""
    model = spec["model"]
    if model["type"] != "BPE":
        raise ConfigError(f"a tokenizer's model must be a BPE, not a {model['type']}")
    if model["dropout"]:
        raise ConfigError("a tokenizer with BPE dropout gives other ids each time: set dropout to null")
    spelled = {"".join(_parts(merge)) for merge in model["merges"]} | {
        token for token in model["vocab"] if len(token) == 1
    }
    if model["ignore_merges"]:
        spelled |= model["vocab"].keys()
    for token in spec["added_tokens"]:
        if token["special"] and token["content"] in spelled:
            raise ConfigError(
                f"plain text can spell the special token {token['content']!r}: take it out of the merges"
            )


def _parts(merge: str | list[str]) -> list[str]:
    return merge.split(" ") if isinstance(merge, str) else merge


def _pretokens_rule(spec: Node) -> Cut:
    """The rule of the pre-tokenizer and the model, told of characters before the normalizer."""
    images = _images(spec)
    steps = pretokenizers(spec)
    kinds = [step["type"] for step in steps]
    if not kinds:
        return _bigram_rule(spec, images)
    if kinds == ["Metaspace"]:
        mark = steps[0]["replacement"]
        images = {c: images.get(c, c).replace(" ", mark) for c in {" ", *images}}
        if not steps[0]["split"]:
            return _bigram_rule(spec, images)
        # Each mark begins a pretoken. Inside of a pretoken a cut is as safe as without pretokens.
        inner = _bigram_rule(spec, images) if _merges_by_neighbours(spec) else lambda _a, _b: False
        return lambda a, b: images.get(b, b) == mark or inner(a, b)
    if images:
        raise ConfigError("a Replace normalizer is known only with Metaspace or no pre-tokenizer")
    return _runs_rule(steps)


def _runs_rule(steps: list[Node]) -> Cut:
    r"""The rule of byte-level tokenizers: a cut where a run of letters, numbers or others ends.

    A pattern is taken apart into its alternatives, each one known. None of them matches a letter before a
    non-letter, a number before a non-number, or another visible character before a number or white space
    other than \r and \n; so a match ends at every such place p. Matches up to p are the same when the text
    ends there: no path to one leads beyond p, nothing looks behind, and the one lookahead, (?!\S), follows
    white space and thus never stands at p. Digits, in front, splits between single characters only.
    """
    kinds = [step["type"] for step in steps]
    core = kinds[1:] if kinds[0] == "Digits" else kinds
    splits = core == ["Split", "ByteLevel"] and _isolates_runs(steps[-2])
    if not splits and not (core == ["ByteLevel"] and steps[-1]["use_regex"]):
        raise ConfigError(
            f"the pre-tokenizer {' + '.join(kinds)} cannot be streamed: known are ByteLevel with its regex,"
            " Split by a GPT-2, Llama-3 or Qwen2 pattern + ByteLevel, either after Digits, Metaspace,"
            " and none"
        )
    if steps[-1]["add_prefix_space"] and len(steps) > 1:
        raise ConfigError("add_prefix_space is known only for a ByteLevel pre-tokenizer that stands alone")
    return _ends_run


def _isolates_runs(split: Node) -> bool:
    """Whether a Split makes every match of known alternatives a pretoken, and leaves no character out."""
    pattern = split["pattern"].get("Regex", "")
    # A bar inside of a group or a class does not part alternatives.
    found = re.findall(r"(?:\([^()]*\)|\[[^\]]*\]|[^|(\[])+", pattern)
    return (
        (split["behavior"], split["invert"]) in {("Isolated", False), ("Removed", True)}
        and "|".join(found) == pattern
        and _KNOWN.issuperset(found)
        and all(not some.isdisjoint(found) for some in (_LETTERS, _NUMBERS, _OTHERS, _SPACES))
    )


def _ends_run(a: str, b: str) -> bool:
    before, after = _class(a), _class(b)
    if before in {"letter", "number"}:
        return before != after
    return before == "other" and after in {"number", "space"}


@functools.lru_cache(maxsize=4096)
def _class(char: str) -> str:
    return next((name for name, split in _CLASSES.items() if not split.pre_tokenize_str(char)), "other")


def _bigram_rule(spec: Node, images: dict[str, str]) -> Cut:
    """The rule of a BPE without pretokens: a cut between neighbours that stand together in no token.

    A merge across the cut a|b would make a token that contains ab. If there is none, the merges on either
    side go on as if alone: they are taken by rank and then from the left, and neither order is changed by
    what is elsewhere. A character out of the vocabulary becomes byte tokens or the unknown token, which no
    merge takes; neighbouring unknown characters may be fused, so they are not parted.
    """
    if not _merges_by_neighbours(spec):
        raise ConfigError(
            "a tokenizer that does not split at spaces is known only with a plain BPE:"
            " without NFC, ignore_merges, affixes, and merges of byte tokens or the unknown token"
        )
    vocab, fallback = spec["model"]["vocab"], spec["model"]["byte_fallback"]
    all_bytes = all(f"<0x{byte:02X}>" in vocab for byte in range(256))
    together = {pair for token in vocab for pair in itertools.pairwise(token)}

    def safe(a: str, b: str) -> bool:
        a, b = images.get(a, a), images.get(b, b)
        if a in vocab and b in vocab:
            return (a, b) not in together
        return all_bytes if fallback else a in vocab or b in vocab

    return safe


def _merges_by_neighbours(spec: Node) -> bool:
    """Whether the proof of `_bigram_rule` holds for the model."""
    model = spec["model"]
    options = ("ignore_merges", "continuing_subword_prefix", "end_of_word_suffix")
    if any(model[option] for option in options) or _normalizes_to_nfc(spec):
        return False
    parts = {part for merge in model["merges"] for part in _parts(merge)}
    return model["unk_token"] not in parts and not any(_BYTE_TOKEN.fullmatch(part) for part in parts)


def _images(spec: Node) -> dict[str, str]:
    """What Replace steps make of single characters.

    Putting one character for one is blind to neighbours, so it commutes with cutting. Prepend concerns the
    very start alone: `without_prefix` takes it off later parts.
    """
    images: dict[str, str] = {}
    if _normalizes_to_nfc(spec):
        return images
    for step in normalizers(spec):
        if looks_past(step):
            continue
        if step["type"] not in {"Prepend", "Replace"}:
            raise ConfigError(
                f"the normalizer {step['type']} cannot be streamed: known are none, NFC alone, Prepend,"
                r" and Replace, of one character by one, of \r\n by \n, or to put a space before words"
            )
        if step["type"] == "Replace":
            old, new = step["pattern"].get("String", ""), step["content"]
            if len(old) != 1 or len(new) != 1:
                raise ConfigError("of the normalizer Replace only one character for one can be streamed")
            images = {c: new if image == old else image for c, image in {old: old, **images}.items()}
    return images


def _normalizes_to_nfc(spec: Node) -> bool:
    return [step["type"] for step in normalizers(spec)] == ["NFC"]


def _nfc_inert(char: str) -> bool:
    """Whether NFC neither changes `char` nor composes it with what stands before.

    Between inert a and b, the NFC of the parts is that of the whole, the left part ends in a, and the right
    part begins with b or a composition of the class of b. Only marks and conjoining Jamo compose with what
    is before them; new scripts above the first plane may bring others.
    """
    kind = unicodedata.category(char)
    return (
        char < "\U00010000"
        and not "\u1100" <= char <= "\u11ff"
        and kind[0] != "M"
        and kind != "Cn"
        and unicodedata.normalize("NFC", char) == char
    )


def _added_rule(spec: Node) -> Cut:
    """The rule of added tokens that are matched inside of a text: no cut inside of one.

    An occurrence across the cut a|b contains ab. Special tokens count too: one that is passed over as plain
    text still hides what overlaps it.
    """
    steps = normalizers(spec)
    for token in spec["added_tokens"]:
        name = token["content"]
        if not token["special"] and (token["lstrip"] or token["rstrip"] or token["single_word"]):
            raise ConfigError(f"the added token {name!r} looks at its neighbours: make it special")
        if not token["special"] and (has_prefix(spec) or _images(spec) or any(map(looks_past, steps))):
            raise ConfigError(f"the added token {name!r} stands beside a prefix or Replace: make it special")
        if not name.isascii() and _normalizes_to_nfc(spec):
            raise ConfigError(f"the added token {name!r} stands beside NFC, not ASCII: make all special")
    contents = [token["content"] for token in spec["added_tokens"]]
    inside = {pair for content in contents for pair in itertools.pairwise(content)}
    return lambda a, b: (a, b) not in inside
