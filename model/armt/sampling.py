"""How the next token is chosen from the logits."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import torch

from armt.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

MAX_SEED = 2**63 - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """Options of one answer. Frozen; a value that cannot work is refused when the object is made.

    Attributes:
        max_tokens: the answer's greatest length in tokens.
        temperature: 0 takes the likeliest token; above it, 1 samples the model's own distribution.
        top_p: sample only among the likeliest tokens that together have this probability.
        seed: makes sampling repeatable; None draws a fresh one.

    Raises:
        ConfigError: naming the option and the values it may have.
    """

    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        if not _is_whole(self.max_tokens) or self.max_tokens < 1:
            raise ConfigError(f"max_tokens must be a positive whole number, not {self.max_tokens!r}")
        if not _is_number(self.temperature) or self.temperature < 0:
            raise ConfigError(f"temperature must be a number from 0 up, not {self.temperature!r}")
        if not _is_number(self.top_p) or not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must be above 0 and at most 1, not {self.top_p!r}")
        if self.seed is not None and not (_is_whole(self.seed) and 0 <= self.seed <= MAX_SEED):
            raise ConfigError(f"seed must be a whole number from 0 to 2**63 - 1, not {self.seed!r}")

    def generator(self) -> torch.Generator:
        """The source of randomness of one answer; on the CPU, so that a seed means the same everywhere."""
        generator = torch.Generator()
        if self.seed is None:
            generator.seed()
        else:
            generator.manual_seed(self.seed)
        return generator


def choose(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """The next token's id.

    Args:
        logits: [vocab], any floating dtype, any device.
        sampling: temperature and top_p.
        generator: on the CPU; moved on by one draw unless the temperature is 0.
    """
    if sampling.temperature == 0:
        return int(logits.argmax())
    logits = logits.detach().to("cpu", torch.float64)
    # The greatest logit is taken off first: divided by a tiny temperature it would overflow.
    likely, order = (
        ((logits - logits.max()) / sampling.temperature).softmax(-1).sort(descending=True, stable=True)
    )
    summed = likely.cumsum(-1)
    kept = int((summed - likely < sampling.top_p).sum())  # a token stays while those before it fall short
    draw = torch.rand((), generator=generator, dtype=torch.float64) * summed[kept - 1]
    return int(order[min(int(torch.searchsorted(summed, draw, right=True)), kept - 1)])


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
