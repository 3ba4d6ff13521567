"""The shape of a model: what cannot work is refused before anything is built."""

from __future__ import annotations

import json
from typing import Any

import pytest

import tiny
from armt.config import ArmtConfig
from armt.errors import ConfigError


@pytest.mark.parametrize("arch", tiny.BACKBONES)
def test_a_config_comes_back_from_its_plain_json(arch: str) -> None:
    config = tiny.config(arch, "official", wrap_layers=(True, False))
    assert ArmtConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_an_option_that_came_later_does_not_change_the_json_of_older_models() -> None:
    assert "gate" not in tiny.config().to_dict()
    later = tiny.config(
        features="product",
        gate="hard",
        normalise_write=True,
        overlap=4,
        conv=2,
        conv_rank=3,
        fold_tail=True,
        num_mem_tokens=0,
        bidirectional=True,
    )
    assert ArmtConfig.from_dict(json.loads(json.dumps(later.to_dict()))) == later
    assert "copying" not in later.to_dict()
    copies = tiny.config(num_mem_tokens=0, copying=8)
    assert ArmtConfig.from_dict(json.loads(json.dumps(copies.to_dict()))) == copies


def test_sizes_follow_from_the_options() -> None:
    config = tiny.config("gpt2", d_mem=5, wrap_layers=(False, True))
    assert (config.d_model, config.num_layers, config.d_key, config.memory_layers) == (32, 2, 30, (1,))
    assert tiny.config(d_mem=6, features="product").d_key == 9
    assert tiny.config(d_mem=6, features="bind").d_key == 3
    assert tiny.config(num_mem_tokens=0, copying=8).d_value == 40


def test_an_option_that_is_not_known_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="unknown model options: segment_sise"):
        ArmtConfig.from_dict(tiny.config().to_dict() | {"segment_sise": 8})


@pytest.mark.parametrize(
    ("arch", "options", "words"),
    [
        ("llama", {"segment_size": 0}, "segment_size must be a whole number of at least 1, not 0"),
        ("llama", {"d_mem": True}, "d_mem must be a whole number of at least 1"),
        ("llama", {"num_mem_tokens": 1.0}, "num_mem_tokens must be a whole number of at least 0, not 1.0"),
        (
            "llama",
            {"num_mem_tokens": 0, "write_rule": "official"},
            "num_mem_tokens must be a whole number of at least 1",
        ),
        ("llama", {"write_rule": "other"}, "'other' is not one of official, paper, sequential"),
        ("llama", {"use_denom": True}, "sequential write rule has no denominator"),
        ("llama", {"features": "relu"}, "'relu' is not one of dpfp, product, bind"),
        ("llama", {"features": "product", "d_mem": 3}, "product features need an even d_mem, not 3"),
        ("llama", {"features": "bind", "d_mem": 3}, "bind features need an even d_mem, not 3"),
        (
            "llama",
            {"features": "product", "write_rule": "official"},
            "options of the sequential write rule only",
        ),
        ("llama", {"gate": "soft"}, "'soft' is not one of sigmoid, hard"),
        ("gpt2", {"write_rule": "official", "gate": "hard"}, "options of the sequential write rule only"),
        ("llama", {"overlap": -1}, "overlap must be a whole number of at least 0, not -1"),
        ("llama", {"conv": 1.5}, "conv must be a whole number of at least 0"),
        ("llama", {"conv_rank": 4}, "conv_rank is of the convolution: set conv"),
        ("llama", {"overlap": 9}, "an overlap of 9 ids is more than a segment of 8"),
        ("gpt2", {"write_rule": "official", "overlap": 2}, "overlap needs rotary positions"),
        ("gpt2", {"write_rule": "official", "fold_tail": True}, "fold_tail needs rotary positions"),
        ("llama", {"bidirectional": True, "num_mem_tokens": 0}, "bidirectional needs num_mem_tokens 0 and"),
        ("llama", {"bidirectional": True, "fold_tail": True}, "bidirectional needs num_mem_tokens 0 and"),
        (
            "llama",
            {"reads_within": True, "num_mem_tokens": 0},
            "reads_within needs num_mem_tokens 0, fold_tail",
        ),
        (
            "llama",
            {"reads_within": True, "fold_tail": True},
            "reads_within needs num_mem_tokens 0, fold_tail",
        ),
        ("llama", {"copying": 12}, "copying is a multiple of 8 up to 512, not 12"),
        ("llama", {"copying": 520}, "copying is a multiple of 8 up to 512, not 520"),
        ("llama", {"copying": 8, "d_mem": 18}, "copying 8 needs an even d_mem up to twice as much, not 18"),
        ("llama", {"copying": 8, "d_mem": 3}, "copying 8 needs an even d_mem up to twice as much, not 3"),
        ("llama", {"copying": 8}, "copying needs num_mem_tokens 0 and text that is read from left to right"),
        ("llama", {"wrap_layers": (True,)}, "wrap_layers has 1 entries but there are 2 layers"),
        ("llama", {"wrap_layers": (False, False)}, "gives no layer a memory"),
        ("llama", {"wrap_pos": True, "write_rule": "paper"}, "wrap_pos is for gpt2"),
        ("gpt2", {"n_positions": 10}, "takes 11 positions but the backbone has 10"),
        ("gpt2", {"n_positions": 7, "wrap_pos": True, "write_rule": "paper"}, "takes 8 positions"),
        ("mistral", {"sliding_window": 10}, "slides over 10 of them"),
        ("qwen2", {"sliding_window": 10, "use_sliding_window": True}, "slides over 10 of them"),
    ],
)
def test_an_option_that_cannot_work_is_refused_with_the_reason(
    arch: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        tiny.config(arch, **options)


def test_a_window_that_a_backbone_does_not_use_is_no_hindrance() -> None:
    tiny.config("qwen2", sliding_window=10, use_sliding_window=False)
    tiny.config("mistral", sliding_window=11)


def test_a_backbone_without_its_sizes_is_refused() -> None:
    with pytest.raises(ConfigError, match="no model_type"):
        ArmtConfig(backbone={}, segment_size=8, num_mem_tokens=2, d_mem=4)
    with pytest.raises(ConfigError, match="none of num_hidden_layers, n_layer"):
        ArmtConfig(backbone={"model_type": "llama"}, segment_size=8, num_mem_tokens=2, d_mem=4)
