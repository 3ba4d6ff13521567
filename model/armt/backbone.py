"""The transformer under the memory: blocks of the transformers library, driven one by one by our loop.

Nothing here knows of memory. Attention is causal over what is given, plus what a key-value cache holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM, DynamicCache
from transformers.models.llama.modeling_llama import rotate_half

from armt.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

FINAL_NORM = {
    "gpt2": "ln_f",
    "gpt_neox": "final_layer_norm",
    "llama": "norm",
    "mistral": "norm",
    "qwen2": "norm",
    "qwen3": "norm",
}
"""What can carry a memory: transformers `model_type`, and the name of its last norm."""


def check_known(model_type: str) -> None:
    """Refuse, by name, an architecture that cannot carry a memory."""
    if model_type not in FINAL_NORM:
        known = ", ".join(FINAL_NORM)
        raise ConfigError(f"the architecture {model_type!r} is not supported; known are: {known}")


def two_products(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    *,
    scaling: float,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention spelt out; its gradient is cheaper than the fused kernel's on a CPU.

    Args:
        module: the block's attention, which knows how many heads share a key.
        query: [batch, heads, n, d_head].
        key: [batch, heads or fewer, m >= n, d_head].
        value: as `key`.
        mask: [.., n, m] bool; None is causal.
        scaling: of the scores.

    Returns:
        [batch, n, heads, d_head], and no weights.
    """
    shared = getattr(module, "num_key_value_groups", 1)
    if shared > 1:
        key, value = (part.repeat_interleave(shared, dim=1) for part in (key, value))
    batch, heads, n, d_head = query.shape
    m = key.shape[2]
    if mask is None:
        mask = torch.ones(n, m, dtype=torch.bool, device=query.device).tril(m - n)
    unseen = torch.zeros(mask.shape, dtype=value.dtype, device=mask.device).masked_fill(~mask, -torch.inf)
    unseen = unseen.expand(batch, heads, n, m).flatten(0, 1)
    query, key, value = (part.flatten(0, 1) for part in (query, key, value))
    weights = torch.baddbmm(unseen, query, key.mT, alpha=scaling).softmax(dim=-1).to(value.dtype)
    return (weights @ value).view(batch, heads, n, d_head).transpose(1, 2), None


AttentionInterface.register(two_products.__name__, two_products)


class Backbone(nn.Module):
    """A causal language model taken apart: embed, place, run the blocks one by one, norm, head.

    Args:
        config: a transformers config as a dict, with `model_type`.
        extra_positions: rows added to GPT-2's position table (for paper-era memory tokens).

    Raises:
        ConfigError: the architecture is unknown.
    """

    def __init__(self, config: Mapping[str, Any], *, extra_positions: int = 0) -> None:
        super().__init__()
        values = {k: v for k, v in config.items() if k not in ("model_type", "transformers_version", "dtype")}
        model_type = config["model_type"]
        check_known(model_type)
        if model_type == "gpt2":
            values["n_positions"] = values.get("n_positions", 1024) + extra_positions
        hf_config = AutoConfig.for_model(model_type, **values)
        self.hf = AutoModelForCausalLM.from_config(hf_config, attn_implementation="sdpa", dtype=torch.float32)
        self.hf.eval()
        self._cache_argument = "layer_past" if model_type == "gpt_neox" else "past_key_values"
        self._final_norm = FINAL_NORM[model_type]

    def spell_out_attention(self) -> None:
        """Attend by `two_products` from now on, not by the fused kernel: what training on a CPU gains by."""
        self.hf.set_attn_implementation(two_products.__name__)

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer blocks, in order."""
        body = self.hf.base_model
        return body.h if hasattr(body, "h") else body.layers

    @property
    def vocab_size(self) -> int:
        """Token ids are 0 to vocab_size - 1."""
        return int(self.hf.get_input_embeddings().num_embeddings)

    def embed(self, ids: Tensor) -> Tensor:
        """Token embeddings, [batch, n] -> [batch, n, d_model], without positions."""
        return self.hf.get_input_embeddings()(ids)

    def place(self, x: Tensor, positions: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """Say where tokens stand: add GPT-2's position rows, or give the rotary cosines and sines.

        Args:
            x: [batch, n, d_model].
            positions: [1 or batch, n].

        Returns:
            The placed x, and the rotary pair that `run` needs (None for GPT-2).
        """
        body = self.hf.base_model
        if hasattr(body, "wpe"):
            return x + body.wpe(positions), None
        rotary = body.rotary_emb(x, positions)
        if torch.is_autocast_enabled(x.device.type):  # as they are where the weights are of that dtype
            rotary = tuple(part.to(torch.get_autocast_dtype(x.device.type)) for part in rotary)
        return x, rotary

    def run(
        self,
        index: int,
        x: Tensor,
        rotary: tuple[Tensor, Tensor] | None,
        cache: DynamicCache | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """One block over x, [batch, n, d_model].

        Args:
            index: which block.
            x: its input.
            rotary: what `place` gave.
            cache: keys and values so far, extended by n; must be empty when n > 1.
            mask: [.., n, n] bool, true where a token sees another; None is causal.
        """
        arguments: dict[str, Any] = {} if rotary is None else {"position_embeddings": rotary}
        if cache is not None:
            arguments[self._cache_argument] = cache
        return self.blocks[index](x, attention_mask=mask, **arguments)

    def run_last(self, index: int, x: Tensor, rotary: tuple[Tensor, Tensor] | None, last: int) -> Tensor:
        """What `run` gives at the `last` positions, [batch, last, d_model].

        Of the others only keys and values are made, a small part of the work, where the block is built as
        Llama's are; elsewhere the block is run whole.
        """
        block: Any = self.blocks[index]
        attention = getattr(block, "self_attn", None)
        n = x.shape[1] - last
        if attention is None or rotary is None or n == 0:
            return self.run(index, x, rotary)[:, -last:]
        hidden = block.input_layernorm(x[:, :n])
        shape = (*hidden.shape[:-1], -1, attention.head_dim)
        keys, values = attention.k_proj(hidden).view(shape), attention.v_proj(hidden).view(shape)
        if hasattr(attention, "k_norm"):
            keys = attention.k_norm(keys)
        keys = keys.transpose(1, 2)
        cos, sin = (part.unsqueeze(1) for part in rotary)
        cache = DynamicCache()
        cache.update(
            keys * cos[:, :, :n] + rotate_half(keys) * sin[:, :, :n], values.transpose(1, 2), layer_idx=index
        )
        sees = torch.ones(1, 1, last, n + last, dtype=torch.bool, device=x.device).tril(n)
        return self.run(index, x[:, n:], (rotary[0][:, n:], rotary[1][:, n:]), cache, sees)

    def head(self, x: Tensor) -> Tensor:
        """Logits from the last block's output, [..., d_model] -> [..., vocab]."""
        x = getattr(self.hf.base_model, self._final_norm)(x)
        return self.hf.get_output_embeddings()(x)
