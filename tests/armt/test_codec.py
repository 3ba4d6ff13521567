from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from armt.codec import Snapshot, _seal, decode, encode
from armt.config import ArmtConfig
from armt.errors import CodecError
from armt.state import MemoryState
from armt.text import TextState

CONFIG = ArmtConfig(
    backbone={"model_type": "llama", "hidden_size": 4, "num_hidden_layers": 3},
    segment_size=5,
    num_mem_tokens=1,
    d_mem=2,
    wrap_layers=(True, False, True),
    overlap=2,
)
MODEL = "0" * 64  # the very digits that stand in for the checksum while it is made

unhurried = settings(deadline=None)


def memory(seed: int = 0, segments: int = 3) -> MemoryState:
    generator = torch.Generator().manual_seed(seed)
    return MemoryState(
        W=torch.randn(2, 1, CONFIG.d_key, CONFIG.d_model, generator=generator),
        z=torch.randn(2, 1, CONFIG.d_key, generator=generator),
        segments=torch.tensor([segments]),
        recent=torch.tensor([[7, 8]]),
    )


def snapshot() -> Snapshot:
    return Snapshot(MODEL, 100, (1, 2, 3), TextState("wor\u00e9".encode()[:-1], started=True), memory())


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    pending = draw(st.text(st.characters(codec="utf-8"), max_size=9)).encode()
    read = draw(st.integers(0, 2**40))
    counts = st.integers(0, 2**62) if read else st.just(0)
    return Snapshot(
        fingerprint=draw(st.text(max_size=20)),
        offset=read + len(pending),
        tail_ids=tuple(draw(st.lists(st.integers(0, 2**31), max_size=CONFIG.segment_size if read else 0))),
        text=TextState(pending, started=read > 0),
        memory=memory(draw(st.integers(0, 99)), draw(counts)),
    )


def assert_equal(a: Snapshot, b: Snapshot) -> None:
    assert (a.fingerprint, a.offset, a.tail_ids, a.text) == (b.fingerprint, b.offset, b.tail_ids, b.text)
    for x, y in zip(dataclasses.astuple(a.memory), dataclasses.astuple(b.memory), strict=True):
        assert x.dtype == y.dtype
        assert torch.equal(x, y)


@unhurried
@given(snapshots())
def test_a_snapshot_comes_back_as_it_was(taken: Snapshot):
    assert_equal(decode(encode(taken), CONFIG, taken.fingerprint), taken)


def test_the_snapshot_of_an_empty_session_comes_back():
    taken = Snapshot(MODEL, 0, (), TextState(), MemoryState.empty(CONFIG))
    assert_equal(decode(encode(taken), CONFIG, MODEL), taken)


def test_equal_snapshots_give_equal_bytes():
    assert encode(snapshot()) == encode(snapshot())


def test_the_file_opens_with_plain_safetensors():
    tensors = load(encode(snapshot()))
    assert torch.equal(tensors["W"], snapshot().memory.W[:, 0])
    assert torch.equal(tensors["z"], snapshot().memory.z[:, 0])


def test_one_row_of_a_batch_is_written_alone():
    both = MemoryState.cat([memory(0), memory(1)])
    taken = dataclasses.replace(snapshot(), memory=both.row(1))
    assert_equal(decode(encode(taken), CONFIG, MODEL), dataclasses.replace(snapshot(), memory=memory(1)))


@unhurried
@given(snapshots(), st.data())
def test_any_flipped_byte_is_refused(taken: Snapshot, data: st.DataObject):
    whole = bytearray(encode(taken))
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CodecError):
        decode(bytes(whole), CONFIG, taken.fingerprint)


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80])
def test_no_byte_can_be_flipped_unseen(mask: int):
    whole = encode(snapshot())
    for position in range(len(whole)):
        damaged = whole[:position] + bytes([whole[position] ^ mask]) + whole[position + 1 :]
        with pytest.raises(CodecError):
            decode(damaged, CONFIG, MODEL)


@unhurried
@given(st.data())
def test_a_cut_or_lengthened_file_is_refused(data: st.DataObject):
    whole = encode(snapshot())
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    for damaged in (cut, whole + data.draw(st.binary(min_size=1, max_size=9))):
        with pytest.raises(CodecError, match="not a safetensors file"):
            decode(damaged, CONFIG, MODEL)


