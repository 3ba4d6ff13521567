"""Rows of a batch shared among the threads of a CPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class RowPool:
    """Threads that each take a part of the rows, in inference mode.

    Threads within one operation wait for each other at its end, and a small model has many small ones;
    threads with rows of their own wait once. Each of them runs its operations alone.

    Args:
        threads: how many.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._executor = ThreadPoolExecutor(threads, "armt-rows", torch.set_num_threads, (1,))

    def map(self, function: Callable[[slice], T], rows: int) -> list[T]:
        """What `function` gives for each part of the rows, in order.

        There are as many parts as threads; where there are fewer rows it is called here, for all of them.
        """
        if rows < self._threads:
            return [function(slice(0, rows))]
        bounds = [part * rows // self._threads for part in range(self._threads + 1)]
        return list(self._executor.map(torch.inference_mode()(function), map(slice, bounds, bounds[1:])))

    def close(self) -> None:
        """End the threads."""
        self._executor.shutdown()
