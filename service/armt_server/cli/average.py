"""`armt average`: a model between two."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  typer reads annotations when it runs
from typing import Annotated

import typer

from armt_server.cli import common


def average(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="`bundled`, `open` or a folder.")],
    other: Annotated[str, typer.Argument(metavar="OTHER", help="One trained on from it.")],
    *,
    export: Annotated[Path, typer.Option(metavar="DIR", help="Write their mean there.")],
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of the other.")] = 0.5,
) -> None:
    """The mean of two models' weights: most of what the second learnt, little of what it forgot.

    Examples:

    \b
      armt average open my-model --export between
    """  # noqa: D301, D412  typer's \b keeps lines as they are
    with common.lab():
        from armt import checkpoint  # noqa: PLC0415  torch takes seconds to import
        from armt_lab import averaging  # noqa: PLC0415

        first, second = (checkpoint.load(source, "cpu", "float32") for source in (model, other))
        checkpoint.save(averaging.average(first, second, share), export)
        common.note(f"wrote {export}; serve it with: armt serve --model {export}")
