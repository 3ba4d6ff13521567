"""Rows of a batch shared among the threads of a CPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_PARTS = 4
"""Python runs one thread at a time between operations, so that more parts would wait for each other there."""

T = TypeVar("T")


def parts(rows: int, count: int) -> list[slice]:
    """`rows` in `count` slices, or as many as there are rows; each as long as any other or one row longer."""
    count = min(rows, count)
    return [slice(part * rows // count, (part + 1) * rows // count) for part in range(count)]


class RowPool:
    """Threads that each take a part of the rows, in inference mode.

    Threads within one operation wait for each other at its end, and a small model has many small ones;
    threads with rows of their own wait once.

    Args:
        threads: of the CPU. Of more than `MOST_PARTS` several work on each part.
    """

    def __init__(self, threads: int) -> None:
        self._parts = min(threads, MOST_PARTS)
        self._executor = ThreadPoolExecutor(
            self._parts, "armt-rows", torch.set_num_threads, (threads // self._parts,)
        )

    def map(self, function: Callable[[slice], T], rows: int) -> list[T]:
        """What `function` gives for each part of the rows, in order.

        Where there are fewer rows than parts it is called here, for all of them.
        """
        if rows < self._parts:
            return [function(slice(0, rows))]
        return list(self._executor.map(torch.inference_mode()(function), parts(rows, self._parts)))

    def close(self) -> None:
        """End the threads."""
        self._executor.shutdown()
