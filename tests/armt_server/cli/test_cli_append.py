from __future__ import annotations

import io
import shlex
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from armt_client import Client
    from conftest import Run

TEXT = "Mary moved to the bathroom. Zoë went to the café. " * 40  # the letters take two bytes


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "a book.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """What the next command reads from standard input."""
    data = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(data)))
    return data


def size(path: Path) -> int:
    return path.stat().st_size


def test_a_file_becomes_a_session_whose_id_alone_is_on_stdout(armt: Run, client: Client, book: Path) -> None:
    ran = armt("append", book)
    assert ran.code == 0
    session = client.get_session(ran.out.strip())
    assert session.context.bytes == session.context.absorbed_bytes == size(book)
    assert session.metadata["source"] == "a book.txt"
    assert f"sent {size(book):,} bytes" in ran.err
    assert f"{session.context.tokens:,} tokens" in ran.err


def test_without_waiting_the_command_ends_once_all_is_sent(armt: Run, client: Client, book: Path) -> None:
    ran = armt("append", book, "--no-wait", "--ttl", "60")
    session = client.get_session(ran.out.strip())
    assert session.context.bytes == size(book)
    assert session.ttl_seconds == 60


def test_the_same_command_again_sends_nothing(armt: Run, client: Client, book: Path) -> None:
    session_id = armt("append", book).out.strip()
    again = armt("append", book, "--session", session_id)
    assert again.code == 0
    assert again.out == ""
    assert "nothing to send" in again.err
    assert client.offset(session_id) == size(book)


def test_an_upload_that_was_cut_off_goes_on_and_equals_one_in_one_piece(
    armt: Run, client: Client, book: Path
) -> None:
    whole = armt("append", book).out.strip()
    session = client.create_session()
    client.append(session.id, book.read_bytes()[:777])
    ran = armt("append", book, "--session", session.id)
    assert "holds the first 777 bytes" in ran.err
    assert f"sent {size(book) - 777:,} bytes" in ran.err
    question = "Where is Mary?"
    assert client.ask(session.id, question).text == client.ask(whole, question).text


def test_another_file_is_not_taken_for_the_rest_but_can_be_added(
    armt: Run, client: Client, book: Path, tmp_path: Path
) -> None:
    session_id = armt("append", book).out.strip()
    other = tmp_path / "other.txt"
    other.write_text("Another text. " * 1000)
    refused = armt("append", other, "--session", session_id)
    assert refused.code == 2
    assert "error: Another text: " in refused.err
    assert "--at end" in refused.err
    added = armt("append", other, "--session", session_id, "--at", "end")
    assert added.code == 0
    assert client.offset(session_id) == size(book) + size(other)
    resumed = armt("append", other, "--session", session_id, "--at", str(size(book)))
    assert "nothing to send" in resumed.err


def test_a_session_longer_than_the_file_is_refused(armt: Run, client: Client, book: Path) -> None:
    session = client.create_session()
    client.append(session.id, TEXT + "more")
    ran = armt("append", book, "--session", session.id)
    assert ran.code == 1
    assert f"already holds {size(book) + 4} bytes" in ran.err
    assert f"has only {size(book)}" in ran.err


def test_standard_input_is_read_to_its_end_and_added_at_the_end(
    armt: Run, client: Client, stdin: io.BytesIO
) -> None:
    stdin.write(b"First. ")
    stdin.seek(0)
    session_id = armt("append", "-").out.strip()
    stdin.seek(0)
    stdin.truncate()
    stdin.write(b"Second.")
    stdin.seek(0)
    armt("append", "-", "--session", session_id)
    assert client.offset(session_id) == len(b"First. Second.")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("missing.txt", "No such file or directory"),
        (".", "Is a directory"),
        ("x" * 300, "File name too long"),
        ("empty.txt", "is empty"),
    ],
)
def test_a_file_that_cannot_be_sent_is_told_and_makes_no_session(
    armt: Run, client: Client, tmp_path: Path, name: str, told: str
) -> None:
    (tmp_path / "empty.txt").touch()
    before = [session.id for session in client.sessions()]
    ran = armt("append", tmp_path / name)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert told in ran.err
    assert [session.id for session in client.sessions()] == before


def test_empty_standard_input_is_told(armt: Run, stdin: io.BytesIO) -> None:
    ran = armt("append", "-")
    assert ran.code == 2
    assert ran.err == "error: Nothing to send: standard input is empty\n"


def test_text_that_is_not_utf8_is_refused_by_its_byte(armt: Run, client: Client, tmp_path: Path) -> None:
    latin = tmp_path / "latin.txt"
    latin.write_bytes(b"Mary moved to the caf\xe9 again.")
    ran = armt("append", latin)
    assert ran.code == 1
    assert "error: Text is not UTF-8: invalid UTF-8 at byte 21" in ran.err
    assert client.offset(ran.out.strip()) == 0


@pytest.mark.parametrize("at", ["-1", "a", "1.5", "99999999"])
def test_an_impossible_place_is_refused(armt: Run, client: Client, book: Path, at: str) -> None:
    ran = armt("append", book, "--session", client.create_session().id, f"--at={at}")
    assert ran.code == 2
    assert ran.err.startswith("error: Bad --at: ")


def test_an_unknown_session_is_told(armt: Run, book: Path) -> None:
    ran = armt("append", book, "--session", "ses_unknown")
    assert ran.code == 1
    assert ran.err.startswith("error: Session not found: ")


def test_ctrl_c_tells_the_command_that_goes_on(armt: Run, client: Client, server: str) -> None:
    command = [sys.executable, "-m", "armt_server.cli", "append", "-", "--server", server]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(b"The first half. ")
        process.stdin.flush()
        session_id = process.stdout.readline().decode().strip()
        while client.offset(session_id) < len(b"The first half. "):
            time.sleep(0.02)  # nothing tells us of another process's append
        process.send_signal(signal.SIGINT)
        told = process.stderr.read().decode()
        assert process.wait(30) == 130
    assert "Traceback" not in told
    resume = told.strip().splitlines()[-1]
    assert resume.strip() == (
        f"THE SAME TEXT | armt append - --session {session_id} --at 0 --server {server}"
    )
    arguments = shlex.split(resume.partition("| armt ")[2])
    text = b"The first half. The second half."
    ran = subprocess.run(
        [sys.executable, "-m", "armt_server.cli", *arguments], input=text, capture_output=True, check=True
    )
    assert f"sent {len(b'The second half.')} bytes" in ran.stderr.decode()
    assert client.offset(session_id) == len(text)
