"""Codes of tokens, and the words that tokens make up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from armt.layout import Layout
from armt.spelling import BEGINS, GOES_ON, LONGEST, NO_WORD, Words, codes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

SPELLED = {" ": 0, ".": 1, "Ġthe": 2, "Ġob": 3, "serv": 4, "atory": 5, "▁Anna": 6, "3": 7, "Ġ": 8}


def spelled(width: int = 128) -> Words:
    made = Words(len(SPELLED) + 1, width)
    made.spell(SPELLED)
    return made


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


def test_letters_behind_a_space_begin_a_word_and_bare_ones_go_on_with_it():
    assert spelled().part.tolist() == [
        *[NO_WORD, NO_WORD, BEGINS, BEGINS, GOES_ON, GOES_ON, BEGINS, NO_WORD, NO_WORD],
        NO_WORD,  # the model knows an id that the tokenizer does not
    ]


@pytest.mark.parametrize(
    ("token", "part"),
    [
        ("Ċ", NO_WORD),  # a line feed, as all below written byte for byte
        ("ĉ", NO_WORD),  # a tab
        ("âĢĶ", NO_WORD),  # a dash
        ("ĠâĢľ", NO_WORD),  # an opening quotation mark
        ("â", NO_WORD),  # what it begins with
        ("Ã©", GOES_ON),  # an e with an accent
        ("Ã", GOES_ON),  # what it begins with
        ("©", GOES_ON),  # the rest of it
        ("ĠÃī", BEGINS),  # a capital one
    ],
)
def test_of_a_byte_level_tokenizer_characters_are_what_their_bytes_spell(token: str, part: int) -> None:
    words = Words(2, 8)
    words.spell({token: 0, "Ġ": 1})
    assert words.part[0] == part


def test_a_metaspace_tokenizer_writes_letters_as_they_are() -> None:
    words = Words(3, 8)
    words.spell({"▁Dvo": 0, "ř": 1, "č": 2})
    assert words.part.tolist() == [BEGINS, GOES_ON, GOES_ON]


def test_a_word_of_several_tokens_is_the_sum_of_their_codes_bound_and_turned_by_their_places():
    words = spelled()
    c = words.codes

    found = words(torch.tensor([[2, 3, 4, 5, 1]]))[0]

    observ = c[3] + (c[4] * c[3].sign()).roll(1)
    observatory = observ + (c[5] * c[4].sign()).roll(2)
    torch.testing.assert_close(found, torch.stack([c[2], c[3], observ, observatory, c[1]]))


def test_a_word_is_there_for_the_token_behind_it_and_for_none_within_it():
    words = spelled()

    found = words.ended(torch.tensor([[2, 3, 4, 5, 1, 1]]))[0]

    whole = words(torch.tensor([[3, 4, 5]]))[0, -1]
    nothing = torch.zeros(128)
    torch.testing.assert_close(
        found, torch.stack([nothing, words.codes[2], nothing, nothing, whole, words.codes[1]])
    )


def test_letters_behind_something_else_than_a_word_begin_one():
    words = spelled()

    torch.testing.assert_close(words(torch.tensor([[1, 4, 5]]))[0, 1:], words(torch.tensor([[4, 5]]))[0])


def say(words: Words, heard: Tensor, said: list[int], blocks: Mapping[int, float]) -> int:
    """The token behind `said` where the blocks give some a logit and others 0."""
    logits = torch.zeros(len(SPELLED) + 1)
    logits[list(blocks)] = torch.tensor(list(blocks.values()))
    ahead = words.next(heard.expand(1, len(said), -1), torch.tensor([said]))
    return int(words.say(logits, ahead)[0, -1].argmax())


@pytest.mark.parametrize("loudness", [0.05, 0.5, 1.0, 1.8])
def test_the_word_that_was_heard_is_said_token_by_token_and_then_what_the_blocks_say(loudness: float):
    words = spelled()
    observatory = loudness * words(torch.tensor([[3, 4, 5]]))[:, -1:]
    said = [1]  # behind no word, as an answer begins
    for _ in range(4):
        said.append(say(words, observatory, said, {7: 1.0}))

    assert said[1:] == [3, 4, 5, 7]


def test_a_word_that_was_heard_goes_on_where_the_blocks_would_have_it_end():
    words = spelled()
    observatory = words(torch.tensor([[3, 4, 5]]))[:, -1:]

    assert say(words, observatory, [3, 4], {7: 55.0, 5: -10.0}) == 5


def test_a_word_that_was_said_ends_as_the_blocks_would_have_it_however_loud_they_are():
    words = spelled()

    assert say(words, words.codes[2].expand(1, 1, -1), [2], {1: 30.0, 7: 55.0}) == 7


def test_of_two_words_that_were_heard_the_one_that_was_begun_is_gone_on_with():
    words = spelled()
    both = words(torch.tensor([[3, 5]]))[:, -1:] + 1.2 * words(torch.tensor([[6, 4]]))[:, -1:]

    assert say(words, both, [3], {}) == 5
    assert say(words, both, [6], {}) == 4


def test_a_word_goes_on_only_with_what_can():
    words = spelled()
    both = words.codes[3] + (words.codes[6] * words.codes[3].sign()).roll(1)

    assert say(words, both, [3], {7: 1.0}) == 7


def test_behind_a_word_that_was_not_heard_all_that_was_is_next():
    words = spelled()
    heard = words(torch.tensor([[3, 4]]))[:, -1:]

    found = words.next(heard, torch.tensor([[2]]))

    torch.testing.assert_close(found[..., :-1], heard.roll(-1, dims=-1) * words.codes[2].sign())
    assert not found[..., -1].any()


def test_a_model_that_was_not_told_of_words_takes_each_token_for_one():
    words = Words(len(SPELLED), 128)
    ids = torch.tensor([[2, 3, 4, 5]])

    assert torch.equal(words(ids), words.codes[ids])
    assert torch.equal(words.next(words(ids), ids)[..., :-1], words(ids))


@settings(deadline=None)
@given(st.lists(st.integers(0, len(SPELLED) - 1), min_size=1, max_size=12))
def test_what_a_word_is_depends_on_it_alone(ids: list[int]) -> None:
    words = spelled()
    whole = words(torch.tensor([ids]))[0]
    for end in range(1, len(ids) + 1):
        last = words(torch.tensor([ids[max(0, end - LONGEST - 1) : end]]))[0, -1]
        torch.testing.assert_close(whole[end - 1], last)


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(1, 12), st.integers(0, 2**31))
def test_words_of_several_tokens_are_the_same_where_they_alone_are_worked_out(
    rows: int, n: int, seed: int
) -> None:
    words = spelled()
    ids = torch.randint(len(SPELLED), (rows, n), generator=torch.Generator().manual_seed(seed))

    with torch.no_grad():  # as reading does, where time counts
        alone = words.ended(ids)

    assert torch.equal(alone, words.ended(ids))


def test_words_are_found_in_questions_that_stand_anywhere_too():
    words = spelled()
    ids = torch.tensor([[2, 1, 3, 4]])  # "the", and behind it the questions "." and "observ"
    previous = torch.tensor([[-1, 0, 0, 2]])
    layout = Layout(torch.zeros(1, 4), torch.ones(1, 1, 4, 4, dtype=torch.bool), previous)
    heard = torch.randn(1, 4, 128)

    found = words.next(heard, ids, layout)

    alone = words.next(heard[:, 2:], ids[:, 2:])
    assert torch.equal(found[:, 2:], alone)
    assert torch.equal(found[:, 1, :-1], heard[:, 1])
    assert torch.equal(words(ids, layout)[:, 2:], words(ids[:, 2:]))
    behind = words.ended(ids, layout)[0]
    torch.testing.assert_close(
        behind, torch.stack([torch.zeros(128), *words.codes[[2, 2]], torch.zeros(128)])
    )
