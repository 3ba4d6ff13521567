from __future__ import annotations

from contextlib import closing

import pytest
import torch

from armt.rows import MOST_PARTS, RowPool


@pytest.mark.parametrize("threads", [1, 2, 3, 9])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 64])
def test_every_row_is_taken_once_in_order_and_no_part_is_empty(threads: int, rows: int) -> None:
    with closing(RowPool(threads)) as pool:
        parts = pool.map(lambda part: list(range(rows))[part], rows)
    assert [row for part in parts for row in part] == list(range(rows))
    assert all(parts)
    assert len(parts) == (1 if rows < min(threads, MOST_PARTS) else min(threads, MOST_PARTS))


def test_a_part_makes_no_graph() -> None:
    weight = torch.ones(2, requires_grad=True)
    with closing(RowPool(2)) as pool:
        parts = pool.map(lambda part: weight[part] * 2, 2)
    assert not any(part.requires_grad for part in parts)


def test_what_fails_in_a_part_is_raised() -> None:
    def fail(part: slice) -> None:
        raise ValueError(f"rows from {part.start}")

    with closing(RowPool(2)) as pool, pytest.raises(ValueError, match="rows from 0"):
        pool.map(fail, 5)
