"""The mean of two models' weights.

Between a model and one that was trained on from it lies one that has most of what was learnt and little of
what was forgotten (model soups, arXiv 2203.05482).
"""

from __future__ import annotations

import copy

import torch

from armt.checkpoint import Checkpoint
from armt.errors import ConfigError


def average(first: Checkpoint, second: Checkpoint, share: float = 0.5) -> Checkpoint:
    """A model of the same kind whose weights are `(1 - share) * first + share * second`.

    Raises:
        ConfigError: they differ in config, tokenizer or way of asking, or in the sizes of their weights.
    """
    _agree("config", first.model.config, second.model.config)
    _agree("tokenizer", *(one.tokenizer and one.tokenizer.to_json() for one in (first, second)))
    _agree("way of asking", first.template, second.template)
    model, others = copy.deepcopy(first.model), dict(second.model.named_parameters())
    sizes = [{name: p.shape for name, p in one.named_parameters()} for one in (first.model, second.model)]
    _agree("weights' sizes", *sizes)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(1 - share).add_(share * others[name])
    return Checkpoint.of(model, first.tokenizer, first.template)


def _agree(what: str, one: object, other: object) -> None:
    if one != other:
        raise ConfigError(
            f"models that differ in their {what} have no mean: give one that was trained on from the other"
        )
