"""`armt ask`: questions to a session, answered as they are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from armt_client import DEFAULT_SERVER, Client, Delta
from armt_server.cli import common

if TYPE_CHECKING:
    from armt_client import Answer, AskOptions, Usage


def ask(
    questions: Annotated[list[str], typer.Argument(metavar="QUESTION...", help="One question, or several.")],
    *,
    session: Annotated[str, typer.Option(metavar="ID", help="The session to ask.")],
    max_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="Longest answer, in tokens. [default: the server's]")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(metavar="T", help="0, the default, takes the likeliest token each time.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(metavar="P", help="Sample from the likeliest tokens of this probability.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="The same seed gives the same answer.")
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Ends the answer; may be given again.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell what each answer took, on standard error.")
    ] = False,
    as_json: common.AsJson = False,
    server: common.Server = DEFAULT_SERVER,
    api_key: common.ApiKey = None,
) -> None:
    """Ask a session about what it has read.

    The answer is printed as it is made. It stands on everything that was appended before the question.
    Asking never changes the session, so questions may be asked in any order, also while a text is sent.

    Examples:

    \b
      armt ask "Where is Mary?" --session ses_...
      armt ask "Where is Mary?" "Where is John?" --session ses_... -v
      armt ask "Where is Mary?" --session ses_... --json | jq .answer
    """  # noqa: D301, D412  typer's \b keeps lines as they are
    options: AskOptions = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
        "stop": stop or None,
    }
    with common.connect(server, api_key) as client:
        for question in questions:
            if as_json:
                answer = client.ask(session, question, **options)
                common.print_json(answer.raw)
            else:
                if len(questions) > 1:
                    typer.echo(f"{question} ", nl=False)
                answer = _spoken(client, session, question, options)
            if verbose:
                common.note(usage_line(answer.usage))


def _spoken(client: Client, session_id: str, question: str, options: AskOptions) -> Answer:
    """Print the answer piece by piece as it comes."""
    begun = False
    for part in client.ask_stream(session_id, question, **options):
        if isinstance(part, Delta):
            # The white space that many models put before an answer is no part of it on a terminal.
            text = part.text if begun else part.text.lstrip()
            begun = begun or bool(text)
            typer.echo(text, nl=False)
        else:
            typer.echo()
            return part
    raise AssertionError("a stream ends with an answer or an error")


def usage_line(usage: Usage) -> str:
    """What an answer took, in one line."""
    replayed = f", {usage.segments_replayed:,} segments replayed" if usage.segments_replayed else ""
    return (
        f"[{usage.total_ms:.0f} ms, {usage.wait_ms:.0f} of them waiting for the text to be read; memory "
        f"{usage.memory_source}{replayed}; {usage.prompt_tokens} + {usage.completion_tokens} tokens over "
        f"{usage.context_tokens:,} of context ({usage.context_bytes:,} bytes)]"
    )
