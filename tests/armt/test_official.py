"""Folders as the official code of both eras writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

import tiny
from armt.checkpoint import PromptTemplate
from armt.errors import CheckpointError, ConfigError
from checkpoint_folders import edit_weights, load, logits, official

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("arch", tiny.BACKBONES)
def test_a_folder_of_the_newest_official_code_is_read(arch: str, tmp_path: Path) -> None:
    model = tiny.model(arch, "official", wrap_layers=(False, True))
    loaded = load(official(tmp_path / "armt", model))
    assert torch.equal(logits(loaded.model), logits(model))
    assert loaded.model.config.wrap_layers == (False, True)


def test_options_of_an_official_model_are_respected(tmp_path: Path) -> None:
    model = tiny.model(write_rule="official", use_denom=False, correction=False)
    config = load(official(tmp_path / "armt", model)).model.config
    assert (config.write_rule, config.use_denom, config.correction) == ("official", False, False)


@pytest.mark.parametrize("wrap_pos", [True, False])
def test_a_paper_era_folder_is_read_with_either_or_both_names_of_its_tensors(
    *, wrap_pos: bool, tmp_path: Path
) -> None:
    model = tiny.model("gpt2", "paper", wrap_pos=wrap_pos)
    folder = official(tmp_path / "paper", model, "paper")
    assert torch.equal(logits(load(folder).model), logits(model))

    def both(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if ".transformer.h." in name]:
            tensors[name.replace("model.transformer.h.", "layers.")] = tensors[name].clone()
        tensors["memory_cell.model.lm_head.weight"] = tensors[
            "memory_cell.model.transformer.wte.weight"
        ].clone()

    edit_weights(folder, both)
    assert torch.equal(logits(load(folder).model), logits(model))

    edit_weights(folder, lambda t: [t.pop(name) for name in list(t) if ".transformer.h." in name])
    edit_weights(folder, lambda t: t.pop("memory_cell.model.transformer.wte.weight"))
    assert torch.equal(logits(load(folder).model), logits(model))


def test_buffers_that_old_transformers_wrote_with_the_weights_are_passed_over(tmp_path: Path) -> None:
    folder = official(tmp_path / "armt", tiny.model("gpt2", "official"))
    edit_weights(
        folder, lambda t: t.update({"model.transformer.h.0.layer.attn.bias": torch.ones(1, 1, 8, 8)})
    )
    load(folder)


def test_an_official_model_stops_at_its_end_token(tmp_path: Path) -> None:
    folder = official(tmp_path / "armt", tiny.model(write_rule="official", eos_token_id=tiny.VOCABULARY - 1))
    (folder / "tokenizer.json").write_text(tiny.raw_tokenizer().to_str())
    assert load(folder).template == PromptTemplate(stop=("<|end|>",))


def test_auto_keeps_official_models_made_for_float32_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    model = tiny.model(write_rule="official")
    kept = load(official(tmp_path / "float32", model), dtype="auto")
    free = load(official(tmp_path / "bfloat16", model, model_dtype="bfloat16"), dtype="auto")
    assert next(kept.model.backbone.parameters()).dtype == torch.float32
    assert next(free.model.backbone.parameters()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model_type": "armt_sw"}, "armt_sw"),
        ({"segment_alignment": "right"}, "segment_alignment 'right'"),
        ({"n_heads": 4}, "n_heads 4"),
        ({"gating": True}, "gating True"),
        ({"act_on": True}, "act_on True"),
        ({"d_mem": None}, "no d_mem"),
        ({"base_model_config": None}, "no base_model_config"),
        ({"base_model_config": {"model_type": "bloom"}}, "'bloom' is not supported; known are: gpt2"),
        ({"era": "paper", "nu": 1}, "nu 1"),
        ({"era": "paper", "wrap_pos": True}, "wrap_pos is for gpt2"),
        ({"wrap_layers": [True]}, "wrap_layers has 1 entries"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_an_official_option_that_is_not_supported_is_refused_by_name(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    folder = official(tmp_path / "armt", tiny.model(write_rule="official"), **settings)
    with pytest.raises((CheckpointError, ConfigError), match=words):
        load(folder)


def test_two_different_tensors_for_one_are_refused_by_name(tmp_path: Path) -> None:
    folder = official(tmp_path / "paper", tiny.model("gpt2", "paper"), "paper")
    name = "layers.0.layer.ln_1.weight"
    edit_weights(folder, lambda t: t.update({f"memory_cell.{name}": torch.zeros(32)}))
    with pytest.raises(
        CheckpointError, match=r"two different tensors for backbone.hf.transformer.h.0.ln_1.weight"
    ):
        load(folder)
