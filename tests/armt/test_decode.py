"""Generation against the oracle, across the borders of segments."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
import torch

import tiny
from armt import reference
from armt.decode import decode
from armt.errors import ArmtError, PositionError
from armt.sampling import Sampling

if TYPE_CHECKING:
    from armt.model import ArmtModel
    from armt.state import MemoryState

IDS = torch.randint(tiny.VOCABULARY, (60,), generator=torch.Generator().manual_seed(5)).tolist()
MODELS = [
    {},
    {"write_rule": "official"},
    {"arch": "gpt2", "write_rule": "official"},
    {"arch": "gpt2", "write_rule": "paper", "wrap_pos": True},
    {"arch": "neox", "write_rule": "official"},
]


def continued(
    model: ArmtModel, state: MemoryState, ids: list[int], stop: frozenset[int] = frozenset(), **options: Any
) -> list[int]:
    return list(decode(model, state, ids, Sampling(**options), stop))


def after(model: ArmtModel, ids: list[int]) -> MemoryState:
    """The memory of a session that has read these full segments."""
    state = model.empty_state()
    with torch.no_grad():
        for start in range(0, len(ids), 8):
            state = model.absorb(torch.tensor([ids[start : start + 8]]), state)
    return state


@pytest.mark.parametrize("options", MODELS, ids=lambda o: "-".join(map(str, o.values())) or "llama")
@pytest.mark.parametrize("length", [1, 7, 8, 9, 16, 21])
def test_greedy_decoding_is_that_of_the_whole_document(options: dict[str, Any], length: int) -> None:
    model = tiny.model(seed=2, **options)
    expected = reference.generate(model, IDS[:length], 11)
    assert continued(model, model.empty_state(), IDS[:length], max_tokens=11) == expected


def test_a_session_that_has_read_segments_continues_where_they_end() -> None:
    model = tiny.model(seed=2)
    expected = reference.generate(model, IDS[:29], 10)
    assert continued(model, after(model, IDS[:16]), IDS[16:29], max_tokens=10) == expected


def test_the_logits_of_a_full_segment_are_those_computed_in_it() -> None:
    model = tiny.model(
        "gpt2", "official", n_positions=11
    )  # one segment fits, so absorbing it could not be followed
    expected = reference.document(model, IDS[:8])[0][-1].argmax()
    assert continued(model, model.empty_state(), IDS[:8], max_tokens=1) == [int(expected)]


def test_asking_leaves_the_memory_as_it_was() -> None:
    model = tiny.model()
    state = after(model, IDS[:16])
    before = state.rows(slice(None))

    continued(model, state, IDS[16:40], max_tokens=20)

    assert torch.equal(state.W, before.W)
    assert torch.equal(state.z, before.z)
    assert state.segments.tolist() == [2]


def test_generation_ends_before_a_stop_token() -> None:
    model = tiny.model(seed=2)
    free = continued(model, model.empty_state(), IDS[:5], max_tokens=12)
    stop = free[6]
    expected = list(itertools.takewhile(lambda token: token != stop, free))
    assert continued(model, model.empty_state(), IDS[:5], frozenset({stop, 1}), max_tokens=12) == expected


def test_no_more_than_max_tokens_are_given() -> None:
    model = tiny.model()
    for count in (1, 8, 9):
        assert len(continued(model, model.empty_state(), IDS[:5], max_tokens=count)) == count


def test_a_seed_gives_the_same_sampled_answer_again_and_another_seed_another() -> None:
    model = tiny.model()
    first, again, other = (
        continued(model, model.empty_state(), IDS[:5], max_tokens=12, temperature=1.0, seed=seed)
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_tokens_come_one_by_one_and_work_stops_when_the_iterator_is_dropped() -> None:
    model = tiny.model()
    runs = []
    model.backbone.blocks[0].register_forward_hook(lambda *_: runs.append(1))

    tokens = decode(model, model.empty_state(), IDS[:5], Sampling(max_tokens=50))
    assert not runs
    next(tokens)
    next(tokens)
    del tokens

    assert len(runs) == 2


def test_nothing_to_continue_is_refused_at_the_call() -> None:
    model = tiny.model()
    with pytest.raises(ArmtError, match="at least one token"):
        decode(model, model.empty_state(), [], Sampling())


@pytest.mark.parametrize("stranger", [-1, tiny.VOCABULARY])
def test_an_id_outside_the_vocabulary_is_refused_by_name(stranger: int) -> None:
    model = tiny.model()
    with pytest.raises(ArmtError, match=f"{stranger} is not in the model's vocabulary of {tiny.VOCABULARY}"):
        decode(model, model.empty_state(), [3, stranger], Sampling())


def test_running_out_of_positions_is_told_after_the_tokens_that_fitted() -> None:
    model = tiny.model("gpt2", "official", n_positions=22)
    tokens = decode(model, model.empty_state(), IDS[:5], Sampling(max_tokens=50))

    fitted = list(
        itertools.islice(tokens, 12)
    )  # 5 + 11 fill two segments, and the last of them chose one more

    assert len(fitted) == 12
    with pytest.raises(PositionError):
        next(tokens)


def test_ids_shown_again_before_a_segment_are_seen_by_questions_too() -> None:
    model = tiny.model(overlap=5, conv=4)
    for read, asked in ((0, 6), (8, 3), (16, 14)):
        prompt = IDS[read : read + asked]
        state = after(model, IDS[:read]) if read else model.empty_state()
        assert continued(model, state, prompt, max_tokens=12) == reference.generate(
            model, IDS[: read + asked], 12
        )


@pytest.mark.parametrize("tail", [0, 1, 5, 8, 11])
@pytest.mark.parametrize("prompt", [1, 8, 11])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_mem_tokens": 0, "bidirectional": True},
        {"num_mem_tokens": 0, "copying": 16},
        {"num_mem_tokens": 0, "reads_within": True},
    ],
    ids=["", "both ways", "copying", "within"],
)
def test_a_tail_that_is_folded_is_absorbed_and_the_prompt_begins_a_segment(
    tail: int, prompt: int, options: dict[str, Any]
) -> None:
    model = tiny.model(seed=2, fold_tail=True, overlap=3, conv=2, **options)
    ids, count = IDS[: 16 + tail + prompt], 12
    state = after(model, IDS[:16])

    found = list(decode(model, state, ids[16:], Sampling(max_tokens=count), told=tail))

    assert found == reference.generate(model, ids, count, told=16 + tail)
    if tail % 8:  # what was told is in another place than if it were in view
        assert found != reference.generate(model, ids, count)


def test_a_folded_tail_leaves_the_memory_as_it_was() -> None:
    model = tiny.model(fold_tail=True)
    state = after(model, IDS[:16])
    before = state.rows(slice(None))

    list(decode(model, state, IDS[16:30], Sampling(max_tokens=3), told=9))

    assert torch.equal(state.W, before.W)
    assert state.segments.tolist() == [2]


def test_a_tail_that_nothing_follows_is_continued() -> None:
    model = tiny.model(seed=2, fold_tail=True)
    found = list(decode(model, model.empty_state(), IDS[:13], Sampling(max_tokens=9), told=13))
    assert found == reference.generate(model, IDS[:13], 9)


def test_a_model_that_does_not_fold_the_tail_has_it_in_view() -> None:
    model = tiny.model(seed=2)
    found = list(decode(model, model.empty_state(), IDS[:13], Sampling(max_tokens=9), told=6))
    assert found == reference.generate(model, IDS[:13], 9, told=6) == reference.generate(model, IDS[:13], 9)
