"""The oracle: the same mathematics as memory.py, model.py and decode.py, slow and plain.

One session, one segment after another, loops over tokens. Nothing is shared with the fast paths but the
parameters, the transformer blocks (driven here under an explicit mask) and their embeddings.
Equations: ARMT, arXiv 2407.04841.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, cast

import torch

from armt.reference_words import (
    Seen,
    ended,
    even,
    linear,
    naming,
    say_next,
    turned,
    word_written,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from armt.config import ArmtConfig
    from armt.memory import AssociativeMemory
    from armt.model import ArmtModel

EPSILON = 1e-5


class LayerMemory(NamedTuple):
    """What one layer remembers of one session: W [d_key, d_value] and z [d_key]."""

    W: Tensor
    z: Tensor


Memories = dict[int, LayerMemory]
"""By block index; empty before the first segment."""


def phi(config: ArmtConfig, x: Tensor) -> Tensor:
    """The feature map of one key or query: x [d_mem] -> [d_key]."""
    if config.features == "product":
        a, b = x[: len(x) // 2], x[len(x) // 2 :]
        return torch.outer(a, b).flatten() / max(float(a.norm() * b.norm()), 1e-12)
    if config.features == "bind":
        both = x[: len(x) // 2] * x[len(x) // 2 :]
        return both / max(float(both.norm()), 1e-12)
    return dpfp(x, normalise=config.write_rule != "paper")


def nothing(config: ArmtConfig) -> LayerMemory:
    """What one layer remembers before the first segment."""
    return LayerMemory(torch.zeros(config.d_key, config.d_value), torch.zeros(config.d_key))


def dpfp(x: Tensor, *, normalise: bool) -> Tensor:
    """DPFP of one key or query: x [d_mem] -> [6 * d_mem]."""
    u = torch.cat([x.clamp(min=0), (-x).clamp(min=0)])
    places = torch.arange(len(u))
    features = torch.cat([u * u[(places - shift) % len(u)] for shift in (1, 2, 3)])
    return features / max(float(features.norm()), 1e-12) if normalise else features


def recall(config: ArmtConfig, memory: LayerMemory, features: Tensor) -> Tensor:
    """What the memory holds under a key [d_key]: W^T phi [d_model], by z . phi + EPSILON if there is a z."""
    found = memory.W.T @ features
    return found / (memory.z @ features + EPSILON) if config.use_denom else found


def remembered(
    config: ArmtConfig, layer: AssociativeMemory, memory: LayerMemory | None, seen: Seen
) -> Tensor:
    """What the last of the tokens seen remembers, [d_value]."""
    token = seen.x[-1]
    if memory is None:
        return token.new_zeros(config.d_value)
    query = layer.W_mq.weight @ token
    if layer.copier is not None:
        query = naming(config, layer.copier.asked, query, token, seen)
    return recall(config, memory, phi(config, query))


def write(
    config: ArmtConfig,
    layer: AssociativeMemory,
    memory: LayerMemory | None,
    m: Tensor,
    seen: Seen | None = None,
    *,
    first: LayerMemory | None = None,
) -> LayerMemory:
    """The memory after a segment, from the layer's output at the tokens that write, m [writers, d_model].

    Where tokens are copied those that write are the last of those in view, `seen`. The official rules compare
    every token with the memory before the segment; the sequential rule compares it with the memory that the
    token before it left, and what it adds with the memory before the segment: `first`, if that is another.
    """
    W, z = memory or nothing(config)
    first = first or LayerMemory(W, z)
    for t, output in enumerate(m):
        token = even(output) if config.normalise_write else output
        key, value, adds = layer.W_mk.weight @ token, layer.W_mv.weight @ token, 0.0
        if layer.copier is not None and seen is not None:
            view = seen.up_to(len(seen.x) - len(m) + t)
            key = naming(config, layer.copier.kept, key, output, view)
            adds, takes = ((1.2 * torch.sigmoid(layer.W_ma(token)) - 0.1).clamp(0, 1)).tolist()
            value = torch.cat((value, word_written(layer.copier, output, view) - takes * view.own[-1]))
        key = phi(config, key)
        if adds:
            had, width = first.W.T @ key, config.d_model
            parts = ((value[:width], had[:width]), (value[width:], had[width:]))
            value = torch.cat([lacking(*part, adds) for part in parts])
        strength = torch.sigmoid(linear(layer.W_mb, token))
        if config.gate == "hard":
            strength = (1.2 * strength - 0.1).clamp(0, 1)
        if config.write_rule == "sequential":
            W = W + strength * torch.outer(key, value - (1 - adds) * W.T @ key)
            continue
        known = torch.zeros_like(value) if memory is None else recall(config, memory, key)
        W = W + strength * torch.outer(key, value - known)
        if config.use_denom:
            z = z + novelty(config, memory, key) * key
    return LayerMemory(W, z)


def lacking(new: Tensor, had: Tensor, adds: float) -> Tensor:
    """What is to be written of something new, less of it by as much as it adds if it is there three times."""
    times = float(new @ had) / max(float(new @ new), EPSILON)
    return new * (1 - adds * min(max(times - 2, 0.0), 1.0))


def novelty(config: ArmtConfig, memory: LayerMemory | None, key: Tensor) -> float:
    """The share g of a key, from 0 to 1, that z does not hold yet."""
    if memory is None or not config.correction:
        return 1.0
    length = float(key @ key) + (EPSILON if config.write_rule == "paper" else 0.0)
    return min(max(1 - (float(memory.z @ key) + EPSILON) / length, 0.0), 1.0)


def convolve(model: ArmtModel, e: Tensor) -> Tensor:
    """Each token's embedding with those before it added, tap by tap: e [n, d_model] -> [n, d_model]."""
    if model.conv is None:
        return e
    C = [tap.diag() if model.conv_in is None else model.conv_in @ tap for tap in model.conv]
    x = e.clone()
    for t in range(len(e)):
        for j in range(1, min(t, len(C)) + 1):
            x[t] += e[t - j] @ C[j - 1]
    return x


