"""The choice of a token from its logits."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from armt.errors import ConfigError
from armt.sampling import Sampling, choose

LOGITS = torch.tensor([0.5, 0.3, 0.2]).log()


def drawn(count: int, **options: float) -> list[int]:
    sampling = Sampling(**options)
    generator = sampling.generator()
    return [choose(LOGITS, sampling, generator) for _ in range(count)]


def test_without_temperature_the_likeliest_token_is_chosen() -> None:
    assert set(drawn(5)) == {0}


def test_temperature_one_draws_from_the_models_own_distribution() -> None:
    counts = Counter(drawn(4000, temperature=1.0, seed=1))
    assert [counts[i] / 4000 for i in range(3)] == pytest.approx([0.5, 0.3, 0.2], abs=0.03)


def test_a_higher_temperature_flattens_and_a_lower_one_sharpens() -> None:
    hot, cold = Counter(drawn(2000, temperature=10.0, seed=1)), Counter(drawn(2000, temperature=0.2, seed=1))
    assert hot[2] / 2000 == pytest.approx(1 / 3, abs=0.05)
    assert cold[0] / 2000 > 0.9


def test_top_p_keeps_the_likeliest_tokens_that_reach_it_and_no_more() -> None:
    assert set(drawn(500, temperature=1.0, top_p=0.5, seed=1)) == {0}
    assert set(drawn(500, temperature=1.0, top_p=0.51, seed=1)) == {0, 1}
    assert set(drawn(500, temperature=1.0, top_p=1.0, seed=1)) == {0, 1, 2}


def test_the_smallest_top_p_and_temperature_still_choose_the_likeliest() -> None:
    assert set(drawn(50, temperature=1.0, top_p=1e-9, seed=1)) == {0}
    assert set(drawn(50, temperature=5e-324, seed=1)) == {0}


def test_a_seed_repeats_its_draws_and_another_differs() -> None:
    assert drawn(50, temperature=1.0, seed=7) == drawn(50, temperature=1.0, seed=7)
    assert drawn(50, temperature=1.0, seed=7) != drawn(50, temperature=1.0, seed=8)


def test_without_a_seed_every_answer_is_drawn_afresh() -> None:
    assert drawn(50, temperature=1.0) != drawn(50, temperature=1.0)


def test_half_precision_logits_are_drawn_from_like_others() -> None:
    sampling = Sampling(temperature=1.0, seed=3)
    assert choose(LOGITS.bfloat16(), sampling, sampling.generator()) in {0, 1, 2}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("max_tokens", True),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", "hot"),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_p", float("nan")),
        ("seed", -1),
        ("seed", 2**63),
        ("seed", 0.5),
    ],
)
def test_an_option_that_cannot_work_is_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(ConfigError, match=option):
        Sampling(**{option: value})
