"""What tests of checkpoints do with folders: load them small, change them, write foreign ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from armt import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from armt.checkpoint import Checkpoint
    from armt.model import ArmtModel


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def load(folder: Path, **options: str) -> Checkpoint:
    return checkpoint.load(str(folder), **({"device": "cpu", "dtype": "float32"} | options))


def logits(model: ArmtModel) -> torch.Tensor:
    with torch.no_grad():
        return model.forward_segment(torch.arange(8)[None], model.empty_state())[0]


def official(path: Path, model: ArmtModel, era: str = "armt", **settings: Any) -> Path:
    """A folder as the official code of an era writes it."""
    blocks = {"gpt2": "transformer.h", "gpt_neox": "gpt_neox.layers"}.get(
        model.config.backbone["model_type"], "model.layers"
    )
    prefix = "memory_cell." if era == "paper" else ""
    tensors = {}
    for name, parameter in model.named_parameters():
        own = name.removeprefix("backbone.hf.")
        if name == "memory_tokens":
            key = "memory"
        elif name.startswith("memories."):
            slot, own = name.removeprefix("memories.").split(".", 1)
            key = f"model.{blocks}.{model.config.memory_layers[int(slot)]}.{own}"
        elif own.startswith(blocks):
            index, own = own.removeprefix(f"{blocks}.").split(".", 1)
            key = f"model.{blocks}.{index}.layer.{own}"
        else:
            key = f"model.{own}"
        tensors[prefix + key] = parameter.detach().clone()
    path.mkdir(parents=True)
    save_file(tensors, path / "model.safetensors")
    kind = {"era": "paper"} if era == "paper" else {"model_type": era, "model_dtype": "float32"}
    wrap_layers = model.config.wrap_layers
    values = {
        **kind,
        "base_model_config": dict(model.config.backbone),
        "segment_size": model.config.segment_size,
        "num_mem_tokens": model.config.num_mem_tokens,
        "d_mem": model.config.d_mem,
        "use_denom": model.config.use_denom,
        "correction": model.config.correction,
        "wrap_layers": None if wrap_layers is None else list(wrap_layers),
        "wrap_pos": model.config.wrap_pos,
        "segment_alignment": "left",
    }
    (path / "config.json").write_text(json.dumps(values | settings))
    return path
