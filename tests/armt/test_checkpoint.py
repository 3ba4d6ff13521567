"""What is saved comes back, on the device and in the numbers asked for."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from armt import checkpoint, hardware
from armt.checkpoint import Checkpoint, PromptTemplate
from armt.errors import ConfigError
from armt.spelling import GOES_ON
from checkpoint_folders import load, logits

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save(tmp_path / "ours")


@pytest.mark.parametrize(
    "options", [*({"arch": arch} for arch in tiny.BACKBONES), {"num_mem_tokens": 0}], ids=str
)
def test_a_saved_checkpoint_comes_back_whole(options: dict[str, Any], tmp_path: Path) -> None:
    made = tiny.checkpoint(**options)
    made = dataclasses.replace(made, template=dataclasses.replace(made.template, closing="\n"))
    checkpoint.save(made, tmp_path / "folder")

    loaded = load(tmp_path / "folder")

    assert torch.equal(logits(loaded.model), logits(made.model))
    assert loaded.model.config == made.model.config
    assert loaded.template == made.template
    assert loaded.fingerprint == made.fingerprint
    assert loaded.tokenizer.encode("Où ?") == made.tokenizer.encode("Où ?")
    assert loaded.name == "folder"
    assert not loaded.model.training


def test_a_way_of_asking_without_a_closing_has_none(folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    assert settings["prompt"].pop("closing") == ""
    (folder / "config.json").write_text(json.dumps(settings))
    assert load(folder).template == tiny.checkpoint().template


def test_a_checkpoint_without_a_tokenizer_comes_back_without_one(tmp_path: Path) -> None:
    checkpoint.save(Checkpoint.of(tiny.model()), tmp_path)
    assert load(tmp_path).tokenizer is None


def test_whoever_may_read_the_config_may_read_the_weights(folder: Path) -> None:
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_saving_over_a_folder_leaves_nothing_of_the_older_one(folder: Path) -> None:
    checkpoint.save(Checkpoint.of(tiny.model(seed=1)), folder)
    assert torch.equal(logits(load(folder).model), logits(tiny.model(seed=1)))


def test_the_fingerprint_changes_with_weights_config_and_tokenizer_and_with_nothing_else() -> None:
    base = tiny.checkpoint()
    without = Checkpoint.of(base.model)
    others = [tiny.checkpoint(seed=1), tiny.checkpoint(segment_size=16), without]

    assert len({base.fingerprint, *(other.fingerprint for other in others)}) == 4
    assert (
        Checkpoint.of(base.model, base.tokenizer, PromptTemplate("Q:"), "other").fingerprint
        == base.fingerprint
    )


def test_sharded_weights_are_read(folder: Path) -> None:
    expected = logits(load(folder).model)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(tensors)}
    for shard in set(places.values()):
        save_file({n: t for n, t in tensors.items() if places[n] == shard}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))

    assert torch.equal(logits(load(folder).model), expected)


def test_a_pickled_state_dict_is_read_as_tensors_only(folder: Path) -> None:
    expected = logits(load(folder).model)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()

    assert torch.equal(logits(load(folder).model), expected)


def test_bfloat16_is_for_the_backbone_and_memory_stays_float32(folder: Path) -> None:
    model = load(folder, dtype="bfloat16").model
    assert {p.dtype for p in model.backbone.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in model.memories.parameters()} == {torch.float32}
    assert {b.dtype for b in model.buffers()} == {torch.float32}  # rotary frequencies must not be rounded
    with torch.no_grad():
        assert (
            model.absorb(torch.zeros(1, 8, dtype=torch.int64), model.empty_state()).W.dtype == torch.float32
        )


def test_the_fingerprint_is_that_of_the_stored_weights_whatever_they_are_run_in(folder: Path) -> None:
    assert load(folder, dtype="bfloat16").fingerprint == load(folder, dtype="float32").fingerprint


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_bfloat16_where_the_processor_multiplies_it(
    *, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": native})
    found = hardware.dtype("auto", torch.device("cpu"))
    assert found == (torch.bfloat16 if native else torch.float32)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "int8"}, "'int8' is not one of auto, float32"),
        ({"device": "toaster"}, "'toaster' cannot be used"),
        ({"device": "cuda:99"}, "'cuda:99' cannot be used"),
    ],
)
def test_an_impossible_device_or_dtype_is_refused(folder: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(folder, **options)


def test_a_model_that_copies_learns_from_its_tokenizer_which_tokens_make_up_words(tmp_path: Path) -> None:
    saved = tiny.save(tmp_path / "model", num_mem_tokens=0, copying=16)

    words = checkpoint.load(str(saved)).model.words

    assert words is not None
    letters = [token for token, i in tiny.raw_tokenizer().get_vocab().items() if words.part[i] == GOES_ON]
    assert {"a", "z"} < set(letters)
    assert "." not in letters
