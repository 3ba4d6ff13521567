from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from armt.errors import ConfigError
from armt.text import StreamTokenizer, TextState
from tokenizers_zoo import FAMILIES, GPT2_PATTERN, byte_level, family, gpt2, llama2, texts, whole


@pytest.mark.parametrize("name", FAMILIES)
@settings(deadline=None, max_examples=60)
@given(text=texts)
def test_every_cut_taken_for_safe_is_safe(name: str, text: str):
    tokenizer = StreamTokenizer(family(name))
    expected = whole(family(name), text)
    for i in range(1, len(text)):
        if tokenizer._safe(text[i - 1], text[i]):
            later = tokenizer.finish(TextState(text[i:].encode(), started=True))
            assert tokenizer.encode(text[:i]) + later == expected, (text[:i], text[i:])


def _changed(tokenizer: Tokenizer, **parts: object) -> Tokenizer:
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    return tokenizer


def _with_model(tokenizer: Tokenizer, **options: object) -> Tokenizer:
    spec = json.loads(tokenizer.to_str())
    spec["model"] |= options
    return Tokenizer.from_str(json.dumps(spec))


def _with_token(tokenizer: Tokenizer, token: AddedToken) -> Tokenizer:
    tokenizer.add_tokens([token])
    return tokenizer


def _without_special_tokens(tokenizer: Tokenizer) -> Tokenizer:
    return Tokenizer.from_str(json.dumps({**json.loads(tokenizer.to_str()), "added_tokens": []}))


def _special(tokenizer: Tokenizer, token: str) -> Tokenizer:
    tokenizer.add_special_tokens([token])
    return tokenizer


def _sequence(*steps: pre_tokenizers.PreTokenizer) -> Tokenizer:
    return byte_level(pre_tokenizers.Sequence(list(steps)))


_PATTERN = Regex(GPT2_PATTERN)
_BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
REFUSED = {
    "Lowercase": lambda: _changed(gpt2(), normalizer=normalizers.Lowercase()),
    "NFKC": lambda: _changed(
        gpt2(), normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.NFC()])
    ),
    "without NFC": lambda: _changed(llama2(), normalizer=normalizers.NFC()),
    "normalizer Replace only": lambda: _changed(llama2(), normalizer=normalizers.Replace(Regex(" +"), "▁")),
    "one character for one": lambda: _changed(llama2(), normalizer=normalizers.Replace(" ", "")),
    "Replace normalizer": lambda: _changed(gpt2(), normalizer=normalizers.Replace(" ", "_")),
    "only one character for one": lambda: _changed(
        gpt2(), normalizer=normalizers.Replace(Regex(r"(?<=[+-/])(?=\p{L})"), " ")
    ),
    "BertPreTokenizer": lambda: _changed(gpt2(), pre_tokenizer=pre_tokenizers.BertPreTokenizer()),
    "ByteLevel with its regex": lambda: _changed(gpt2(), pre_tokenizer=_BYTES),
    "Split by": lambda: _sequence(
        pre_tokenizers.Split(Regex(GPT2_PATTERN + r"|\p{L}+[.]"), "isolated"), _BYTES
    ),
    "Split \\+ ByteLevel cannot": lambda: _sequence(
        pre_tokenizers.Split(_PATTERN, "merged_with_next"), _BYTES
    ),
    "either after Digits": lambda: _sequence(
        pre_tokenizers.Split(Regex(r"(\s+|\p{L}+)\p{N}?"), "isolated"), _BYTES
    ),
    "stands alone": lambda: _sequence(
        pre_tokenizers.Split(_PATTERN, "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False),
    ),
    "dropout": lambda: _with_model(gpt2(), dropout=0.1),
    "ignore_merges": lambda: _with_model(_without_special_tokens(llama2()), ignore_merges=True),
    "must be a BPE": lambda: Tokenizer(models.Unigram([("a", -1.0)], unk_id=0, byte_fallback=False)),
    "affixes": lambda: _with_model(llama2(), end_of_word_suffix="</w>"),
    "merges of byte": lambda: _with_model(
        llama2(), merges=[["<0x0A>", "<0x0A>"]], vocab={"<0x0A><0x0A>": 0, "<0x0A>": 1}
    ),
    "special token '<unk>'": lambda: _with_model(gpt2(), ignore_merges=True),
    "spell the special token 'he'": lambda: _special(gpt2(), "he"),
    "neighbours": lambda: _with_token(gpt2(), AddedToken("<x>", lstrip=True)),
    "prefix": lambda: _with_token(gpt2(prefix=True), AddedToken("<x>")),
    "Replace: make": lambda: _with_token(llama2(), AddedToken("<x>")),
    "not ASCII": lambda: _with_token(_changed(gpt2(), normalizer=normalizers.NFC()), AddedToken("<é>")),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_tokenizer_without_a_proven_rule_is_refused_by_name(reason: str):
    with pytest.raises(ConfigError, match=reason):
        StreamTokenizer(REFUSED[reason]())
