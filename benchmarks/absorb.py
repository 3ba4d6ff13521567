"""How fast one session is absorbed, segments one after the other against read ahead, and what noise writes.

    python benchmarks/absorb.py --books DIR [--model open] [--out benchmarks/results/absorb.json]

Both ways read the same books in turns of one run, so that their ratio holds on a noisy machine. The
books have no facts in them: a segment on which a gate opens is a mistake of the model.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from armt import checkpoint, hardware
from armt.rows import RowPool
from armt.text import TextState
from armt_lab import books
from armt_server.engine import AHEAD_IDS

if TYPE_CHECKING:
    from armt.model import ArmtModel
    from armt.state import MemoryState

TURN = 256  # segments each way before the other has its turn


def one_by_one(model: ArmtModel, segments: torch.Tensor, state: MemoryState) -> list[MemoryState]:
    """The memory before the segments and after each."""
    states = [state]
    for segment in segments:
        states.append(model.absorb(segment[None], states[-1]))
    return states


def ahead(
    model: ArmtModel, segments: torch.Tensor, state: MemoryState, pool: RowPool | None
) -> list[MemoryState]:
    """The memory before the segments and after each turn, as the engine reads them."""
    states, done = [state], 0
    while done < len(segments):
        run = segments[done : done + AHEAD_IDS // model.config.segment_size]
        ((read, after),) = model.absorb_ahead([run], [states[-1]], pool)
        states.append(after)
        done += read
    return states


def changes(states: list[MemoryState]) -> int:
    """How many of them differ from the one before."""
    return sum(not torch.equal(a.W, b.W) for a, b in itertools.pairwise(states))


@torch.inference_mode()
def main() -> None:
    """Read the command line, measure, print, and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--books", type=Path, required=True)
    parser.add_argument("--model", default="open")
    parser.add_argument("--segments", type=int, default=8192, help="each way")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    hardware.keep_freed_memory()
    loaded = checkpoint.load(options.model)
    assert loaded.tokenizer is not None, "the model has no tokenizer"
    text = "\n\n".join(book.text for book in books.load(options.books))
    ids, _ = loaded.tokenizer.feed(TextState(b"", started=False), text.encode())
    size = loaded.model.config.segment_size
    segments = torch.tensor(ids[: len(ids) // size * size]).view(-1, size)[: options.segments]
    segments = segments.to(loaded.model.device)
    pool = RowPool(torch.get_num_threads()) if loaded.model.device.type == "cpu" else None
    ways = (one_by_one, partial(ahead, pool=pool))
    states = [loaded.model.empty_state(), loaded.model.empty_state()]
    seconds, wrote = [0.0, 0.0], [0, 0]
    for start in range(0, len(segments), TURN):
        for way, read in enumerate(ways):
            began = time.perf_counter()
            passed = read(loaded.model, segments[start : start + TURN], states[way])
            seconds[way] += time.perf_counter() - began
            wrote[way] += changes(passed)
            states[way] = passed[-1]
    tokens = segments.numel()
    result = {
        "model": options.model,
        "device": str(loaded.model.device),
        "threads": torch.get_num_threads(),
        "tokens": tokens,
        "one_by_one_tokens_per_second": round(tokens / seconds[0]),
        "ahead_tokens_per_second": round(tokens / seconds[1]),
        "ratio": round(seconds[0] / seconds[1], 2),
        "largest_difference_of_W": float((states[0].W - states[1].W).abs().max()),
        "segments": len(segments),
        "segments_that_opened_a_gate": wrote[0],
        "the_same_read_ahead": wrote[1],
    }
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
