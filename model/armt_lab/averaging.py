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
        ConfigError: they differ in config, tokenizer or way of asking.
    """
    _agree("config", first.model.config, second.model.config)
    _agree("tokenizer", *(one.tokenizer and one.tokenizer.to_json() for one in (first, second)))
    _agree("way of asking", first.template, second.template)
    model = copy.deepcopy(first.model)
    with torch.no_grad():
        for parameter, other in zip(model.parameters(), second.model.parameters(), strict=True):
            parameter.mul_(1 - share).add_(share * other)
    return Checkpoint.of(model, first.tokenizer, first.template)


def _agree(what: str, one: object, other: object) -> None:
    if one != other:
        raise ConfigError(
            f"models that differ in their {what} have no mean: give one that was trained on from the other"
        )