@unhurried
@given(st.binary())
def test_whatever_is_not_a_memory_is_refused(data: bytes):
    with pytest.raises(CodecError):
        decode(data, CONFIG, MODEL)


# --- files that are whole, but wrong

_TENSORS = load(encode(snapshot()))


def _metadata(**changes: str | None) -> dict[str, str]:
    data = encode(snapshot())
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"] | changes
    return {name: value for name, value in header.items() if value is not None}


def _broken(value: float) -> torch.Tensor:
    W = _TENSORS["W"].clone()
    W[1, 2, 3] = value
    return W


WRONG_HEADERS = {
    "its format is None": {"format": None},
    "its format is other": {"format": "other"},
    "version 2 is not known": {"version": "2"},
    "another model": {"fingerprint": "other"},
    "offset is missing or unreadable: None": {"offset": None},
    "offset is missing or unreadable: -1": {"offset": "-1"},
    "offset is missing or unreadable: 9e9": {"offset": "9e9"},
    "segments is missing or unreadable: -3": {"segments": "-3"},
    "segments is missing or unreadable: 9{30}": {"segments": "9" * 30},
    "tail is missing or unreadable: 1 -2": {"tail": "1 -2"},
    "recent is missing or unreadable: one": {"recent": "one"},
    "1 recent ids where the model is shown 2 again": {"recent": "7"},
    "tail of 6 ids is longer than a segment of 5": {"tail": "1 2 3 4 5 6"},
    "text is missing or unreadable": {"text": "?"},
    "text is not UTF-8": {"text": "/w=="},
    "started is missing or unreadable: yes": {"started": "yes"},
    "offset 3 does not agree with 4 bytes": {"offset": "3"},
    "offset 4 does not agree with 4 bytes": {"offset": "4"},
    "offset 100 does not agree with 4 bytes": {"started": "false"},
    "a text that has not begun": {"started": "false", "offset": "4"},
}


@pytest.mark.parametrize("reason", WRONG_HEADERS)
def test_a_wrong_header_is_refused_with_its_reason(reason: str):
    with pytest.raises(CodecError, match=reason):
        decode(_seal(_TENSORS, _metadata(**WRONG_HEADERS[reason])), CONFIG, MODEL)


WRONG_TENSORS = {
    "not z": {"W": None},
    "not W": {"z": None},
    "not W, extra, z": {"extra": torch.zeros(1)},
    r"W is torch.float32 \[2, 12, 5\] but the model needs torch.float32 \[2, 12, 4\]": {
        "W": torch.zeros(2, 12, 5)
    },
    r"z is torch.float32 \[3, 12\]": {"z": torch.zeros(3, 12)},
    "z is torch.float64": {"z": _TENSORS["z"].double()},
    "W is torch.bfloat16": {"W": _TENSORS["W"].bfloat16()},
    "a value that is not finite": {"W": _broken(torch.nan)},
    "that is not finite": {"W": _broken(-torch.inf)},
}


@pytest.mark.parametrize("reason", WRONG_TENSORS)
def test_wrong_tensors_are_refused_with_their_reason(reason: str):
    tensors = {k: v for k, v in {**_TENSORS, **WRONG_TENSORS[reason]}.items() if v is not None}
    with pytest.raises(CodecError, match=reason):
        decode(_seal(tensors, _metadata()), CONFIG, MODEL)


def test_an_id_that_the_model_does_not_know_is_refused():
    small = dataclasses.replace(CONFIG, backbone={**CONFIG.backbone, "vocab_size": 8})
    with pytest.raises(CodecError, match="id 8, but the model knows 8 ids"):
        decode(encode(snapshot()), small, MODEL)


def test_a_changed_value_under_the_old_checksum_is_refused():
    data = bytearray(encode(snapshot()))
    data[-1] ^= 1
    with pytest.raises(CodecError, match="checksum"):
        decode(bytes(data), CONFIG, MODEL)


def test_a_file_of_plain_tensors_is_refused():
    with pytest.raises(CodecError, match="not a memory"):
        decode(save(_TENSORS), CONFIG, MODEL)


def test_a_bad_memory_is_not_even_written():
    poisoned = dataclasses.replace(memory(), W=_broken(torch.nan).unsqueeze(1))
    with pytest.raises(CodecError, match="not finite"):
        encode(dataclasses.replace(snapshot(), memory=poisoned))
    with pytest.raises(CodecError, match="negative"):
        encode(dataclasses.replace(snapshot(), offset=-1))