def segment(
    model: ArmtModel, ids: Sequence[int], memories: Memories, number: int, recent: Sequence[int] = ()
) -> tuple[Tensor, Memories]:
    """One segment: logits [n, vocab] and the new memories.

    Args:
        model: float32, on the CPU.
        ids: at most segment_size of them.
        memories: of the session before this segment.
        number: which segment of the session this is, from 0.
        recent: the ids before it that are shown again, `config.overlap` of them.
    """
    config = model.config
    ids = [*recent, *ids]
    # The first that writes; all behind it do too.
    writers = len(ids) if config.num_mem_tokens else 0 if config.bidirectional else len(recent)
    within = writers if config.reads_within else None
    x, heard, outputs = run(model, ids, memories, number, both_ways=config.bidirectional, within=within)
    layers = dict(zip(config.memory_layers, model.memories, strict=True))
    written = {
        index: write(
            config,
            cast("AssociativeMemory", layer),
            memories.get(index),
            outputs[index][0][writers:],
            outputs[index][1],
        )
        for index, layer in layers.items()
    }
    if config.bidirectional or config.reads_within:
        x, heard, _ = run(model, ids, memories, number, both_ways=False)
    x, heard = x[len(recent) : len(ids)], heard[len(recent) : len(ids)]
    logits = model.backbone.head(x.unsqueeze(0))[0]
    if model.words is not None:
        for t in range(len(logits)):
            logits[t] = say_next(model, ids[: len(recent) + t + 1], heard[t], logits[t])
    return logits, written


