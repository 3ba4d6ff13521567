from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from armt_server import __version__, cli

if TYPE_CHECKING:
    from conftest import Run

COMMANDS = ["serve", "append", "ask", "demo", "sessions"]


def test_the_commands_are_listed_and_each_has_examples_in_its_help(armt: Run) -> None:
    listed = armt("--help")
    assert listed.code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in listed.out
        told = armt(command, "--help")
        assert told.code == 0
        assert "Examples:" in told.out


def test_the_version_is_told(armt: Run) -> None:
    assert armt("--version").out == f"armt {__version__}\n"


def test_an_unknown_option_is_told_without_doing_anything(armt: Run) -> None:
    ran = armt("sessions", "--colour")
    assert ran.code == 2
    assert "--colour" in ran.err


def test_only_serve_needs_torch_and_fastapi() -> None:
    program = (
        "import sys, armt_server.cli; "
        "print(sorted({'torch', 'transformers', 'fastapi', 'uvicorn', 'redis', 'numpy'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize("command", [["append", __file__], ["ask", "Where?", "--session", "s"], ["sessions"]])
def test_a_server_that_is_not_there_is_told_with_what_to_do(armt: Run, command: list[str]) -> None:
    ran = armt(*command, "--server", "http://127.0.0.1:9")
    assert ran.code == 1
    assert ran.out == ""
    assert ran.err.startswith("error: Server unreachable: http://127.0.0.1:9: ")
    assert ran.err.endswith("start one with: armt serve\n")
    assert ran.err.count("\n") == 1


def test_an_address_that_cannot_be_is_told(armt: Run) -> None:
    ran = armt("sessions", "--server", "localhost:8000")
    assert ran.code == 1
    assert "give it as http://HOST:PORT" in ran.err


def test_a_mistake_of_ours_is_told_in_one_line(armt: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_options: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(cli, "app", broken)
    ran = armt("sessions")
    assert ran.code == 1
    assert ran.err == (
        "error: Unexpected: KeyError: 'surprise' (a mistake of ours; ARMT_TRACEBACK=1 shows where)\n"
    )


def test_a_reader_that_leaves_ends_the_command_quietly(server: str) -> None:
    command = f"{sys.executable} -m armt_server.cli sessions --help | true; exit ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert ran.stderr == ""
