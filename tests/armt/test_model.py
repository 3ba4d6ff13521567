"""The model against the oracle: every architecture and option, batched, chunked and cached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import DynamicCache

import tiny
from armt import reference
from armt.config import ArmtConfig
from armt.errors import ConfigError, PositionError
from armt.memory import hard
from armt.model import ArmtModel
from armt.rows import RowPool
from armt.state import MemoryState

if TYPE_CHECKING:
    from armt.keys import Key

WITHIN = {"num_mem_tokens": 0, "fold_tail": True, "reads_within": True}
VARIANTS = [
    *[{"arch": arch} for arch in tiny.BACKBONES],
    *[{"arch": arch, "write_rule": "official"} for arch in tiny.BACKBONES],
    {"write_rule": "official", "use_denom": False},
    {"write_rule": "official", "correction": False},
    {"write_rule": "official", "wrap_layers": (True, False)},
    {"arch": "gpt2", "write_rule": "official", "wrap_layers": (False, True)},
    {"arch": "gpt2", "write_rule": "paper", "wrap_pos": True},
    {"arch": "gpt2", "write_rule": "paper"},
    {"arch": "gpt2", "write_rule": "paper", "correction": False, "wrap_pos": True},
    {"arch": "neox", "write_rule": "paper"},
    {"wrap_layers": (False, True)},
    {"num_mem_tokens": 1},
    {"num_mem_tokens": 0},
    {"num_mem_tokens": 0, "gate": "hard", "normalise_write": True, "overlap": 3, "conv": 2},
    {"num_mem_tokens": 0, "features": "product", "d_mem": 6, "gate": "hard"},
    {"num_mem_tokens": 0, "features": "bind", "d_mem": 16, "gate": "hard", "copying": 16},
    WITHIN,
    {**WITHIN, "overlap": 3, "gate": "hard", "conv": 2},
    {**WITHIN, "overlap": 3, "copying": 16, "gate": "hard"},
    {"gate": "hard"},
    {"normalise_write": True},
    {"overlap": 3, "bos_token_id": 5},
    {"arch": "neox", "overlap": 8},
    {"gate": "hard", "normalise_write": True, "overlap": 2, "wrap_layers": (True, False)},
    {"conv": 3, "overlap": 2},
    {"arch": "gpt2", "conv": 20},
    {"conv": 4, "conv_rank": 3, "overlap": 2},
    {"num_mem_tokens": 0, "fold_tail": True, "bidirectional": True, "overlap": 3, "conv": 2},
    {"arch": "neox", "num_mem_tokens": 0, "fold_tail": True, "bidirectional": True},
    {"num_mem_tokens": 0, "copying": 16},
    {"arch": "gpt2", "num_mem_tokens": 0, "copying": 8},
    {"num_mem_tokens": 0, "copying": 16, "gate": "hard", "normalise_write": True, "overlap": 3, "conv": 2},
]
FEW = [
    {},
    {"gate": "hard", "normalise_write": True, "overlap": 3, "conv": 2},
    {"conv": 3, "conv_rank": 2},
    {"num_mem_tokens": 0, "overlap": 3},
    {"num_mem_tokens": 0, "overlap": 3, "fold_tail": True, "bidirectional": True},
    {"num_mem_tokens": 0, "overlap": 3, "copying": 16, "gate": "hard"},
    {**WITHIN, "overlap": 3, "copying": 16, "gate": "hard"},
    {"write_rule": "official"},
    {"arch": "gpt2", "write_rule": "official"},
    {"arch": "neox"},
]


def name(options: dict[str, object]) -> str:
    return "-".join(str(value) for value in options.values()) or "llama"


def random_ids(batch: int, n: int) -> torch.Tensor:
    return torch.randint(tiny.VOCABULARY, (batch, n), generator=torch.Generator().manual_seed(n))


@torch.no_grad()
def read(model: ArmtModel, ids: torch.Tensor, state: MemoryState) -> MemoryState:
    for segment in ids.split(model.config.segment_size, dim=1):
        state = model.absorb(segment, state)
    return state


def stacked(model: ArmtModel, memories: reference.Memories) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [memories[layer] for layer in model.config.memory_layers]
    return torch.stack([row.W for row in rows]), torch.stack([row.z for row in rows])


def assert_same(found: MemoryState, expected: MemoryState) -> None:
    largest = max(1.0, float(expected.W.abs().max()))
    torch.testing.assert_close(found.W, expected.W, rtol=0, atol=1e-4 * largest)
    torch.testing.assert_close(found.z, expected.z, rtol=0, atol=1e-4 * largest)
    assert torch.equal(found.segments, expected.segments)
    assert torch.equal(found.recent, expected.recent)


@pytest.mark.parametrize("options", VARIANTS, ids=name)
def test_logits_and_memories_of_a_whole_text_agree_with_the_reference(options: dict[str, Any]) -> None:
    model = tiny.model(**options)
    ids = random_ids(1, 37)
    expected, history = reference.document(model, ids[0].tolist())

    state, logits = model.empty_state(), []
    with torch.no_grad():
        for segment, memories in zip(ids.split(8, dim=1), history, strict=True):
            found, state = model.forward_segment(segment, state)
            logits.append(found[0])
            W, z = stacked(model, memories)
            expected_state = MemoryState(W[:, None], z[:, None], state.segments, state.recent)
            assert_same(state, expected_state)
            # Where tokens are copied a memory that differs by rounding gives one that differs 200 times as
            # much, so that each segment begins with the reference's.
            state = expected_state

    # What is left of a word is over how loud it was heard, and so is what rounding did to it: a
    # millionth more or less in W moves these logits by 5e-4.
    atol = 5e-4 if model.words is None else 5e-3
    torch.testing.assert_close(torch.cat(logits), expected, rtol=1e-4, atol=atol)


@pytest.mark.parametrize("options", FEW, ids=name)
def test_a_row_in_a_batch_of_other_ages_is_as_it_would_be_alone(options: dict[str, Any]) -> None:
    model = tiny.model(**options)
    ages = [0, 3, 1, 0]
    states = [
        read(model, random_ids(1, 8 * age), model.empty_state()) if age else model.empty_state()
        for age in ages
    ]
    ids = random_ids(4, 8)
    atol = 1e-4 if model.words is None else 5e-3  # as above: one row is rounded otherwise than four

    with torch.no_grad():
        together = model.absorb(ids, MemoryState.cat(states))
        logits = model.forward_segment(ids, MemoryState.cat(states))[0]
        for row, state in enumerate(states):
            assert_same(together.row(row), model.absorb(ids[row : row + 1], state))
            alone = model.forward_segment(ids[row : row + 1], state)[0]
            torch.testing.assert_close(logits[row], alone[0], rtol=0, atol=atol)


@pytest.mark.parametrize("options", VARIANTS, ids=name)
def test_absorbing_gives_the_memory_of_the_forward_pass_without_touching_the_head(
    options: dict[str, Any],
) -> None:
    model = tiny.model(**options)
    calls = []
    model.backbone.hf.get_output_embeddings().register_forward_hook(lambda *_: calls.append(1))
    ids = random_ids(2, 8)

    with torch.no_grad():
        absorbed = model.absorb(ids, model.empty_state(2))
        assert not calls
        _, forwarded = model.forward_segment(ids, model.empty_state(2))

    assert calls
    assert_same(absorbed, forwarded)
    assert absorbed.segments.tolist() == [1, 1]


@pytest.mark.parametrize("options", FEW, ids=name)
def test_the_memory_given_is_left_as_it_was(options: dict[str, Any]) -> None:
    model = tiny.model(**options)
    state = read(model, random_ids(2, 16), model.empty_state(2))
    before = state.rows(slice(None))

    read(model, random_ids(2, 8), state)

    assert torch.equal(state.W, before.W)
    assert torch.equal(state.z, before.z)
    assert torch.equal(state.segments, before.segments)


@pytest.mark.parametrize("options", FEW, ids=name)
def test_tokens_run_one_by_one_in_a_cache_are_as_in_the_whole_segment(options: dict[str, Any]) -> None:
    model = tiny.model(**options)
    state = read(model, random_ids(1, 16), model.empty_state())
    ids = random_ids(1, 8)
    cache = DynamicCache()

    with torch.no_grad():
        whole = model.forward_segment(ids, state)[0]
        parts = [model.hidden(ids[:, :3], state, cache=cache)]
        parts += [model.hidden(ids[:, : i + 1], state, cache=cache, start=i) for i in range(3, 8)]
        found = model.head(torch.cat(parts, dim=1))

    torch.testing.assert_close(found, whole, rtol=0, atol=1e-4)


def test_a_trace_tells_the_keys_and_queries_that_the_memories_work_with() -> None:
    model = tiny.model(num_mem_tokens=0, features="product", d_mem=6)
    ids = random_ids(2, 8)
    after, trace = model.absorb_traced(ids, model.empty_state(2))
    torch.testing.assert_close(after.W, model.absorb(ids, model.empty_state(2)).W)
    assert [key.phi.shape for key in trace.keys] == [(*ids.shape, model.config.d_key)] * len(model.memories)
    queries: list[Key] = []
    traced = model.hidden(ids[:, :5], after, queries=queries)
    torch.testing.assert_close(traced, model.hidden(ids[:, :5], after))
    assert [query.phi.shape for query in queries] == [(2, 5, model.config.d_key)] * len(model.memories)
    first = model.backbone.embed(ids[:, :5])
    torch.testing.assert_close(queries[0].phi, model.memories[0].query(first).phi)


def test_what_was_read_first_still_moves_the_logits_many_segments_later() -> None:
    model = tiny.model()
    ids = random_ids(1, 64)
    other = ids.clone()
    other[:, :8] = (other[:, :8] + 1) % tiny.VOCABULARY

    with torch.no_grad():
        last = random_ids(1, 8)
        here = model.forward_segment(last, read(model, ids, model.empty_state()))[0]
        there = model.forward_segment(last, read(model, other, model.empty_state()))[0]

    assert float((here - there).abs().max()) > 1e-2


def test_gradients_reach_every_parameter_through_two_segments() -> None:
    model = tiny.model()
    state = model.empty_state(2)
    state = model.forward_segment(random_ids(2, 8), state)[1]
    model.forward_segment(random_ids(2, 8), state)[0].square().mean().backward()

    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_numbered_on_positions_end_with_an_error_that_says_how_much_fits() -> None:
    model = tiny.model("gpt2", "official", n_positions=33)
    state = read(model, random_ids(1, 24), model.empty_state())

    with torch.no_grad(), pytest.raises(PositionError, match="at most 3 segments of 8 tokens"):
        model.absorb(random_ids(1, 8), state)


def test_an_unknown_architecture_is_refused_by_name_with_the_known_ones() -> None:
    config = ArmtConfig(
        backbone={"model_type": "bloom", "hidden_size": 32, "n_layer": 2, "vocab_size": 99},
        segment_size=8,
        num_mem_tokens=2,
        d_mem=4,
    )
    with pytest.raises(ConfigError, match=r"'bloom'.*gpt2.*gpt_neox.*llama.*mistral.*qwen2.*qwen3"):
        ArmtModel(config)


THREE_TOKENS = {"num_mem_tokens": 3}
ITSELF = {"num_mem_tokens": 0}
COPIED = {"num_mem_tokens": 0, "fold_tail": True, "reads_within": True, "features": "bind", "copying": 16}


# With every gate wide open and a whole segment writing, rounding doubles at each segment: not in the list.
@pytest.mark.parametrize(
    ("bias", "options"),
    [(bias, THREE_TOKENS) for bias in (-30.0, -3.0, -2.0, 30.0)]
    + [(bias, options) for options in (ITSELF, COPIED) for bias in (-30.0, -3.0, -2.0)],
)
@pytest.mark.parametrize("threads", [0, 2])
def test_reading_ahead_gives_the_memory_of_one_segment_after_the_other(
    bias: float, options: dict[str, Any], threads: int
) -> None:
    model = tiny.model(gate="hard", normalise_write=True, overlap=3, **options)
    for memory in model.memories:
        memory.W_mb.bias.data.fill_(bias)
    texts = [random_ids(1, 8 * n)[0].view(-1, 8) for n in (1, 5, 9)]
    begun = [read(model, random_ids(1, 16), model.empty_state()), model.empty_state(), model.empty_state()]

    left, states = list(texts), list(begun)
    pool = RowPool(threads) if threads else None
    while any(len(segments) for segments in left):
        busy = [i for i in range(3) if len(left[i])]
        with torch.no_grad():
            found = model.absorb_ahead([left[i] for i in busy], [states[i] for i in busy], pool)
        for i, (count, state) in zip(busy, found, strict=True):
            assert 1 <= count <= len(left[i])
            left[i], states[i] = left[i][count:], state

    for text, before, after in zip(texts, begun, states, strict=True):
        assert_same(after, read(model, text.view(1, -1), before))


@pytest.mark.parametrize("options", [THREE_TOKENS, ITSELF, COPIED])
@pytest.mark.parametrize("bias", [-30.0, -3.0, -2.0])
def test_only_writers_whose_gates_are_open_need_to_be_worked_out(
    bias: float, options: dict[str, Any]
) -> None:
    model = tiny.model(gate="hard", normalise_write=True, overlap=3, **options)
    for memory in model.memories:
        memory.W_mb.bias.data.fill_(bias)
    ids, state = random_ids(3, 8), read(model, random_ids(3, 16), model.empty_state(3))

    with torch.no_grad():
        few, trace = model.absorb_traced(ids, state)
    every, all_traced = model.absorb_traced(ids, state)

    most_open = (hard(trace.logits) > 0).sum(dim=2).amax(dim=1)
    assert [key.phi.shape[1] for key in trace.keys] == most_open.tolist()
    assert {key.phi.shape[1] for key in all_traced.keys} == {trace.logits.shape[2]}
    assert_same(few, every.detach())


def test_reading_ahead_stops_behind_the_first_segment_that_writes() -> None:
    open_, shut, soft = tiny.model(gate="hard"), tiny.model(gate="hard"), tiny.model()
    for model, bias in ((open_, 30.0), (shut, -30.0), (soft, -30.0)):
        for memory in model.memories:
            memory.W_mb.bias.data.fill_(bias)
    segments = random_ids(1, 40).view(-1, 8)

    with torch.no_grad():
        assert [count for count, _ in open_.absorb_ahead([segments], [open_.empty_state()])] == [1]
        assert [count for count, _ in soft.absorb_ahead([segments], [soft.empty_state()])] == [1]
        before = shut.empty_state()
        ((count, state),) = shut.absorb_ahead([segments], [before])

    assert count == 5
    assert state.segments.tolist() == [5]
    assert state.W is before.W  # nothing was written, so there is nothing to copy
    assert not state.W.any()
