"""Tokens that a memory keeps as they are."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, TypeVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from armt.copying import PICK, REACH, Copier, Names, Picks, View
from armt.features import product
from armt.layout import Layout
from armt.spelling import codes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from armt.config import ArmtConfig

Module = TypeVar("Module", bound=torch.nn.Module)
WIDTH = 16
CERTAIN = 50.0
"""A logit that leaves no doubt."""


def still(module: Module) -> Module:
    """With every weight 0."""
    for parameter in module.requires_grad_(False).parameters():
        parameter.zero_()
    return module


def copier(*, own: float = 0.0, again: float = 0.0, say: float = 0.0) -> Copier:
    """One that decides everything by what it is told here."""
    made = still(Copier(tiny.config(num_mem_tokens=0, features="product", copying=WIDTH)))
    for gate, value in ((made.own, own), (made.picks.again, again), (made.say, say)):
        gate.bias.fill_(value)
    return made


def names(*, named: float, config: ArmtConfig | None = None) -> Names:
    """One that names, by so much, the token that is most like the one that asks."""
    made = still(Names(config or tiny.config(num_mem_tokens=0, features="product", copying=WIDTH)))
    made.named.bias.fill_(named)
    made.picks.again.bias.fill_(-CERTAIN)
    for matrix in (made.picks.W_pq.weight, made.picks.W_pk.weight):
        matrix[:PICK, :PICK] = CERTAIN * torch.eye(PICK)
        matrix[PICK:, :PICK] = CERTAIN * torch.eye(PICK)
    return made


def a_segment(n: int = 5) -> View:
    """Tokens in view, their codes and what they heard, all drawn."""
    return View(torch.randn(1, n, 32), torch.randn(1, n, WIDTH), torch.randn(1, n, WIDTH))


def parts(view: View) -> Iterator[Tensor]:
    """What a segment's tokens are, their codes and what they heard."""
    return (part for part in (view.x, view.own, view.heard) if part is not None)


def test_a_token_that_prefers_itself_writes_its_own_code():
    view = a_segment()

    found = copier(own=CERTAIN, again=-CERTAIN).word(view.even, view)

    torch.testing.assert_close(found, view.own)


def test_a_token_that_repeats_writes_what_it_heard():
    view = a_segment()

    found = copier(own=CERTAIN, again=CERTAIN).word(view.even, view)

    torch.testing.assert_close(found, view.heard)


def test_a_token_without_a_preference_writes_a_little_of_all_before_it():
    view = a_segment()

    found = copier(own=-4.0, again=-CERTAIN).word(view.even[:, -2:], view)

    own = view.own
    torch.testing.assert_close(found, torch.stack([own[:, :4].mean(dim=1), own.mean(dim=1)], dim=1))


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(1, 2), st.integers(0, 2**31))
def test_what_comes_later_changes_no_word(n: int, words: int, seed: int) -> None:
    torch.manual_seed(seed)
    picks = Picks(tiny.config(num_mem_tokens=0, features="product", copying=WIDTH), words)
    picks.requires_grad_(False)
    view = a_segment(8)

    shorter = picks(view.even[:, :n], View(*(part[:, :n] for part in parts(view))))

    torch.testing.assert_close(picks(view.even, view)[:, :n], shorter)
    torch.testing.assert_close(picks(view.even[:, -2:], view), picks(view.even, view)[:, -2:])


def test_before_the_first_memory_is_as_if_every_token_had_heard_nothing():
    picks = Picks(tiny.config(num_mem_tokens=0, features="product", copying=WIDTH), 2)
    torch.nn.init.normal_(picks.W_ph.weight)
    silent = dataclasses.replace(a_segment(), heard=torch.zeros(1, 5, WIDTH))

    with torch.no_grad():
        before = picks(silent.even, dataclasses.replace(silent, heard=None))
        torch.testing.assert_close(before, picks(silent.even, silent), atol=1e-6, rtol=1e-5)


def test_a_memory_is_asked_in_the_streams_own_dtype_and_with_the_same_key():
    torch.manual_seed(0)
    memory = tiny.model(num_mem_tokens=0, features="bind", copying=WIDTH).memories[0]
    view = a_segment()
    rounded = View(*(part.bfloat16() for part in parts(view)))

    with torch.no_grad():
        full, half = memory.query(view.x, view).phi, memory.query(rounded.x, rounded).phi

    assert half.dtype is torch.bfloat16
    assert float((full * half).sum(dim=-1).min()) > 0.99


