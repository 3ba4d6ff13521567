"""`armt serve`: the server, from flags, `ARMT_` variables and defaults, in that order."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from armt_server.cli import common
from armt_server.errors import ServerError


def _flag(text: str, default: str, metavar: str) -> Any:
    return typer.Option(help=f"{text} [default: {default}]", metavar=metavar)


def serve(
    *,
    host: Annotated[
        str | None, _flag("Address to listen on; 0.0.0.0 for all.", "127.0.0.1", "ADDRESS")
    ] = None,
    port: Annotated[str | None, _flag("Port to listen on; 0 for any free one.", "8000", "PORT")] = None,
    store_url: Annotated[
        str | None,
        _flag("Where sessions are kept: sqlite:///PATH or redis://HOST:PORT/DB.", "sqlite:///armt.db", "URL"),
    ] = None,
    model: Annotated[str | None, _flag("`open`, `bundled`, a folder or a hub id.", "open", "NAME")] = None,
    device: Annotated[str | None, _flag("auto, cpu, mps, cuda or cuda:N.", "auto", "DEVICE")] = None,
    dtype: Annotated[str | None, _flag("auto, float32, bfloat16 or float16.", "auto", "TYPE")] = None,
    threads: Annotated[str | None, _flag("Threads of the model on a CPU.", "torch's own choice", "N")] = None,
    api_keys_file: Annotated[
        str | None, _flag("File of keys that clients must show (not in this version).", "none", "PATH")
    ] = None,
    max_append_bytes: Annotated[str | None, _flag("Largest single append.", "8MiB", "BYTES")] = None,
    max_pending_bytes: Annotated[
        str | None,
        _flag("Text past a session's newest snapshot before appends wait.", "16MiB", "BYTES"),
    ] = None,
    backpressure_seconds: Annotated[
        str | None, _flag("How long such an append waits before 429.", "10", "S")
    ] = None,
    max_question_tokens: Annotated[str | None, _flag("Longest question.", "4096", "N")] = None,
    max_answer_tokens: Annotated[str | None, _flag("Longest answer.", "1024", "N")] = None,
    default_ttl_seconds: Annotated[
        str | None, _flag("Of sessions that ask for none: forgotten unused.", "never", "S")
    ] = None,
    max_batch: Annotated[str | None, _flag("Sessions read in one step of the model.", "8", "N")] = None,
    snapshot_segments: Annotated[
        str | None, _flag("A snapshot at least every so many segments.", "1024", "N")
    ] = None,
    idle_seconds: Annotated[
        str | None, _flag("A session that rests so long gets a snapshot.", "5", "S")
    ] = None,
    residency_bytes: Annotated[str | None, _flag("Memories kept at hand.", "1GiB", "BYTES")] = None,
    shutdown_seconds: Annotated[
        str | None, _flag("Longest shutdown after Ctrl-C or SIGTERM.", "20", "S")
    ] = None,
) -> None:
    """Start the server and run it until Ctrl-C or SIGTERM.

    Each flag may be set as a variable instead: ARMT_PORT for --port, ARMT_STORE_URL for --store-url; a flag
    wins. What is wrong with them is told in one line and ends with exit code 2, before anything listens.

    Examples:

    \b
      armt serve
      armt serve --store-url redis://localhost:6379/0 --port 8001
      ARMT_MODEL=path/to/model armt serve --device cuda
    """  # noqa: D301, D412  typer's \b keeps lines as they are
    given = {name: value for name, value in locals().items() if value is not None}
    try:
        # torch and fastapi take seconds to import, and a machine with only the client has neither.
        from armt_server.cli import running  # noqa: PLC0415
    except ModuleNotFoundError as error:
        common.refuse("Cannot start", f"{error}: install the server with: pip install 'armt[server]'")
    try:
        running.run(given)
    except ServerError as error:
        common.refuse(error.title, error.detail)