def run(
    model: ArmtModel,
    ids: Sequence[int],
    memories: Memories,
    number: int,
    *,
    both_ways: bool,
    within: int | None = None,
) -> tuple[Tensor, Tensor, list[tuple[Tensor, Seen]]]:
    """What the last block gives for ids and memory tokens, what these heard, and what every block gives.

    [n, d_model]; [n, copying]; of each block its output [n, d_model], and what it was given. What tokens from
    `within` on write is read by those behind them.
    """
    config, backbone = model.config, model.backbone
    text = convolve(model, backbone.embed(torch.tensor([list(ids)]))[0])
    x = torch.cat([text, model.memory_tokens])
    x, rotary = backbone.place(x.unsqueeze(0), torch.tensor([positions(config, len(ids), number)]))
    mask = torch.full((x.shape[1], x.shape[1]), float("-inf")).triu(1)[None, None]
    if both_ways:
        mask = torch.zeros_like(mask)
    arguments = {} if rotary is None else {"position_embeddings": rotary}
    layers = cast(
        "dict[int, AssociativeMemory]", dict(zip(config.memory_layers, model.memories, strict=True))
    )
    own = torch.zeros(x.shape[1], config.copying)
    for t in range(1, len(ids) if config.copying else 0):
        for place, part in enumerate(ended(model, ids[: t + 1])):
            own[t] += turned(part, place)
    heard = torch.zeros(x.shape[1], config.copying)
    outputs = []
    for index, block in enumerate(backbone.blocks):
        if index in layers and not config.reads_within:
            layer, view = layers[index], Seen(x[0], own, heard)
            reads = [remembered(config, layer, memories.get(index), view.up_to(t)) for t in range(x.shape[1])]
            x, heard = hear(config, layer, x, heard, torch.stack(reads))
        seen, x = Seen(x[0], own, heard), block(x, attention_mask=mask, **arguments)
        outputs.append((x[0], seen))
        if index in layers and config.reads_within:
            layer, memory, reads = layers[index], memories.get(index), []
            first = memory or nothing(config)
            for t in range(x.shape[1]):
                reads.append(remembered(config, layer, memory, Seen(x[0], own, heard).up_to(t)))
                if within is not None and t >= within:
                    memory = write(config, layer, memory, x[0][t : t + 1], seen.up_to(t), first=first)
            x, heard = hear(config, layer, x, heard, torch.stack(reads))
    return x[0], heard, outputs


def hear(
    config: ArmtConfig, layer: AssociativeMemory, x: Tensor, heard: Tensor, found: Tensor
) -> tuple[Tensor, Tensor]:
    """The stream [1, n, d_model] and what was heard [n, copying] with what is remembered, [n, d_value]."""
    x = x + found[:, : config.d_model]
    if layer.copier is not None:
        said = torch.stack([torch.sigmoid(linear(layer.copier.say, even(token))) for token in x[0]])
        heard = heard + said[:, None] * found[:, config.d_model :]
    return x, heard


def positions(config: ArmtConfig, n: int, number: int) -> list[int]:
    """Position ids of a segment's n tokens and of its memory tokens."""
    M = config.num_mem_tokens
    if config.positions_run_on:
        start = number * (config.segment_size + M)
        return list(range(start, start + n + M))
    if config.wrap_pos:
        own = config.backbone["n_positions"]
        return [*range(n), *range(own, own + M)]
    return list(range(n + M))


def starts(config: ArmtConfig, n: int, told: int) -> list[int]:
    """Where the segments of n ids begin, the first `told` of which are a text and the others a prompt."""
    prompt = told if config.fold_tail and told < n else 0
    return [*range(0, prompt, config.segment_size), *range(prompt, n, config.segment_size)]


@torch.no_grad()
def document(model: ArmtModel, ids: Sequence[int], told: int = 0) -> tuple[Tensor, list[Memories]]:
    """A whole text: logits [len(ids), vocab], and the memories after each segment, a partial last one too."""
    config = model.config
    overlap = config.overlap
    shown = [*[config.overlap_fill] * config.overlap, *ids]
    logits: list[Tensor] = []
    history: list[Memories] = []
    for number, (start, end) in enumerate(pairwise([*starts(config, len(ids), told), len(ids)])):
        before = history[-1] if history else {}
        recent = shown[start : start + overlap]
        found, after = segment(model, ids[start:end], before, number, recent)
        logits.append(found)
        history.append(after)
    return torch.cat(logits), history


def generate(model: ArmtModel, ids: Sequence[int], count: int, told: int = 0) -> list[int]:
    """Greedy continuation by `count` tokens; the whole document is computed anew for each."""
    new: list[int] = []
    for _ in range(count):
        new.append(int(document(model, [*ids, *new], told)[0][-1].argmax()))
    return new
