"""Tiny random models and checkpoints, ready in milliseconds, in which the memory matters."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from armt.config import ArmtConfig
from armt.model import ArmtModel

if TYPE_CHECKING:
    from pathlib import Path

    from armt.checkpoint import Checkpoint
    from armt.config import WriteRule

SPECIAL_TOKENS = ("<|question|>", "<|answer|>", "<|end|>")
VOCABULARY = 256 + len(SPECIAL_TOKENS)

_ROTARY = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": None,
}
_GROUPED = {**_ROTARY, "num_key_value_heads": 2, "tie_word_embeddings": False}
BACKBONES: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", **_GROUPED},
    "mistral": {"model_type": "mistral", **_GROUPED},
    "qwen2": {"model_type": "qwen2", **_GROUPED},
    "qwen3": {"model_type": "qwen3", **_GROUPED, "head_dim": 8, "tie_word_embeddings": True},
    "neox": {"model_type": "gpt_neox", **_ROTARY, "tie_word_embeddings": False},
    "gpt2": {
        "model_type": "gpt2",
        "vocab_size": VOCABULARY,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 128,
        "bos_token_id": None,
        "eos_token_id": None,
    },
}


def config(arch: str = "llama", write_rule: WriteRule = "sequential", **overrides: Any) -> ArmtConfig:
    """A model's shape; `overrides` are options of ArmtConfig or, by other names, of the backbone's config."""
    own = {field.name for field in dataclasses.fields(ArmtConfig)} - {"backbone", "write_rule"}
    divided = write_rule != "sequential"
    options = {"use_denom": divided, "correction": divided}
    options |= {name: value for name, value in overrides.items() if name in own}
    backbone = BACKBONES[arch] | {name: value for name, value in overrides.items() if name not in own}
    return ArmtConfig(
        backbone=backbone,
        write_rule=write_rule,
        **({"segment_size": 8, "num_mem_tokens": 3, "d_mem": 4} | options),
    )


def model(
    arch: str = "llama", write_rule: WriteRule = "sequential", seed: int = 0, **overrides: Any
) -> ArmtModel:
    """A model with weights drawn from `seed`, large enough that every ingredient moves the logits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = ArmtModel(config(arch, write_rule, **overrides)).eval()
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                _draw(name, parameter)
    if made.words is not None:
        made.words.spell(raw_tokenizer().get_vocab())
    return made


def _draw(name: str, parameter: torch.Tensor) -> None:
    if name.endswith("W_mb.bias"):
        parameter.normal_(0.5, 0.3)
    elif "norm" in name or ".ln_" in name:
        parameter.normal_(1.0 if name.endswith("weight") else 0.0, 0.1)
    elif name == "memory_tokens":
        parameter.normal_(std=0.5)
    else:
        stds = {"W_mv": 0.1, "W_m": 0.3, "wpe": 0.2, "wte": 0.3, "embed": 0.3, "lm_head": 0.3, "bias": 0.1}
        parameter.normal_(std=next((std for part, std in stds.items() if part in name), 0.15))


def raw_tokenizer() -> Tokenizer:
    """One token per byte, and the special tokens of the bundled model."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


def checkpoint(
    arch: str = "llama", write_rule: WriteRule = "sequential", seed: int = 0, **overrides: Any
) -> Checkpoint:
    """A whole checkpoint: the tiny model, the byte tokenizer and the bundled model's way of asking."""
    from armt.checkpoint import Checkpoint, PromptTemplate  # noqa: PLC0415  tests of the model need no more than it
    from armt.text import StreamTokenizer  # noqa: PLC0415

    return Checkpoint.of(
        model(arch, write_rule, seed, **overrides),
        tokenizer=StreamTokenizer(raw_tokenizer()),
        template=PromptTemplate(before="<|question|>", after="<|answer|>", stop=("<|end|>",)),
        name=f"tiny-{arch}",
    )


def save(path: Path, **options: Any) -> Path:
    """A checkpoint folder with the tiny checkpoint of these options; gives the path back."""
    from armt.checkpoint import save as save_checkpoint  # noqa: PLC0415

    save_checkpoint(checkpoint(**options), path)
    return path
