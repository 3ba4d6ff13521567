"""The fast read and write against the slow ones, for every rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from armt import reference
from armt.copying import View
from armt.features import bind, dpfp, product
from armt.memory import MOST, AssociativeMemory, hard
from armt.reference import LayerMemory
from armt.spelling import codes

if TYPE_CHECKING:
    from torch import Tensor

    from armt.config import ArmtConfig
    from armt.keys import Key

RULES = [
    {"write_rule": "sequential"},
    {"write_rule": "sequential", "gate": "hard"},
    {"write_rule": "sequential", "normalise_write": True},
    {"write_rule": "sequential", "features": "product"},
    {"write_rule": "sequential", "features": "bind"},
    {"write_rule": "official"},
    {"write_rule": "official", "correction": False},
    {"write_rule": "official", "use_denom": False},
    {"write_rule": "paper"},
    {"write_rule": "paper", "correction": False},
    {"write_rule": "paper", "use_denom": False},
]

configs = st.builds(
    lambda rule, d_model, d_mem, tokens: tiny.config(
        hidden_size=d_model, d_mem=d_mem * (1 + ("features" in rule)), num_mem_tokens=tokens, **rule
    ),
    st.sampled_from(RULES),
    st.sampled_from([4, 12]),
    st.integers(1, 6),
    st.integers(1, 6),
)
ages = st.lists(st.integers(0, 3), min_size=1, max_size=4)
seeds = st.integers(0, 2**31)


def layer_of(config: ArmtConfig) -> AssociativeMemory:
    layer = AssociativeMemory(config).requires_grad_(False)
    for name, parameter in layer.named_parameters():
        parameter.normal_(0.5 if name.endswith("bias") else 0.0, 0.3)
    return layer


def write(
    layer: AssociativeMemory, m: Tensor, W: Tensor, z: Tensor, first: Tensor
) -> tuple[Tensor, Tensor, Tensor, Key]:
    """What these tokens, which see no others, make of a memory."""
    return layer.write(layer.source(m, View(m, m.new_zeros(*m.shape[:2], 0))), W, z, first)


def aged(config: ArmtConfig, layer: AssociativeMemory, segments: int) -> LayerMemory | None:
    """A memory that has lived through so many segments; None if through none."""
    memory = None
    for _ in range(segments):
        memory = reference.write(config, layer, memory, torch.randn(config.num_mem_tokens, config.d_model))
    return memory


def batched(config: ArmtConfig, memories: list[LayerMemory | None]) -> tuple[torch.Tensor, torch.Tensor]:
    empty = LayerMemory(torch.zeros(config.d_key, config.d_model), torch.zeros(config.d_key))
    rows = [memory or empty for memory in memories]
    return torch.stack([row.W for row in rows]), torch.stack([row.z for row in rows])


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    largest = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-4 * largest)


@settings(deadline=None, max_examples=60)
@given(configs, ages, st.integers(1, 5), seeds)
def test_what_is_read_agrees_with_the_reference(
    config: ArmtConfig, ages: list[int], n: int, seed: int
) -> None:
    torch.manual_seed(seed)
    layer = layer_of(config)
    memories = [aged(config, layer, age) for age in ages]
    x = torch.randn(len(ages), n, config.d_model)
    W, z = batched(config, memories)

    found = layer.read(x, W.split(1), z.split(1))

    torch.testing.assert_close(found, layer.read(x, [W], [z]))
    for row, memory in enumerate(memories):
        for t in range(n):
            seen = reference.Seen.of(x[row, : t + 1])
            assert_close(found[row, t], reference.remembered(config, layer, memory, seen))


@settings(deadline=None, max_examples=60)
@given(configs, ages, seeds)
def test_what_is_written_agrees_with_the_reference_whatever_the_ages_of_the_rows(
    config: ArmtConfig, ages: list[int], seed: int
) -> None:
    torch.manual_seed(seed)
    layer = layer_of(config)
    memories = [aged(config, layer, age) for age in ages]
    m = torch.randn(len(ages), config.num_mem_tokens, config.d_model)

    W, z, *_ = write(layer, m, *batched(config, memories), first=torch.tensor(ages) == 0)

    for row, memory in enumerate(memories):
        expected = reference.write(config, layer, memory, m[row])
        assert_close(W[row], expected.W)
        assert_close(z[row], expected.z)


def test_the_feature_map_multiplies_every_entry_by_its_three_neighbours() -> None:
    x = torch.tensor([2.0, -3.0])
    u = [2.0, 0.0, 0.0, 3.0]
    expected = [u[i] * u[i - shift] for shift in (1, 2, 3) for i in range(4)]

    assert dpfp(x).tolist() == expected
    assert reference.dpfp(x, normalise=False).tolist() == expected
    torch.testing.assert_close(reference.dpfp(x, normalise=True).norm(), torch.tensor(1.0))


def test_product_features_match_as_far_as_both_halves_do() -> None:
    kitchen, garden, north, south = torch.eye(4)

    def match(x: tuple[torch.Tensor, torch.Tensor], y: tuple[torch.Tensor, torch.Tensor]) -> float:
        return float(product(torch.cat(x)) @ product(torch.cat(y)))

    assert match((kitchen, north), (3 * kitchen, 2 * north)) == 1
    assert match((kitchen, north), (kitchen, south)) == 0
    assert match((kitchen, north), (garden, north)) == 0
    assert match((kitchen, north), (kitchen + garden, north)) == pytest.approx(2**-0.5)
    assert not product(torch.zeros(8)).any()


def test_bound_words_match_none_that_differ_in_one_of_two() -> None:
    milk, apple, kitchen, garden = codes(4, 512)

    def match(x: tuple[torch.Tensor, torch.Tensor], y: tuple[torch.Tensor, torch.Tensor]) -> float:
        return float(bind(*x) @ bind(*y))

    assert match((milk, kitchen), (3 * milk, 2 * kitchen)) == pytest.approx(1)
    for other in ((milk, garden), (apple, kitchen), (apple, garden)):
        assert abs(match((milk, kitchen), other)) < 4 * 512**-0.5
    assert not bind(torch.zeros(4), torch.zeros(4)).any()


def test_an_empty_memory_adds_nothing_to_the_stream() -> None:
    for rule in RULES:
        config = tiny.config(**rule)
        W, z = batched(config, [None, None])
        assert not layer_of(config).read(torch.randn(2, 5, config.d_model), [W], [z]).any()


def test_the_closed_form_of_the_sequential_rule_is_the_delta_rule_token_by_token() -> None:
    torch.manual_seed(0)
    config = tiny.config(num_mem_tokens=6)
    layer = layer_of(config)
    W, z = torch.randn(1, config.d_key, config.d_model), torch.zeros(1, config.d_key)
    m = torch.randn(1, 6, config.d_model)

    found, *_ = write(layer, m, W, z, first=torch.tensor([False]))

    expected = W[0]
    for token in m[0]:
        k = torch.nn.functional.normalize(dpfp(layer.W_mk(token)), dim=-1)
        expected = expected + torch.sigmoid(layer.W_mb(token)) * torch.outer(
            k, layer.W_mv(token) - k @ expected
        )
    torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-5)


def test_words_can_be_added_to_those_that_a_key_has_and_taken_from_them() -> None:
    layer = layer_of(tiny.config())
    milk, apple, football = codes(3, 64)
    key = torch.nn.functional.normalize(torch.randn(1, 1, 12), dim=-1)
    told = torch.stack((football, milk, apple, -milk))[None]
    replaces, adds, opened = torch.zeros(1, 1, 1), torch.ones(1, 3, 1), torch.ones(1, 4, 1)
    a = torch.cat((replaces, adds), dim=1)

    def kept(count: int) -> torch.Tensor:
        k, W = key.expand(1, count, -1), torch.randn(1, 12, 64)
        error = told[:, :count] - (1 - a[:, :count]) * (k @ W)
        return (key @ (W + k.mT @ layer._in_turn(k, error, opened[:, :count], a[:, :count])))[0, 0]

    torch.testing.assert_close(kept(3), football + milk + apple)
    torch.testing.assert_close(kept(4), football + apple)


def test_what_is_added_again_and_again_is_there_a_few_times_at_most_and_can_still_be_taken_away() -> None:
    layer, (milk, apple) = layer_of(tiny.config(copying=64, num_mem_tokens=0)), torch.eye(64)[:2]
    value, a = torch.randn(layer.W_mv.out_features), torch.ones(1)
    had = torch.zeros(len(value) + 64)
    for _ in range(2 * MOST):
        had = had + layer._lacking(torch.cat((value, milk)), had, a)
    torch.testing.assert_close(had, MOST * torch.cat((value, milk)))

    other = layer._lacking(torch.cat((torch.randn(len(value)), apple)), had, a)
    torch.testing.assert_close(other[len(value) :], apple)
    taken = had + layer._lacking(torch.cat((-value, -milk)), had, a)
    torch.testing.assert_close(taken, (MOST - 1) * torch.cat((value, milk)))


@pytest.mark.parametrize("times", [-5.0, 0.5, 2.25, 2.75, 5.0])
def test_what_a_key_has_enough_of_is_as_the_reference_has_it(times: float) -> None:
    layer = layer_of(tiny.config(copying=64, num_mem_tokens=0))
    value, word = torch.randn(layer.W_mv.out_features), torch.randn(64)
    had = torch.cat((times * value, -times * word))
    expected = [reference.lacking(value, times * value, 0.75), reference.lacking(word, -times * word, 0.75)]
    found = layer._lacking(torch.cat((value, word)), had, torch.tensor([0.75]))
    torch.testing.assert_close(found, torch.cat(expected))


def test_like_keys_make_the_official_sum_overshoot_and_the_sequential_rule_does_not() -> None:
    torch.manual_seed(0)
    norms = {}
    for rule in ("sequential", "official"):
        config = tiny.config(write_rule=rule, use_denom=False, correction=False, num_mem_tokens=8)
        layer = layer_of(config)
        layer.W_mb.bias.fill_(2.0)
        W, z = batched(config, [None])
        m = torch.randn(1, 1, config.d_model).expand(1, 8, -1)
        for _ in range(20):
            W, z, *_ = write(layer, m, W, z, first=torch.tensor([False]))
        norms[rule] = float(W.norm())

    assert norms["sequential"] < 10
    assert norms["official"] > 1e6


def test_neither_reading_nor_writing_changes_the_memory_it_was_given() -> None:
    for rule in RULES:
        config = tiny.config(**rule)
        layer = layer_of(config)
        W, z = batched(config, [aged(config, layer, 2)])
        W_before, z_before = W.clone(), z.clone()

        layer.read(torch.randn(1, 4, config.d_model), [W], [z])
        write(layer, torch.randn(1, 3, config.d_model), W, z, first=torch.tensor([False]))

        assert torch.equal(W, W_before)
        assert torch.equal(z, z_before)


def test_the_arithmetic_stays_float32_under_autocast_and_with_bfloat16_streams() -> None:
    config = tiny.config(write_rule="official")
    layer = layer_of(config)
    W, z = batched(config, [aged(config, layer, 2)])
    x = torch.randn(1, 3, config.d_model).bfloat16()
    expected = write(layer, x.float(), W, z, first=torch.tensor([False]))

    with torch.autocast("cpu", torch.bfloat16):
        found = write(layer, x, W, z, first=torch.tensor([False]))
        read = layer.read(x, [W], [z])

    assert read.dtype == torch.bfloat16
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def test_no_gradient_goes_through_the_share_of_a_key_that_is_new() -> None:
    config = tiny.config(write_rule="official")
    layer = layer_of(config)
    W, z = batched(config, [aged(config, layer, 2)])
    z.requires_grad_()

    write(layer, torch.randn(1, 3, config.d_model), W, z, first=torch.tensor([False]))[1].sum().backward()

    assert torch.equal(z.grad, torch.ones_like(z))


@given(seeds)
def test_a_gate_that_is_shut_leaves_the_memory_bit_for_bit_as_it_was(seed: int) -> None:
    torch.manual_seed(seed)
    config = tiny.config(gate="hard", normalise_write=True)
    layer = layer_of(config)
    layer.W_mb.bias.fill_(-30.0)
    W, z = batched(config, [aged(config, layer_of(config), 2)])

    after, _, logits, _ = write(layer, torch.randn(1, 3, config.d_model), W, z, first=torch.tensor([False]))

    assert (logits < -2.4).all()
    assert torch.equal(after, W)


def test_a_hard_gate_reaches_both_ends_and_its_gradient_does_not_stop_there() -> None:
    x = torch.tensor([-9.0, -2.4, 0.0, 2.4, 9.0], requires_grad=True)

    gate = hard(x)
    gate.sum().backward()

    torch.testing.assert_close(gate.detach(), torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]), rtol=0, atol=2e-3)
    assert gate[0] == 0
    assert gate[4] == 1
    torch.testing.assert_close(x.grad, 1.2 * torch.sigmoid(x) * torch.sigmoid(-x))


def test_what_is_written_does_not_grow_with_the_stream_when_writes_are_normalised() -> None:
    config = tiny.config(normalise_write=True)
    layer = layer_of(config)
    m = torch.randn(1, 3, config.d_model)
    W, z = batched(config, [None])

    small = write(layer, m, W, z, first=torch.tensor([True]))[0]
    large = write(layer, 1000 * m, W, z, first=torch.tensor([True]))[0]

    torch.testing.assert_close(small, large, rtol=1e-3, atol=1e-4)
