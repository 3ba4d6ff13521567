"""Tokens that a memory keeps as they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from armt.copying import BEGINS, GOES_ON, LONGEST, NO_WORD, PICK, Copier, Names, Picks, View, Words, codes
from armt.features import product
from armt.layout import Layout

if TYPE_CHECKING:
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
    view = a_segment()

    found = copier(own=CERTAIN, again=-CERTAIN).word(view.x, view)

    torch.testing.assert_close(found, view.own)


def test_a_token_that_repeats_writes_what_it_heard():
    view = a_segment()

    found = copier(own=CERTAIN, again=CERTAIN).word(view.x, view)

    torch.testing.assert_close(found, view.heard)


def test_a_token_without_a_preference_writes_a_little_of_all_before_it():
    view = a_segment()

    found = copier(own=-4.0, again=-CERTAIN).word(view.x[:, -2:], view)

    own = view.own
    torch.testing.assert_close(found, torch.stack([own[:, :4].mean(dim=1), own.mean(dim=1)], dim=1))


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(1, 2), st.integers(0, 2**31))
def test_what_comes_later_changes_no_word(n: int, words: int, seed: int) -> None:
    torch.manual_seed(seed)
    picks = Picks(tiny.config(num_mem_tokens=0, features="product", copying=WIDTH), words, 5)
    picks.requires_grad_(False)
    view = a_segment(8)

    shorter = picks(view.x[:, :n], View(*(part[:, :n] for part in view[:3])))

    torch.testing.assert_close(picks(view.x, view)[:, :n], shorter)
    torch.testing.assert_close(picks(view.x[:, -2:], view), picks(view.x, view)[:, -2:])


def test_a_token_picks_of_those_alone_that_it_sees():
    view = a_segment(4)
    alone = Layout(torch.arange(4)[None], torch.eye(4, dtype=torch.bool)[None, None], torch.full((1, 4), -1))

    found = copier(again=-CERTAIN).word(view.x, view._replace(layout=alone))

    torch.testing.assert_close(found, view.own)


def test_a_key_names_in_each_half_the_word_that_was_picked_for_it():
    config = tiny.config(num_mem_tokens=0, features="product", d_mem=8, copying=WIDTH)
    view = a_segment(4)._replace(own=codes(4, WIDTH)[None])
    like_the_second = view.x[:, 1:2]

    key, words = names(named=CERTAIN, config=config)(torch.randn(1, 1, 8), like_the_second, view)

    # Of a code the beginning and the end, the latter reversed, made as long as the whole.
    code = view.own[:, 1:2]
    torch.testing.assert_close(words, 2 * torch.cat((code[..., :4], code.flip(-1)[..., :4]), dim=-1))
    torch.testing.assert_close(key, words)


def test_a_key_that_names_nothing_is_what_it_was_but_for_the_length_of_its_halves():
    config = tiny.config(num_mem_tokens=0, features="product", d_mem=8, copying=WIDTH)
    view, key = a_segment(4), torch.randn(1, 4, 8)

    found, _ = names(named=-CERTAIN, config=config)(key, view.x, view)

    torch.testing.assert_close(product(found), product(key))


def test_a_name_that_is_uncertain_is_no_louder_for_it():
    config = tiny.config(num_mem_tokens=0, features="product", d_mem=8, copying=WIDTH)
    view = a_segment(4)._replace(own=codes(4, WIDTH)[None])
    undecided = names(named=CERTAIN, config=config)
    undecided.picks.W_pq.weight.zero_()

    found, _ = undecided(torch.randn(1, 1, 8), view.x[:, -1:], view)

    torch.testing.assert_close(found[0, 0, :4], 2 * view.own[0, :, :4].mean(dim=0))


def test_a_token_looks_less_at_what_is_further_back():
    view = a_segment(3)
    made = copier(own=-4.0, again=-CERTAIN)
    made.picks.far.fill_(math.log(2))

    found = made.word(view.x[:, -1:], view)

    shares = torch.tensor([1, 2, 4]) / 7
    torch.testing.assert_close(found[0, 0], shares @ view.own[0])


@pytest.mark.parametrize(("say", "share"), [(-CERTAIN, 0.0), (0.0, 0.5), (CERTAIN, 1.0)])
def test_the_gate_decides_how_much_is_heard(say: float, share: float) -> None:
    view = a_segment()

    torch.testing.assert_close(copier(say=say).hear(view.x, view.heard), share * view.heard)


def test_a_token_whose_code_was_heard_is_said_whatever_it_is():
    model = tiny.model(num_mem_tokens=0, features="product", copying=128)
    everything = torch.arange(tiny.VOCABULARY)
    hidden = torch.randn(1, tiny.VOCABULARY, 32)

    found = model.head(torch.cat((hidden, codes(tiny.VOCABULARY, 128)[None]), dim=-1))

    assert torch.equal(found.argmax(dim=-1)[0], everything)


SPELLED = {" ": 0, ".": 1, "Ġthe": 2, "Ġob": 3, "serv": 4, "atory": 5, "▁Anna": 6, "3": 7, "Ġ": 8}


def spelled(width: int = 128) -> Words:
    made = Words(len(SPELLED) + 1, width)
    made.spell(SPELLED)
    return made


def test_letters_behind_a_space_begin_a_word_and_bare_ones_go_on_with_it():
    assert spelled().part.tolist() == [
        *[NO_WORD, NO_WORD, BEGINS, BEGINS, GOES_ON, GOES_ON, BEGINS, NO_WORD, NO_WORD],
        NO_WORD,  # the model knows an id that the tokenizer does not
    ]


def test_a_word_of_several_tokens_is_the_sum_of_their_codes_turned_by_their_places():
    words = spelled()
    c = words.codes

    found = words(torch.tensor([[2, 3, 4, 5, 1]]))[0]

    observ = c[3] + c[4].roll(1)
    torch.testing.assert_close(found, torch.stack([c[2], c[3], observ, observ + c[5].roll(2), c[1]]))


def test_letters_behind_something_else_than_a_word_begin_one():
    words = spelled()

    torch.testing.assert_close(
        words(torch.tensor([[1, 4, 5]]))[0, 2], words.codes[4] + words.codes[5].roll(1)
    )


def test_the_word_that_was_heard_is_said_token_by_token():
    words = spelled()
    observatory = words(torch.tensor([[3, 4, 5]]))[:, -1:]
    said = [1]  # behind no word, as an answer begins
    for _ in range(3):
        heard = observatory.expand(1, len(said), -1)
        said.append(int(words.logits(words.next(heard, torch.tensor([said])))[0, -1].argmax()))

    assert said[1:] == [3, 4, 5]


def test_a_model_that_was_not_told_of_words_takes_each_token_for_one():
    words = Words(len(SPELLED), 128)
    ids = torch.tensor([[2, 3, 4, 5]])

    assert torch.equal(words(ids), words.codes[ids])
    assert torch.equal(words.next(words(ids), ids), words(ids))


@settings(deadline=None)
@given(st.lists(st.integers(0, len(SPELLED) - 1), min_size=1, max_size=12))
def test_what_a_word_is_depends_on_it_alone(ids: list[int]) -> None:
    words = spelled()
    whole = words(torch.tensor([ids]))[0]
    for end in range(1, len(ids) + 1):
        last = words(torch.tensor([ids[max(0, end - LONGEST) : end]]))[0, -1]
        torch.testing.assert_close(whole[end - 1], last)


def test_words_are_found_in_questions_that_stand_anywhere_too():
    words = spelled()
    ids = torch.tensor([[2, 1, 3, 4]])  # "the", and behind it the questions "." and "observ"
    previous = torch.tensor([[-1, 0, 0, 2]])
    layout = Layout(torch.zeros(1, 4), torch.ones(1, 1, 4, 4, dtype=torch.bool), previous)
    heard = torch.randn(1, 4, 128)

    found = words.next(heard, ids, layout)

    alone = words.next(heard[:, 2:], ids[:, 2:])
    assert torch.equal(found[:, 2:], alone)
    assert torch.equal(found[:, 1], heard[:, 1])
    assert torch.equal(words(ids, layout)[:, 2:], words(ids[:, 2:]))
