# ruff: noqa: RUF001  text of many scripts is what they are trained on
"""Small tokenizers of every known family, trained in milliseconds, and texts to try on them."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from armt.steps import AS_WITHIN

if TYPE_CHECKING:
    from collections.abc import Callable

SPECIAL_TOKENS = ["<unk>", "<s>", "</s>", "<|question|>", "<|end|>"]

GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_PATTERN = LLAMA3_PATTERN.replace("{1,3}", "")
CL100K_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)

TEXT = [
    "It's the traveller's tale: they've gone, we'll see, I'm told, you'd know, she can't, you're right.",
    "Mary went to the kitchen. John moved to the garden.\n\nWhere is Mary?\r\nThe kitchen.\n",
    "In 1984, 12345 of 67890 people (about 18.2%) paid $3.50   for   tea;\t\tnone left.    \n",
    "    def f(x):\n        return x ** 2  # a    comment\n\n\n",
    "Yes.\nNo.\nYes.\r\nNo!\n\nWhere?\nHere.\n",
    "玛丽去了厨房。约翰去了花园。玛丽在哪里？厨房。 東京 東京都 日本語",
    "Ça va été café naïve Ωμέγα Привет мир. नमस्ते दुनिया สวัสดี 👍🏽 \U0001f469\u200d\U0001f467 🙂🙂",
    "a <b> and a </b>, <|neither|> special nor (a|b)...",
] * 3


def _trained(tokenizer: Tokenizer, *, alphabet: bool = False) -> Tokenizer:
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else [],
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def byte_level(pretokenizer: pre_tokenizers.PreTokenizer) -> Tokenizer:
    """A byte-level BPE."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pretokenizer
    tokenizer.decoder = decoders.ByteLevel()
    return _trained(tokenizer, alphabet=True)


def split_then_bytes(pattern: str) -> Tokenizer:
    """A byte-level BPE of the Llama-3 kind: a splitting pattern of its own."""
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    return byte_level(
        pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    )


def gpt2(*, prefix: bool = False) -> Tokenizer:
    """GPT-2; with `prefix` as RoBERTa has it."""
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=prefix))


def digits_then_bytes() -> Tokenizer:
    """SmolLM: every digit alone, then GPT-2."""
    return byte_level(
        pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    )


def gpt2_as_within(*, lines_only: bool = False) -> Tokenizer:
    """GPT-2 with a space put before words that begin a line; and a text, or that stand behind a mark."""
    tokenizer = gpt2(prefix=not lines_only)
    steps = [normalizers.Replace(Regex(pattern), put) for pattern, put in AS_WITHIN.items()]
    tokenizer.normalizer = steps[1] if lines_only else normalizers.Sequence(steps)
    return tokenizer


def neox() -> Tokenizer:
    """GPT-NeoX: NFC, GPT-2, and added tokens for runs of spaces, which are not special."""
    tokenizer = gpt2()
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in (2, 3, 4, 8)])
    return tokenizer


def qwen2() -> Tokenizer:
    """Qwen2 and Qwen3: NFC, a splitting pattern, and added tokens that are not special."""
    tokenizer = split_then_bytes(QWEN2_PATTERN)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC()])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ("<think>", "</think>", "<th")])
    return tokenizer


def metaspace(prepend: str, *, split: bool) -> Tokenizer:
    """SentencePiece as newer conversions have it; trained on words, whether it splits them or not."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend, split=True)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=prepend)
    _trained(tokenizer)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend, split=split)
    return tokenizer


def llama2(*, byte_fallback: bool = True, fuse_unk: bool = True) -> Tokenizer:
    """SentencePiece as Llama-2 has it: a prepending normalizer, no pre-tokenizer, byte fallback."""
    trained = json.loads(metaspace("always", split=True).to_str())["model"]
    rare = set("ΩμέγαПривет東ัस🙂\n\t$")  # left to byte fallback
    tokens = [token for token in trained["vocab"] if rare.isdisjoint(token)]
    tokens += [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={token: i for i, token in enumerate(tokens)},
            merges=[tuple(merge) for merge in trained["merges"] if rare.isdisjoint("".join(merge))],
            unk_token="<unk>",
            fuse_unk=fuse_unk,
            byte_fallback=byte_fallback,
        )
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    return tokenizer


def merging_across_words() -> Tokenizer:
    """A BPE of whole lines: its tokens reach over spaces, so few cuts are safe."""
    return _trained(Tokenizer(models.BPE(unk_token="<unk>")))


FAMILIES: dict[str, Callable[[], Tokenizer]] = {
    "gpt2": gpt2,
    "gpt2-as-within": gpt2_as_within,
    "gpt2-lines": functools.partial(gpt2_as_within, lines_only=True),
    "gpt2-prefix": functools.partial(gpt2, prefix=True),
    "gpt2-as-split": functools.partial(split_then_bytes, GPT2_PATTERN),
    "digits": digits_then_bytes,
    "neox": neox,
    "llama3": functools.partial(split_then_bytes, LLAMA3_PATTERN),
    "cl100k": functools.partial(split_then_bytes, CL100K_PATTERN),
    "qwen2": qwen2,
    **{
        f"metaspace-{prepend}-{'split' if split else 'whole'}": functools.partial(
            metaspace, prepend, split=split
        )
        for prepend in ("first", "always", "never")
        for split in (True, False)
    },
    "llama2": llama2,
    "llama2-unknown-fused": functools.partial(llama2, byte_fallback=False),
    "llama2-unknown-apart": functools.partial(llama2, byte_fallback=False, fuse_unk=False),
    "merging-across-words": merging_across_words,
}


@functools.cache
def family(name: str) -> Tokenizer:
    """The tokenizer of a family, trained once in a process; not to be changed."""
    return FAMILIES[name]()


def whole(tokenizer: Tokenizer, text: str) -> list[int]:
    """What is to be matched: one call of the library on the whole text."""
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.encode_special_tokens = True
    return plain.encode(text, add_special_tokens=False).ids


# The strings whose code points matter are escaped: signs that NFC changes, marks, Jamo, odd white space.
FRAGMENTS = [
    *SPECIAL_TOKENS,
    *("<|que", "<think>", "<th", "ink>", "</think"),
    *(" ", "  ", "   ", " " * 9, "\t", "\u00a0", "\u3000", "\u2028", "\x85"),
    *("\n", "\n\n", "\r", "\r\n", " \n "),
    *("▁", "▁▁", " ▁"),
    *("'", "'s", "'S", "'ll", "'re", "'ve", "it's", "they'll", "'\u017f"),
    *("Mary", "kitchen", "a", "e", "the"),
    *("\u0629", "\u03a9", "\u2126", "\u212b", "\u0958", "\u0915", "\u093c"),
    *("1", "12", "123", "1234", "1,234.5", "²", "\u2167", "\u0663"),
    *(".", ".\n", "...", "!?", "==", "=", "\u0338", "\u00a8", "€", "(", "_", "-"),
    *('"', "\u201c", "\u2014", '"a', "[Mary", "(\n", ' "'),
    *("玛丽", "去了厨房。", "東京", "\uac00", "\u1100", "\u1161", "\u11a8", "か", "\u3099", "ก็", "ำ"),
    *("🙂", "\U0001f469\u200d\U0001f467", "👍🏽", "\u0301", "\u0323", "\u200d", "\ufeff", "\x00", "\ufffd"),
    *("\U0001d161", "\U00016d67", "\U00020000"),
]
_characters = st.characters(codec="utf-8")
_pieces = st.one_of(st.sampled_from(FRAGMENTS), st.text(_characters, max_size=3))
texts = st.lists(_pieces, max_size=24).map("".join)
