"""`armt eval`: recall measured through a running server."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    with common.lab(), _measuring(server, api_key) as client:
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
    with common.lab(), _measuring(server, api_key) as client:
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
def _measuring(server: str, api_key: str | None) -> Iterator[Client]:
    with Client(server, api_key=api_key, timeout_seconds=_TIMEOUT_SECONDS) as client:
        client.limits()  # says at once if no server is there, not after minutes of preparation
        yield client
