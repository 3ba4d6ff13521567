# ruff: noqa: RUF001  text of many scripts is what is tested
from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armt.errors import CheckpointError, TextError
from armt.text import StreamTokenizer, TextState, utf8_carry, validate_utf8
from tokenizers_zoo import FAMILIES, family, gpt2, texts, whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PROSE = {
    "english": "Mary went to the kitchen, and John's 12 friends (all of them) moved on.\nWhere is she?  "
    * 20,
    "chinese": "玛丽去了厨房，约翰去了花园。\n玛丽在哪里？她在厨房。" * 40,
}

unhurried = settings(deadline=None, max_examples=60)  # other work on the machine must not fail a test


@st.composite
def pieces_of(draw: st.DrawFn, data: bytes) -> list[bytes]:
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[a:b] for a, b in itertools.pairwise([0, *cuts, len(data)])]


def stream(tokenizer: StreamTokenizer, pieces: Iterable[bytes]) -> tuple[list[int], TextState]:
    ids, state = [], TextState()
    for piece in pieces:
        more, state = tokenizer.feed(state, piece)
        ids += more
    return ids, state


def single_bytes(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


@pytest.mark.parametrize("name", FAMILIES)
@unhurried
@given(data=st.data())
def test_any_split_of_the_bytes_gives_the_ids_of_the_whole(name: str, data: st.DataObject):
    text = data.draw(texts)
    pieces = data.draw(pieces_of(text.encode()))
    tokenizer = StreamTokenizer(family(name))
    ids, state = stream(tokenizer, pieces)
    assert ids + tokenizer.finish(state) == whole(family(name), text)


@pytest.mark.parametrize("name", FAMILIES)
@unhurried
@given(text=texts)
def test_what_is_held_back_depends_on_the_bytes_and_not_on_their_split(name: str, text: str):
    tokenizer = StreamTokenizer(family(name))
    data = text.encode()
    assert stream(tokenizer, single_bytes(data)) == tokenizer.feed(TextState(), data)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_end_of_a_stream_leaves_out_an_incomplete_character(name: str):
    tokenizer = StreamTokenizer(family(name))
    ids, state = tokenizer.feed(TextState(), "Mary 去".encode()[:-1])
    assert ids + tokenizer.finish(state) == whole(family(name), "Mary ")


@pytest.mark.parametrize("name", FAMILIES)
def test_an_empty_stream_has_the_ids_of_an_empty_text(name: str):
    tokenizer = StreamTokenizer(family(name))
    assert tokenizer.feed(TextState(), b"") == ([], TextState())
    assert tokenizer.finish(TextState()) == whole(family(name), "")


@pytest.mark.parametrize("language", PROSE)
@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "merging-across-words"])
def test_ordinary_text_is_held_back_for_a_few_words_only(name: str, language: str):
    tokenizer = StreamTokenizer(family(name))
    state = TextState()
    for byte in single_bytes(PROSE[language].encode()):
        _, state = tokenizer.feed(state, byte)
        assert len(state.pending) < 60


@pytest.mark.timeout(60)  # quadratic work takes far longer
@pytest.mark.parametrize("character", ["a", " ", "中"])
@pytest.mark.parametrize("name", ["gpt2", "llama3", "metaspace-first-whole"])
def test_an_unbroken_text_takes_linear_time(name: str, character: str):
    tokenizer = StreamTokenizer(family(name))
    data = (character * 400_000).encode()
    ids, state = stream(tokenizer, [data[i : i + 500] for i in range(0, len(data), 500)])
    assert ids + tokenizer.finish(state) == tokenizer.encode(data.decode())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", [PROSE["english"] * 30, "a" * 100_000], ids=["prose", "unbroken"])
def test_a_long_stream_of_single_bytes_takes_linear_time(text: str):
    tokenizer = StreamTokenizer(family("gpt2"))
    ids, state = stream(tokenizer, single_bytes(text.encode()))
    assert ids + tokenizer.finish(state) == tokenizer.encode(text)


def test_pending_text_lies_in_few_pieces():
    state = TextState()
    for _ in range(10_000):
        state = state.with_more(b"a")
    assert len(state._pieces) < 15
    assert state == TextState(b"a" * 10_000)
    assert state.last(7) == b"a" * 7


def test_many_threads_share_one_tokenizer():
    tokenizer = StreamTokenizer(family("llama3"))
    data = PROSE["english"].encode()
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda _: stream(tokenizer, single_bytes(data)), range(16)))
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("name", FAMILIES)
def test_special_tokens_are_plain_in_a_text_and_recognised_in_a_template(name: str):
    tokenizer = StreamTokenizer(family(name))
    special = tokenizer.token_id("<|question|>")
    assert special is not None
    assert special not in tokenizer.encode("Mary <|question|>")
    assert tokenizer.encode_template("<|question|>")[-1] == special


def test_truncation_and_padding_of_the_given_tokenizer_are_left_behind():
    tokenizer = gpt2()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=9)
    assert StreamTokenizer(tokenizer).encode("one two three four") == whole(gpt2(), "one two three four")
    assert StreamTokenizer(tokenizer).to_json() == StreamTokenizer(gpt2()).to_json()


