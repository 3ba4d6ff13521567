"""Lessons drawn ahead by other processes, so that a GPU need not wait for stories to be told."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import pickle
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from tokenizers import Tokenizer

from armt.rows import parts
from armt_lab.asking import Asker
from armt_lab.drawing import Drawer
from armt_lab.lessons import join
from armt_lab.source import MISSED, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from multiprocessing.connection import Connection

    from armt.config import ArmtConfig
    from armt_lab.lessons import Lesson
    from armt_lab.recipe import Recipe
    from armt_lab.source import Noise
    from armt_lab.streams import Stream
    from armt_lab.words import Words

DEPTH = 2
"""Steps that are drawn ahead."""

MAKES = 4
"""Makes of lessons: a GPU's graph is of one make, and takes seconds to capture."""


class Setup(NamedTuple):
    """What a process needs to draw."""

    recipe: Recipe
    config: ArmtConfig
    tokenizer: str
    noise: Noise
    words: Words


def _serve(pipe: Connection) -> None:
    """Be set up, then do what is ordered, one thing after another, until the pipe is closed."""
    torch.set_num_threads(1)
    gc.disable()  # nothing drawn refers to itself, and each pause of one process holds up all others
    setup: Setup = _receive(pipe)
    tokenizer = Tokenizer.from_str(setup.tokenizer)
    source = Source.of(tokenizer, setup.noise, setup.words)
    drawer = Drawer(setup.recipe, setup.config, Asker.of(tokenizer, setup.config), source, MAKES)

    def draw(step: int, missed: Sequence[int]) -> Lesson:
        source.miss(missed)
        return drawer.draw(step).map(torch.Tensor.numpy)  # type: ignore[arg-type]  # arrays are sent 16 times sooner

    orders: Mapping[str, Callable[..., Any]] = {
        "enter": drawer.enter,
        "draw": draw,
        "streams": lambda: drawer.streams,
        "go_on": drawer.go_on,
    }
    with contextlib.suppress(EOFError, ConnectionError):  # the latter where lessons were still under way
        while True:
            name, *arguments = _receive(pipe)
            _send(pipe, orders[name](*arguments))


def _send(pipe: Connection, what: Any) -> None:
    # Not `pipe.send`, which would pass tensors as files.
    pipe.send_bytes(pickle.dumps(what, pickle.HIGHEST_PROTOCOL))


def _receive(pipe: Connection) -> Any:
    return pickle.loads(pipe.recv_bytes())  # noqa: S301 - from a process of our own


class Ahead:
    """Has processes draw the next lessons, each for a part of the rows; they are joined to one.

    As `armt_lab.drawing.Inline`, but what is missed is shown again a few steps later.
    """

    def __init__(self, setup: Setup, processes: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        for _ in range(processes):
            mine, theirs = spawn.Pipe()
            spawn.Process(target=_serve, args=(theirs,), daemon=True).start()
            theirs.close()
            self._pipes.append(mine)
        for pipe in self._pipes:  # not as an argument: each would be waited for before the next is started
            _send(pipe, setup)
        self._parts: list[slice] = []
        self._ordered = 0
        self._drawn: deque[Lesson] = deque()
        self._missed: list[int] = []
        self._again: deque[int] = deque(maxlen=MISSED)

    def _order(self, name: str, of_each: Iterable[tuple[Any, ...]]) -> None:
        for pipe, arguments in zip(self._pipes, of_each, strict=False):
            _send(pipe, (name, *arguments))

    def _answers(self) -> list[Any]:
        return [_receive(pipe) for pipe, _ in zip(self._pipes, self._parts, strict=False)]

    def _call(self, name: str, of_each: Iterable[tuple[Any, ...]]) -> list[Any]:
        self._order(name, of_each)
        return self._answers()

    def _receive(self) -> None:
        """Take in a lesson that was ordered."""
        self._drawn.append(join([lesson.map(torch.from_numpy) for lesson in self._answers()]))
        self._ordered -= 1

    def _receive_all(self) -> None:
        while self._ordered:
            self._receive()

    def enter(self, index: int, step: int, rows: int) -> None:
        """Begin a stage: see `armt_lab.drawing.Drawer.enter`."""
        self._receive_all()
        self._drawn.clear()
        self._parts = parts(rows, len(self._pipes))
        self._call("enter", ((index, step, range(part.start, part.stop)) for part in self._parts))

    def shares(self, step: int) -> list[tuple[slice, Callable[[], Lesson]]]:
        """All rows in one part, and what gives its lesson."""
        return [(slice(0, self._parts[-1].stop), partial(self._lesson, step))]

    def _lesson(self, step: int) -> Lesson:
        self.prepare(step - 1)
        return self._drawn.popleft()

    def prepare(self, step: int) -> None:
        """See to it that the lesson of the step after this one is there, and those behind it under way."""
        while self._ordered + len(self._drawn) < DEPTH:
            following = step + 1 + self._ordered + len(self._drawn)
            self._order("draw", ((following, self._missed) for _ in self._parts))
            self._ordered += 1
            self._missed = []
        if not self._drawn:
            self._receive()

    def miss(self, sentences: Sequence[int]) -> None:
        """Show these sentences again, on which a gate opened that should not have."""
        self._missed.extend(sentences)
        self._again.extend(sentences)

    @property
    def streams(self) -> list[Stream]:
        """Of all rows, behind what was drawn ahead."""
        self._receive_all()
        return [stream for streams in self._call("streams", (() for _ in self._parts)) for stream in streams]

    def progress(self) -> dict[str, Any]:
        """What `go_on` needs."""
        return {"streams": self.streams, "missed": list(self._again), "drawn": list(self._drawn)}

    def go_on(self, values: Mapping[str, Any]) -> None:
        """Go on from what `progress` gave, after `enter`."""
        self.miss(values.get("missed", ()))
        self._call("go_on", ((values["streams"][part],) for part in self._parts))
        self._drawn.extend(values.get("drawn", ()))
