"""`armt train | average | eval`: models made and measured, with what `pip install 'armt[lab]'` brings."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from armt.errors import ArmtError
from armt_client import DEFAULT_SERVER, Client
from armt_server.cli import common

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMEOUT_SECONDS = 600.0

Stories = Annotated[Path, typer.Option(metavar="DIR", help="Folder of bAbI files, named as published.")]
Books = Annotated[Path, typer.Option(metavar="DIR", help="Folder of .txt files to hide facts in.")]
Tasks = Annotated[str, typer.Option(metavar="NAMES", help="As in qa1,qa2.")]
Seed = Annotated[int, typer.Option(metavar="N", help="The same seed, the same texts.")]
Out = Annotated[
    Path | None, typer.Option(metavar="FILE.json", help="Where the numbers go; a picture stands beside them.")
]
TokenizerFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Counts the tokens. [default: the bundled model's]")
]

app = typer.Typer(help="Measure recall through a running server.", no_args_is_help=True)


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
    with _lab():
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
    with _lab():
        from armt import checkpoint  # noqa: PLC0415  torch takes seconds to import
        from armt_lab import averaging  # noqa: PLC0415

        first, second = (checkpoint.load(source, "cpu", "float32") for source in (model, other))
        checkpoint.save(averaging.average(first, second, share), export)
        common.note(f"wrote {export}; serve it with: armt serve --model {export}")


@app.command()
def babilong(
    *,
    stories: Stories,
    books: Books,
    tasks: Tasks = "qa1",
    tokens: Annotated[str, typer.Option(metavar="LENGTHS", help="Of the texts.")] = "0,4000,16000",
    questions: Annotated[int, typer.Option(metavar="N", min=1, help="In each cell.")] = 200,
    rows: Annotated[int, typer.Option(metavar="N", min=1, help="Sessions at a time.")] = 8,
    strangers: Annotated[
        bool, typer.Option("--strangers", help="Ask after people never told of: `unknown` is right.")
    ] = False,
    held_out: Annotated[
        str | None,
        typer.Option(
            metavar="KINDS",
            help="Put people, places or things in that training tells of nowhere, as in people,things.",
        ),
    ] = None,
    columns: Annotated[
        int | None,
        typer.Option(metavar="N", min=20, help="Break the texts into lines of so many characters at most."),
    ] = None,
    seed: Seed = 0,
    tokenizer: TokenizerFile = None,
    out: Out = None,
    server: common.Server = DEFAULT_SERVER,
    api_key: common.ApiKey = None,
) -> None:
    """Facts of bAbI stories hidden in books, asked at the end, each in a session of its own: exact match.

    Examples:

    \b
      armt eval babilong --stories babi/test --books books/test --tasks qa1 --tokens 0,4000,128000
    """  # noqa: D301, D412  typer's \b keeps lines as they are
    lengths = _lengths("--tokens", tokens)
    kinds = held_out.split(",") if held_out else []
    with _lab(), _measuring(server, api_key) as client:
        from armt_lab import evaluate, plots, words  # noqa: PLC0415  not there without the lab

        if not set(kinds) <= set(words.KINDS):
            common.refuse("Cannot work so", f"--held-out {held_out}: give some of {','.join(words.KINDS)}")

        background = evaluate.Background(books, tokenizer or evaluate.BUNDLED_TOKENIZER)
        cells = []
        unknown = []
        for task in tasks.split(","):
            for length in lengths:
                rng = random.Random(f"{seed}/{task}/{length}")
                samples = evaluate.pick(stories, task, questions, rng)
                samples = [evaluate.renamed(sample, rng, kinds) for sample in samples]
                cells.append(
                    evaluate.babilong_cell(
                        client,
                        background,
                        samples,
                        task=task,
                        tokens=length,
                        rows=rows,
                        seed=seed,
                        columns=columns,
                    )
                )
                if strangers:
                    unknown.append(
                        evaluate.strangers_cell(
                            client,
                            background,
                            samples,
                            task=task,
                            tokens=length,
                            seed=seed,
                            columns=columns,
                        )
                    )
                if out is not None:
                    shown = [dataclasses.asdict(c) | {"accuracy": round(c.accuracy, 2)} for c in cells]
                    evaluate.write(
                        out,
                        model=client.models()[0],
                        seed=seed,
                        held_out=kinds,
                        columns=columns,
                        cells=shown,
                        unknown=unknown,
                    )
                    plots.recall(cells, out.with_suffix(".png"))
        common.print_table(evaluate.table(cells))
        for cell in unknown:
            common.out.print(
                f"{cell['task']} {cell['tokens']:,}: {cell['false_answers']} false answers to "
                f"{cell['asked']} questions after people never told of"
            )


@app.command()
def stream(
    *,
    stories: Stories,
    books: Books,
    tasks: Tasks = "qa1",
    marks: Annotated[str, typer.Option(metavar="LENGTHS", help="Tokens at which to ask.")] = "1000000",
    streams: Annotated[int, typer.Option(metavar="N", min=1, help="Of each task, one after the other.")] = 1,
    questions: Annotated[
        int, typer.Option(metavar="N", min=0, help="More streams, until a task has so many at each mark.")
    ] = 0,
    within: Annotated[
        int, typer.Option(metavar="N", help="All facts stand in the first so many.")
    ] = 1_000_000,
    pid: Annotated[int | None, typer.Option(help="The server's process, to watch its memory.")] = None,
    seed: Seed = 0,
    tokenizer: TokenizerFile = None,
    out: Out = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from what --out holds, if it was cut off.")
    ] = False,
    server: common.Server = DEFAULT_SERVER,
    api_key: common.ApiKey = None,
) -> None:
    """One session that reads on and on: facts at the beginning, all that they answer asked at each mark.

    Examples:

    \b
      armt eval stream --stories babi/test --books books/test --marks 1000000,10000000,50000000
    """  # noqa: D301, D412  typer's \b keeps lines as they are
    lengths = _lengths("--marks", marks)
    if resume and out is None:
        common.refuse("Cannot work so", "--resume: say with --out which results to go on from")
    with _lab(), _measuring(server, api_key) as client:
        from armt_lab import endurance, evaluate  # noqa: PLC0415  not there without the lab

        background = evaluate.Background(books, tokenizer or evaluate.BUNDLED_TOKENIZER)
        model = client.models()[0]
        settings = {"model": model, "tasks": tasks, "marks": marks, "within": within, "seed": seed}
        results: list[list[endurance.Mark]] = []
        session: str | None = None
        if resume and out is not None:
            results, session = endurance.cut_off(out, settings)

        def write() -> None:
            if out is not None:
                shown = [[dataclasses.asdict(mark) for mark in reached] for reached in results]
                evaluate.write(out, **settings, session=session, streams=shown)

        picked = (
            (task, number, sample)
            for task in tasks.split(",")
            for number, sample in enumerate(
                endurance.pick(stories, task, streams=streams, asked=questions, seed=seed)
            )
        )
        for i, (task, number, sample) in enumerate(picked):
            if i == len(results):
                results.append([])
                session = client.create_session().id
                write()
            if session is None or len(results[i]) == len(lengths):
                continue
            for mark in endurance.stream(
                client,
                session,
                background,
                sample,
                task=task,
                marks=lengths[len(results[i]) :],
                within=min(within, lengths[0]),
                seed=seed + number,
                pid=pid,
            ):
                results[i].append(mark)
                wrong = f"; wrong: {mark.wrong}" if mark.wrong else ""
                common.note(
                    f"{task}, stream {number}: {mark.right}/{mark.asked} at {mark.tokens:,} tokens{wrong}"
                )
                write()
            common.print_table(endurance.marks_table(results[i]))
        session = None
        write()
        common.print_table(endurance.totals_table(results, lengths))


def _lengths(option: str, text: str) -> list[int]:
    try:
        return sorted(int(length) for length in text.split(","))
    except ValueError:
        common.refuse("Cannot work so", f"{option} {text}: give whole numbers with commas, as in 4000,16000")


@contextlib.contextmanager
def _lab() -> Iterator[None]:
    """Says what to install, and what file, folder or option is not as it should be."""
    try:
        yield
    except ModuleNotFoundError as error:
        common.refuse("Cannot start", f"{error}: install the lab with `make lab`, or pip install 'armt[lab]'")
    except FileNotFoundError as error:
        common.refuse("Nothing to work on", str(error))
    except ArmtError as error:  # a model to start with
        common.refuse("Cannot start", str(error))
    except ValueError as error:  # a recipe or a file of stories that is not in its format
        common.refuse("Cannot be read", str(error))


@contextlib.contextmanager
def _measuring(server: str, api_key: str | None) -> Iterator[Client]:
    with Client(server, api_key=api_key, timeout_seconds=_TIMEOUT_SECONDS) as client:
        client.limits()  # says at once if no server is there, not after minutes of preparation
        yield client
