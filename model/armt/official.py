"""The checkpoints of the official code, of both eras, put into our words.

Newest era: config.json with `model_type` "armt", keys under `model.`. Paper era: config.json with `era`
"paper" (base model config plus the wrapper's options), keys under `memory_cell.`, where a block's tensors
have two names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from armt.backbone import check_known
from armt.config import NU, ArmtConfig
from armt.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

# What a dumped transformers config says about the dump or about other tasks, and not about the model.
_NOISE = {
    *("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version"),
    *("use_cache", "return_dict", "output_attentions", "output_hidden_states", "chunk_size_feed_forward"),
    *("id2label", "label2id", "problem_type", "is_encoder_decoder", "is_decoder"),
}

# Options of either era with the only value that the mathematics here covers.
_FIXED_OPTIONS: dict[str, tuple[Any, ...]] = {
    "segment_alignment": ("left", None),
    "nu": (NU,),
    "n_heads": (1,),
    "act_on": (False, None),
    "gating": (False, None),
    "use_sink": (False, None),
    "sliding_window": (False, None),
    "attend_to_previous_input": (False, None),
}

_BLOCKS = {"gpt2": "transformer.h", "gpt_neox": "gpt_neox.layers"}

# Buffers that old versions of transformers wrote out with the weights; they are computed, not learned.
_COMPUTED = re.compile(r"(^|\.)(attn|attention)\.(bias|masked_bias)$|(^|\.)rotary_emb\.inv_freq$")


def is_official(settings: Mapping[str, Any]) -> bool:
    """Whether a config.json is of the official code, of either era."""
    return settings.get("model_type") == "armt" or _is_paper(settings)


def keeps_float32(settings: Mapping[str, Any]) -> bool:
    """Whether the model was made to be run in float32; the paper era says nothing and is."""
    return _is_paper(settings) or settings.get("model_dtype") in (None, "float32", "fp32")


def config(settings: Mapping[str, Any]) -> ArmtConfig:
    """The model's shape from an official config.json.

    Raises:
        CheckpointError: an option has a value that is not supported, or the base model's config is not there.
        ConfigError: an unknown architecture, a size that cannot work.
    """
    for option, allowed in _FIXED_OPTIONS.items():
        if option in settings and settings[option] not in allowed:
            raise CheckpointError(f"{option} {settings[option]!r} is not supported; only {allowed[0]!r} is")
    base = settings.get("base_model_config")
    if not isinstance(base, dict) or "model_type" not in base:
        raise CheckpointError(
            "config.json has no base_model_config with a model_type: save the model once more"
        )
    check_known(base["model_type"])
    paper = _is_paper(settings)
    backbone = {name: value for name, value in base.items() if name not in _NOISE}
    if base["model_type"] == "gpt2":
        backbone.setdefault("n_positions", 1024)
    return ArmtConfig.from_dict(
        {
            "backbone": backbone,
            **{name: _required(settings, name) for name in ("segment_size", "num_mem_tokens", "d_mem")},
            "write_rule": "paper" if paper else "official",
            "use_denom": bool(settings.get("use_denom", True)),
            "correction": bool(settings.get("correction", True)),
            "wrap_layers": settings.get("wrap_layers"),
            "wrap_pos": paper and bool(settings.get("wrap_pos", False)),
        }
    )


def renamed(tensors: Mapping[str, Tensor], config: ArmtConfig) -> Iterator[tuple[str, Tensor]]:
    """The tensors under our names; a name may come twice, as the official code shares tensors."""
    for key, tensor in tensors.items():
        if not _COMPUTED.search(key):
            yield _our_name(key, config), tensor


def _our_name(key: str, config: ArmtConfig) -> str:
    blocks = _BLOCKS.get(config.backbone["model_type"], "model.layers")
    prefix = "memory_cell." if config.write_rule == "paper" else ""
    if not key.startswith(prefix):
        return key
    name = key.removeprefix(prefix)
    if name == "memory":
        return "memory_tokens"
    if prefix and name.startswith("layers."):
        name = f"model.{blocks}.{name.removeprefix('layers.')}"
    if not name.startswith("model."):
        return key
    name = name.removeprefix("model.")
    if name == "embed_out.weight":  # what transformers called GPT-NeoX's output layer
        name = "lm_head.weight"
    block = re.fullmatch(rf"{re.escape(blocks)}\.(\d+)\.(?:layer\.)?(.+)", name)
    if block is None:
        return f"backbone.hf.{name}"
    index, own = int(block[1]), block[2]
    if not own.startswith("W_m"):
        return f"backbone.hf.{blocks}.{index}.{own}"
    return f"memories.{config.memory_layers.index(index)}.{own}" if index in config.memory_layers else key


def _is_paper(settings: Mapping[str, Any]) -> bool:
    return settings.get("era") == "paper"


def _required(settings: Mapping[str, Any], name: str) -> Any:
    if settings.get(name) is None:
        raise CheckpointError(
            f"config.json has no {name}: only models with an associative memory can be loaded"
        )
    return settings[name]
