"""Folders that cannot be used are refused with the reason."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import huggingface_hub.constants
import pytest
import torch

import tiny
from armt import checkpoint
from armt.errors import CheckpointError
from checkpoint_folders import edit, edit_weights, load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save(tmp_path / "ours")


@pytest.mark.parametrize("source", checkpoint.SHIPPED)
def test_a_missing_bundled_model_is_told_plainly(
    source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(checkpoint.SHIPPED, source, tmp_path)
    with pytest.raises(CheckpointError, match=f"no model '{source}'"):
        checkpoint.load(source)


@pytest.mark.parametrize("source", ["no/such-model", "/no/such/folder", "../folder"])
def test_a_source_that_is_neither_a_folder_nor_to_be_had_is_told_plainly(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=f"no folder '{source}', and as a hub id"):
        checkpoint.load(source)


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def listed_config(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def cut_weights(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:1000])


class Harm:
    """When it is unpickled, it removes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> None:
        return shutil.rmtree, (str(self.folder),)


def harmful_pickle(folder: Path) -> None:
    no_weights(folder)
    torch.save({"memory_tokens": Harm(folder)}, folder / "pytorch_model.bin")


def pickle_of_more_than_tensors(folder: Path) -> None:
    no_weights(folder)
    torch.save({"step": 3}, folder / "pytorch_model.bin")


def missing_shard(folder: Path) -> None:
    no_weights(folder)
    (folder / "model.safetensors.index.json").write_text(
        '{"weight_map": {"memory_tokens": "one.safetensors"}}'
    )


def shard_elsewhere(folder: Path) -> None:
    no_weights(folder)
    (folder / "model.safetensors.index.json").write_text(
        '{"weight_map": {"memory_tokens": "../x.safetensors"}}'
    )


def missing_tensor(folder: Path) -> None:
    edit_weights(folder, lambda t: t.pop("memories.0.W_mq.weight"))


def unexpected_tensor(folder: Path) -> None:
    edit_weights(folder, lambda t: t.update({"stranger": torch.ones(1)}))


def misshapen_tensor(folder: Path) -> None:
    edit_weights(folder, lambda t: t.update({"memory_tokens": torch.ones(2, 2)}))


def whole_number_tensor(folder: Path) -> None:
    edit_weights(folder, lambda t: t.update({"memory_tokens": t["memory_tokens"].to(torch.int8)}))


def changed_weight(folder: Path) -> None:
    edit_weights(folder, lambda t: t["memory_tokens"].add_(1e-6))


def changed_config(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c["armt"].update(segment_size=16))


def changed_tokenizer(folder: Path) -> None:
    edit(folder / "tokenizer.json", lambda t: t["added_tokens"].pop())


def broken_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


def large_tokenizer(folder: Path) -> None:
    tokenizer = tiny.raw_tokenizer()
    tokenizer.add_tokens(["one more"])
    tokenizer.save(str(folder / "tokenizer.json"))


def other_prompt(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(prompt={"before": 3}))


def closing_that_is_no_text(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c["prompt"].update(closing=3))


def no_shape(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.pop("armt"))


def half_a_shape(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c["armt"].pop("segment_size"))


def indivisible_heads(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c["armt"]["backbone"].update(num_attention_heads=5))


def plain_transformer(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(tiny.BACKBONES["llama"]))


def unknown_kind(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "bert"}')


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (no_config, "is not a checkpoint: it has no config.json"),
        (broken_config, "config.json cannot be read"),
        (listed_config, "should hold a JSON object"),
        (no_weights, "has no weights"),
        (cut_weights, "model.safetensors cannot be read as weights"),
        (harmful_pickle, "pytorch_model.bin cannot be read as weights"),
        (pickle_of_more_than_tensors, "a dict of tensors and nothing else"),
        (missing_shard, "one.safetensors cannot be read"),
        (shard_elsewhere, "outside its folder: '../x.safetensors'"),
        (missing_tensor, "missing memories.0.W_mq.weight"),
        (unexpected_tensor, "unexpected stranger"),
        (misshapen_tensor, r"wrongly shaped memory_tokens \[2, 2\] instead of \[3, 32\]"),
        (whole_number_tensor, "not floating-point memory_tokens"),
        (changed_weight, "is damaged"),
        (changed_config, "is damaged"),
        (changed_tokenizer, "is damaged"),
        (broken_tokenizer, "tokenizer.json"),
        (large_tokenizer, "has 260 tokens but the model knows 259 ids"),
        (other_prompt, "prompt in config.json should have before, after and stop"),
        (closing_that_is_no_text, "prompt in config.json should have texts"),
        (no_shape, "config.json has no 'armt'"),
        (half_a_shape, "segment_size"),
        (indivisible_heads, "describes no model that works"),
        (plain_transformer, "plain llama model without memory weights"),
        (unknown_kind, "'bert'"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_folder_that_cannot_be_used_is_refused_with_the_reason(
    folder: Path, damage: Callable[[Path], None], words: str
) -> None:
    damage(folder)
    with pytest.raises(CheckpointError, match=words):
        load(folder)
    assert folder.exists()
