"""Results as pictures. Needs matplotlib, which `pip install 'armt[lab]'` brings."""

from __future__ import annotations

import csv
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from armt_lab.words import ASIDES, TASKS, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from armt_lab.evaluate import Cell


def recall(cells: Sequence[Cell], path: Path) -> None:
    """Exact match over length, a line for each task."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    lines: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        lines[cell.task].append(cell)
    for task, line in lines.items():
        line.sort(key=lambda c: c.tokens)
        axes.plot([max(c.tokens, 100) for c in line], [c.accuracy for c in line], "o-", label=task)
    axes.set(xscale="log", ylim=(0, 102), xlabel="tokens (0 stands at 100)", ylabel="exact match %")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def training(log: Path, path: Path) -> None:
    """A run's metrics.csv: loss, accuracy by kind and by age of the fact, gates, norm of W, learning rate."""
    with log.open() as lines:
        reader = csv.DictReader(lines)
        rows, columns = list(reader), reader.fieldnames or ()
    figure = Figure(figsize=(11, 9), layout="constrained")
    panels: Any = figure.subplots(3, 2)
    (loss, kind), (age, gates), (norm, rate) = panels
    _lines(loss, rows, ["loss"], yscale="log")
    _lines(
        kind,
        rows,
        [c for c in columns if c in ("accuracy", *TASKS, *ASIDES, UNKNOWN, "open")],
        title="right, by kind",
    )
    _lines(
        age, rows, [c for c in columns if c.startswith("age_")], title="right, by age of the fact in segments"
    )
    _lines(gates, rows, [c for c in columns if c.startswith("opened_")], title="segments that opened a gate")
    _lines(norm, rows, [c for c in columns if c.startswith("w_norm")], title="norm of W")
    _lines(rate, rows, ["rate"], title="learning rate")
    figure.savefig(path, dpi=110)


def _lines(axes: Axes, rows: Sequence[dict[str, str]], names: Sequence[str], **options: Any) -> None:
    for name in names:
        points = [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
        if points:
            axes.plot(*zip(*points, strict=True), label=name, linewidth=1)
    axes.set(xlabel="step", **options)
    axes.grid(alpha=0.3)
    if axes.lines:  # early in a run a panel may have none
        axes.legend(fontsize=7)
