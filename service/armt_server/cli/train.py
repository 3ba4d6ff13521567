"""`armt train`: a model made by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from armt_server.cli import common


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="As those in model/recipes.")],
    *,
    books: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of .txt files. [default: built-in prose]"),
    ] = None,
    runs: Annotated[Path, typer.Option(metavar="DIR", help="Each run has a folder in it.")] = Path("runs"),
    name: Annotated[str | None, typer.Option(help="Of the run. [default: the recipe's]")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights and stories. [default: the recipe's]")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    start: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="`bundled`, `open` or a folder: begin with its weights. [default: drawn]"
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Of the CPU; each takes a part of the rows. With a GPU: processes that draw for it. "
            "[default: as many as torch would take]"
        ),
    ] = None,
    minutes: Annotated[float, typer.Option(help="Stop after so long; run again to go on.")] = 600.0,
    export: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the model there, for `armt serve --model`."),
    ] = None,
) -> None:
    """Train a model by a recipe. Stop it at any time and run it again: it goes on at the very step.

    Examples:

    \b
      armt train model/recipes/qa1.toml --books books/train --export my-model
    """  # noqa: D301, D412  typer's \b keeps lines as they are
    with common.lab():
        from armt_lab.train import Options, train_by  # noqa: PLC0415  torch takes seconds to import

        options = Options(
            books=books,
            runs=runs,
            name=name,
            seed=seed,
            device=device,
            start=start,
            threads=threads,
            minutes=minutes,
            export=export,
        )
        train_by(recipe, options)
