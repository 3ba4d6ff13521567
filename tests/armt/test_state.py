"""Memories as values."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny
from armt.state import MemoryState


def drawn(batch: int) -> MemoryState:
    """Memories no two of which are the same."""
    empty = MemoryState.empty(tiny.config(), batch)
    return MemoryState(
        torch.randn_like(empty.W),
        torch.randn_like(empty.z),
        torch.randint(99, empty.segments.shape),
        torch.randint(99, empty.recent.shape),
    )


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_rows_within_several_batches_are_those_of_all_in_one(sizes: list[int], data: st.DataObject):
    parts = [drawn(size) for size in sizes]
    start = data.draw(st.integers(0, sum(sizes) - 1))
    stop = data.draw(st.integers(start + 1, sum(sizes)))

    found = MemoryState.cat(MemoryState.within(parts, slice(start, stop)))
    meant = MemoryState.cat(parts)

    assert found.batch == stop - start
    for mine, theirs in ((found.W, meant.W[:, start:stop]), (found.z, meant.z[:, start:stop])):
        assert torch.equal(mine, theirs)
    assert torch.equal(found.segments, meant.segments[start:stop])
    assert torch.equal(found.recent, meant.recent[start:stop])


def test_rows_within_several_batches_are_not_copied():
    first, second = drawn(2), drawn(3)

    one, other = MemoryState.within([first, second, drawn(1)], slice(1, 4))

    assert one.W.data_ptr() == first.W[:, 1:].data_ptr()
    assert other.W.data_ptr() == second.W.data_ptr()
    assert other.batch == 2