def test_a_saved_tokenizer_reads_back_the_same(tmp_path: Path):
    tokenizer = StreamTokenizer(family("llama2"))
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer.to_json(), encoding="utf-8")
    again = StreamTokenizer.from_file(path)
    assert again.to_json() == tokenizer.to_json()
    assert again.encode(PROSE["chinese"]) == tokenizer.encode(PROSE["chinese"])
    assert again.vocab_size == family("llama2").get_vocab_size()


def test_a_file_that_is_no_tokenizer_is_refused_by_its_name(tmp_path: Path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        StreamTokenizer.from_file(tmp_path / "tokenizer.json")
    with pytest.raises(CheckpointError, match="absent"):
        StreamTokenizer.from_file(tmp_path / "absent.json")


def test_a_lone_surrogate_is_refused_at_its_byte():
    with pytest.raises(TextError) as caught:
        StreamTokenizer(family("gpt2")).encode("é\ud800")
    assert caught.value.offset == 2


# --- decoding


@pytest.mark.parametrize("name", ["gpt2", "llama3", "llama2", "metaspace-first-whole"])
def test_a_streamed_answer_adds_up_to_the_decoded_whole(name: str):
    tokenizer = StreamTokenizer(family(name))
    ids = tokenizer.encode("玛丽 went to 東京 🙂 today")
    shown, emitted = "", 0
    for n in range(1, len(ids) + 1):
        more, emitted = tokenizer.delta(ids[:n], emitted)
        shown += more
        assert "\ufffd" not in more
    more, emitted = tokenizer.delta(ids, emitted, final=True)
    assert shown + more == tokenizer.decode(ids)


def test_a_character_that_stays_incomplete_is_shown_at_the_end_only():
    tokenizer = StreamTokenizer(family("gpt2"))
    ids = tokenizer.encode("🙃")[:1]
    assert tokenizer.delta(ids, 0) == ("", 0)
    assert tokenizer.delta(ids, 0, final=True) == ("\ufffd", 1)


def test_special_tokens_are_not_shown():
    tokenizer = StreamTokenizer(family("gpt2"))
    assert tokenizer.decode(tokenizer.encode_template("tea<|end|>")) == "tea"


# --- UTF-8

BAD = {
    "a lone continuation": b"\x80",
    "an overlong slash": b"\xc0\xaf",
    "an overlong of three": b"\xe0\x80\xaf",
    "an overlong of four": b"\xf0\x80\x80\xaf",
    "a surrogate": b"\xed\xa0\x80",
    "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "no such first byte": b"\xff",
    "a cut character": b"\xe7\x8ea",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_bad_bytes_are_refused_at_the_first_byte_of_the_sequence(bad: bytes, size: int):
    data = "né".encode() + bad
    with pytest.raises(TextError) as caught:
        _validate_in_pieces(data, size, 1000)
    assert caught.value.offset == 1003


def _validate_in_pieces(data: bytes, size: int, offset: int) -> None:
    carry = b""
    for start in range(0, len(data), size):
        carry = validate_utf8(carry, data[start : start + size], offset + start)


def test_whatever_is_accepted_can_still_become_a_character():
    ends = [
        bytes(end)
        for n in range(3)
        for end in itertools.product((0x80, 0x8F, 0x90, 0xA0, 0xBF), repeat=n + 1)
    ]
    seconds = [b"", *(bytes([byte]) for byte in range(256))]
    for first, second, third in itertools.product(range(256), seconds, (b"", b"\x80", b"\xbf")):
        data = bytes([first]) + second + third
        try:
            carry = validate_utf8(b"", data, 0)
        except TextError:
            continue
        assert not carry or any(_decodes(carry + end) for end in ends), data


def _decodes(data: bytes) -> bool:
    try:
        return len(data.decode()) == 1
    except UnicodeDecodeError:
        return False


@unhurried
@given(text=texts, data=st.data())
def test_the_carry_is_the_incomplete_character_at_the_end(text: str, data: st.DataObject):
    stream_bytes = text.encode()
    cut = data.draw(st.integers(0, len(stream_bytes)))
    left = stream_bytes[:cut]
    expected = left[len(left.decode(errors="ignore").encode()) :]
    assert utf8_carry(left[-3:]) == utf8_carry(left) == expected
    assert validate_utf8(b"", left, 0) == expected


def test_feed_counts_a_bad_byte_from_the_start_of_its_data_and_changes_nothing():
    tokenizer = StreamTokenizer(family("gpt2"))
    _, state = tokenizer.feed(TextState(), b"tea \xe7")
    with pytest.raises(TextError) as caught:
        tokenizer.feed(state, b"\x8ea")
    assert caught.value.offset == -1
    with pytest.raises(TextError) as caught:
        tokenizer.feed(TextState(), b"tea " * 50_000 + b"\xff")
    assert caught.value.offset == 200_000
    assert state.pending == b" \xe7"
