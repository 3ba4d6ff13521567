from __future__ import annotations

import contextlib
import inspect
import os
import re
import signal
import socket
import subprocess
import sys
from typing import IO, TYPE_CHECKING, get_type_hints

import pytest

from armt_client import Client, Retry
from armt_server.cli.serve import serve
from armt_server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Run


def test_there_is_a_flag_for_each_setting_and_it_tells_the_default() -> None:
    flags = get_type_hints(serve, include_extras=True)
    assert set(inspect.signature(serve).parameters) == set(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        told = re.search(r"\[default: (.*)\]", flags[name].__metadata__[0].help)
        assert told
        if field.default is not None:
            assert getattr(Settings(**{name: told[1]}), name) == field.default


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--port", "99999"], "error: Bad settings: ARMT_PORT=99999: must be "),
        (["--max-batch", "many"], "error: Bad settings: ARMT_MAX_BATCH=many: "),
        (["--store-url", "mysql://x"], "error: Bad settings: ARMT_STORE_URL=mysql:...: must start with"),
        (["--model", "./nowhere"], "error: Missing model: "),
        (["--host", "192.0.2.1"], "error: Bad settings: cannot listen on 192.0.2.1:"),
        (["--store-url", "redis://127.0.0.1:9"], "error: Store unavailable: "),
        (["--store-url", "sqlite:////dev/null/armt.db"], "error: "),
    ],
)
def test_what_is_wrong_at_the_start_is_one_line_and_exit_code_2(
    armt: Run, model: Path, tmp_path: Path, flags: list[str], told: str
) -> None:
    good = ["--port=0", f"--model={model}", "--device=cpu", f"--store-url=sqlite:///{tmp_path}/armt.db"]
    ran = armt("serve", *good, *flags)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith(told)
    assert ran.err.count("\n") == 1


def test_a_port_in_use_is_told(armt: Run, model: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = armt("serve", "--port", str(port), "--model", model, f"--store-url=sqlite:///{tmp_path}/a.db")
    assert ran.code == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in ran.err
    assert "--port" in ran.err


@contextlib.contextmanager
def served(model: Path, store: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A server in a process of its own: the process, its address and what it said."""
    environment = {"ARMT_MODEL": str(model), "ARMT_PORT": "1", "ARMT_DEVICE": "cpu", "ARMT_THREADS": "1"}
    command = [sys.executable, "-m", "armt_server.cli", "serve", f"--store-url=sqlite:///{store}"]
    with subprocess.Popen(
        [*command, *(flags or ["--port=0"])],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said = _until_ready(process.stdout)
            found = re.search(r"ready at (\S+)", said)
            assert found, process.stderr.read() if process.stderr else ""
            yield process, found[1], said
        finally:
            process.kill()


def _until_ready(stdout: IO[str] | None) -> str:
    assert stdout
    lines = []
    for line in stdout:
        lines.append(line)
        if "armt append" in line:
            break
    return "".join(lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_what_runs_and_a_signal_ends_it_well(
    model: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with served(model, tmp_path / "armt.db") as (process, url, said):
        assert not url.endswith(":1")  # the flag won over ARMT_PORT
        assert "model   tiny: 64 tokens a segment" in said
        assert f"sqlite:///{tmp_path}/armt.db" in said
        assert "device  cpu" in said
        assert f"armt demo --server {url}" in said
        with Client(url) as client:
            session = client.create_session()
            client.append(session.id, "Mary moved to the bathroom. " * 50)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0
    assert stderr == "stopped; every session is kept\n"


def test_an_append_outlives_a_killed_server_and_nothing_is_lost_or_doubled(
    model: Path, tmp_path: Path
) -> None:
    text = b"Mary moved to the bathroom. " * 200
    with served(model, tmp_path / "armt.db") as (first, url, _), Client(url) as client:
        session = client.create_session()
        command = [sys.executable, "-m", "armt_server.cli", "append", "-", "--at=0", "--session", session.id]
        with subprocess.Popen(
            [*command, "--server", url], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        ) as append:
            assert append.stdin
            append.stdin.write(text[:3000])
            append.stdin.flush()
            patient = Retry(attempts=1000, first_seconds=0.02, longest_seconds=0.02)
            while client.offset(session.id) < 3000:
                patient.sleep(0.02)  # nothing tells us of another process's append
            first.kill()
            first.wait()
            append.stdin.write(text[3000:])
            append.stdin.close()
            port = url.rpartition(":")[2]
            with served(model, tmp_path / "armt.db", "--port", port), Client(url) as again:
                assert append.wait(120) == 0
                context = again.get_session(session.id).context
                assert context.bytes == context.absorbed_bytes == len(text)
                whole = again.create_session()
                again.append(whole.id, text)
                asked = [again.ask(name, "Where is Mary?").text for name in (session.id, whole.id)]
                assert asked[0] == asked[1]