def test_a_token_picks_of_those_alone_that_it_sees():
    view = a_segment(4)
    alone = Layout(torch.arange(4)[None], torch.eye(4, dtype=torch.bool)[None, None], torch.full((1, 4), -1))

    found = copier(again=-CERTAIN).word(view.even, dataclasses.replace(view, layout=alone))

    torch.testing.assert_close(found, view.own)


def test_a_key_names_in_each_half_the_word_that_was_picked_for_it():
    config = tiny.config(num_mem_tokens=0, features="product", d_mem=8, copying=WIDTH)
    view = dataclasses.replace(a_segment(4), own=codes(4, WIDTH)[None])
    like_the_second = view.even[:, 1:2]

    halves, words, _ = names(named=CERTAIN, config=config)(torch.randn(1, 1, 8), like_the_second, view)

    # Of a code the beginning and the end, the latter reversed, made as long as the whole.
    code = view.own[:, 1:2]
    torch.testing.assert_close(words, 2 * torch.cat((code[..., :4], code.flip(-1)[..., :4]), dim=-1))
    torch.testing.assert_close(torch.cat(halves, dim=-1), words)


def test_a_key_that_names_nothing_is_what_it_was_but_for_the_length_of_its_halves():
    config = tiny.config(num_mem_tokens=0, features="product", d_mem=8, copying=WIDTH)
    view, key = a_segment(4), torch.randn(1, 4, 8)

    found, *_ = names(named=-CERTAIN, config=config)(key, view.even, view)

    torch.testing.assert_close(product(torch.cat(found, dim=-1)), product(key))


def test_a_name_that_is_uncertain_is_no_louder_for_it():
    config = tiny.config(num_mem_tokens=0, features="product", d_mem=8, copying=WIDTH)
    view = dataclasses.replace(a_segment(4), own=codes(4, WIDTH)[None])
    undecided = names(named=CERTAIN, config=config)
    undecided.picks.W_pq.weight.zero_()

    (found, _), *_ = undecided(torch.randn(1, 1, 8), view.even[:, -1:], view)

    torch.testing.assert_close(found[0, 0], 2 * view.own[0, :, :4].mean(dim=0))


@settings(deadline=None)
@given(
    st.integers(1, WIDTH), st.integers(1, WIDTH), st.sampled_from(["heard", "silent"]), st.integers(0, 2**31)
)
def test_who_learns_is_told_how_much_a_half_looks_at_each_word_by_how_far_back_it_ended(
    n: int, last: int, memory: str, seed: int
) -> None:
    torch.manual_seed(seed)
    made = Names(tiny.config(num_mem_tokens=0, features="product", d_mem=2 * WIDTH, copying=WIDTH))
    m = min(n, last)
    heard = torch.zeros(1, n, WIDTH) if memory == "heard" else None
    view = View(torch.randn(1, n, 32), torch.eye(WIDTH)[None, :n], heard)

    _, words, looked = made(torch.randn(1, m, 2 * WIDTH), view.even[:, n - m :], view)

    first, second = looked.view(m, 2, REACH).unbind(1)
    for i, t in enumerate(range(n - m, n)):
        named = words[0, i].detach()
        torch.testing.assert_close(first[i, : t + 1].exp().detach(), named[: t + 1].flip(0))
        torch.testing.assert_close(second[i, : t + 1].exp().detach(), named.flip(0)[: t + 1].flip(0))
        assert not looked.view(m, 2, REACH)[i, :, t + 1 :].any()


def test_a_token_looks_less_at_what_is_further_back():
    view = a_segment(3)
    made = copier(own=-4.0, again=-CERTAIN)
    made.picks.far.fill_(math.log(2))

    found = made.word(view.even[:, -1:], view)

    shares = torch.tensor([1, 2, 4]) / 7
    torch.testing.assert_close(found[0, 0], shares @ view.own[0])


@pytest.mark.parametrize(("say", "share"), [(-CERTAIN, 0.0), (0.0, 0.5), (CERTAIN, 1.0)])
def test_the_gate_decides_how_much_is_heard(say: float, share: float) -> None:
    view = a_segment()

    torch.testing.assert_close(copier(say=say).hear(view, view.heard), share * view.heard)


def test_a_token_whose_code_was_heard_is_said_whatever_it_is():
    model = tiny.model(num_mem_tokens=0, features="product", copying=128)
    everything = torch.arange(tiny.VOCABULARY)
    hidden = torch.randn(1, tiny.VOCABULARY, 32)
    heard = torch.cat((codes(tiny.VOCABULARY, 128), torch.zeros(tiny.VOCABULARY, 1)), dim=-1)[None]

    found = model.head(torch.cat((hidden, heard), dim=-1))

    assert torch.equal(found.argmax(dim=-1)[0], everything)
