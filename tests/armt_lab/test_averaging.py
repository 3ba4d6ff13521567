"""The mean of two models' weights."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import torch

import tiny
from armt import checkpoint
from armt.checkpoint import PromptTemplate
from armt.errors import ConfigError
from armt_lab.averaging import average

if TYPE_CHECKING:
    from pathlib import Path

    from armt.checkpoint import Checkpoint


def weights(of: Checkpoint) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in of.model.parameters()])


def another(seed: int = 1) -> Checkpoint:
    made = tiny.checkpoint()
    generator = torch.Generator().manual_seed(seed)
    for parameter in made.model.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator)
    return made


def test_it_lies_between_the_two_and_at_the_ends_it_is_one_of_them(tmp_path: Path) -> None:
    first, second = tiny.checkpoint(), another()
    one, other = weights(first).clone(), weights(second).clone()
    checkpoint.save(average(first, second, 0.25), tmp_path)
    found = checkpoint.load(str(tmp_path), "cpu", "float32")
    torch.testing.assert_close(weights(found), 0.75 * one + 0.25 * other)
    assert torch.equal(weights(average(first, second, 0.0)), one)
    assert torch.equal(weights(average(first, second, 1.0)), other)
    assert torch.equal(weights(first), one)
    assert found.template == first.template


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (tiny.checkpoint(d_mem=16), "config"),
        (dataclasses.replace(tiny.checkpoint(), tokenizer=None), "tokenizer"),
        (dataclasses.replace(tiny.checkpoint(), template=PromptTemplate("Q", "A")), "way of asking"),
    ],
    ids=["config", "tokenizer", "way of asking"],
)
def test_models_that_differ_in_more_than_their_weights_have_none(second: Checkpoint, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        average(tiny.checkpoint(), second)
