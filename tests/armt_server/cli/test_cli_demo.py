from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from armt_client import Client
    from conftest import Run


def test_the_demo_tells_answers_beside_the_truth_and_what_it_took(armt: Run, client: Client) -> None:
    ran = armt("demo", "--tokens", "200", "--facts", "20", "--seed", "1")
    assert ran.code == 0
    rows = [line.strip() for line in ran.out.splitlines() if re.match(r" *Where (is|was) ", line)]
    for asked in ("Where is [A-Z]", "Where is the ", "Where was the .* before the "):
        assert any(re.match(asked, row) for row in rows), asked
    assert len({row.split("?")[0] for row in rows}) == len(rows)
    assert all(re.search(r" (right|wrong) +\d+$", row) for row in rows)
    assert f"of {len(rows)} right. Read " in ran.out  # a random model is wrong, which is no error
    session_id = re.search(r"--session (\S+)", ran.err)
    assert session_id
    context = client.get_session(session_id[1]).context
    assert f"({context.bytes:,} bytes)" in ran.out
    assert f"memory held: {context.memory_bytes:,} bytes" in ran.out


def test_the_same_seed_makes_the_same_text(armt: Run) -> None:
    def told(seed: str) -> str:
        return armt("demo", "--tokens", "50", "--seed", seed).err.split("ask it yourself")[0]

    assert told("1").splitlines()[:2] == told("1").splitlines()[:2]
    assert told("1").splitlines()[:2] != told("2").splitlines()[:2]


@pytest.mark.parametrize("seed", range(4))
def test_of_a_single_fact_something_is_asked(armt: Run, seed: int) -> None:
    ran = armt("demo", "--tokens", "20", "--facts", "1", "--seed", seed)
    assert ran.code == 0
    assert "of 1 right. Read " in ran.out


def test_facts_are_hidden_in_the_text_that_is_given(armt: Run, tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text("It was a dark night. The wind blew. " * 20)
    ran = armt("demo", book, "--tokens", "150")
    assert ran.code == 0
    assert f"bytes of {book} with 16 facts" in ran.err


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "No such file"), (b"", "is empty"), (b"caf\xe9 noir", "invalid UTF-8 at byte 3")],
)
def test_a_book_that_cannot_be_read_is_told(
    armt: Run, tmp_path: Path, content: bytes | None, told: str
) -> None:
    book = tmp_path / "book.txt"
    if content is not None:
        book.write_bytes(content)
    ran = armt("demo", book)
    assert ran.code == 2
    assert told in ran.err


def test_without_a_server_it_says_how_to_start_one(armt: Run) -> None:
    ran = armt("demo", "--server", "http://127.0.0.1:9")
    assert ran.code == 2
    assert ran.err.startswith("error: Server unreachable: ")
    assert "make serve" in ran.err
    assert "armt demo --serve" in ran.err


def test_it_can_start_a_server_of_its_own(armt: Run, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARMT_MODEL", str(model))
    monkeypatch.setenv("ARMT_DEVICE", "cpu")
    ran = armt("demo", "--serve", "--tokens", "100")
    assert ran.code == 0
    assert "right. Read " in ran.out


def test_a_server_of_its_own_that_does_not_start_is_told(
    armt: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARMT_MODEL", str(tmp_path / "nowhere"))
    ran = armt("demo", "--serve")
    assert ran.code == 2
    assert "error: The server did not start: Missing model: " in ran.err
