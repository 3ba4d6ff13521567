"""Tokens that a memory keeps as they are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from armt.copying import Copier, codes

WIDTH = 16
CERTAIN = 50.0
"""A logit that leaves no doubt."""


def copier(*, own: float = 0.0, again: float = 0.0, say: float = 0.0) -> Copier:
    """One that decides everything by what it is told here."""
    made = Copier(tiny.config(num_mem_tokens=0, copying=WIDTH)).requires_grad_(False)
    for parameter in made.parameters():
        parameter.zero_()
    for gate, value in ((made.own, own), (made.again, again), (made.say, say)):
        gate.bias.fill_(value)
    return made


def a_segment(n: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Outputs of a block, codes, and what was heard, all drawn."""
    return torch.randn(1, n, 32), torch.randn(1, n, WIDTH), torch.randn(1, n, WIDTH)


def test_codes_are_of_length_one_and_hardly_alike():
    found = codes(500, 128)

    alike = found @ found.mT
    torch.testing.assert_close(alike.diagonal(), torch.ones(500))
    assert alike.fill_diagonal_(0).abs().max() < 0.5


def test_a_token_keeps_its_code_in_any_vocabulary():
    assert torch.equal(codes(500, 24)[:20], codes(20, 24))
    assert codes(2, 8).sign().tolist() == [
        [1, -1, 1, -1, -1, -1, -1, -1],
        [1, -1, -1, -1, 1, -1, -1, -1],
    ]


def test_a_token_that_prefers_itself_writes_its_own_code():
    x, own, heard = a_segment()

    found = copier(own=CERTAIN, again=-CERTAIN).word(x, x, own, heard)

    torch.testing.assert_close(found, own)


def test_a_token_that_repeats_writes_what_it_heard():
    x, own, heard = a_segment()

    found = copier(own=CERTAIN, again=CERTAIN).word(x, x, own, heard)

    torch.testing.assert_close(found, heard)


def test_a_token_without_a_preference_writes_a_little_of_all_before_it():
    x, own, heard = a_segment()

    found = copier(own=-4.0, again=-CERTAIN).word(x[:, -2:], x, own, heard)

    torch.testing.assert_close(found, torch.stack([own[:, :4].mean(dim=1), own.mean(dim=1)], dim=1))


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(0, 2**31))
def test_what_comes_later_changes_no_word(n: int, seed: int) -> None:
    torch.manual_seed(seed)
    made = Copier(tiny.config(num_mem_tokens=0, copying=WIDTH)).requires_grad_(False)
    x, own, heard = a_segment(8)

    shorter = made.word(x[:, :n], x[:, :n], own[:, :n], heard[:, :n])

    torch.testing.assert_close(made.word(x, x, own, heard)[:, :n], shorter)


@pytest.mark.parametrize(("say", "share"), [(-CERTAIN, 0.0), (0.0, 0.5), (CERTAIN, 1.0)])
def test_the_gate_decides_how_much_is_heard(say: float, share: float) -> None:
    x, given_, _ = a_segment()

    torch.testing.assert_close(copier(say=say).hear(x, given_), share * given_)


def test_a_token_whose_code_was_heard_is_said_whatever_it_is():
    model = tiny.model(num_mem_tokens=0, copying=128)
    everything = torch.arange(tiny.VOCABULARY)
    hidden = torch.randn(1, tiny.VOCABULARY, 32)

    found = model.head(torch.cat((hidden, codes(tiny.VOCABULARY, 128)[None]), dim=-1))

    assert torch.equal(found.argmax(dim=-1)[0], everything)
