from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from armt_client import NotFound

if TYPE_CHECKING:
    from armt_client import Client
    from conftest import Run


def test_sessions_are_listed_newest_first(armt: Run, client: Client) -> None:
    first = client.create_session(metadata={"source": "first.txt"})
    second = client.create_session()
    client.append(first.id, "x" * 1234)
    client.wait_absorbed(first.id)
    lines = [line.strip() for line in armt("sessions", "--limit", "2").out.splitlines()]
    assert [line.split()[0] for line in lines if line.startswith("ses_")] == [second.id, first.id]
    (row,) = [line for line in lines if first.id in line]
    assert "1,234" in row
    assert "100%" in row
    assert row.rstrip().endswith("first.txt")


def test_sessions_as_json_are_one_a_line(armt: Run, client: Client) -> None:
    made = client.create_session()
    (line,) = armt("sessions", "--limit", "1", "--json").out.splitlines()
    assert json.loads(line) == client.get_session(made.id).raw


def test_one_session_is_shown(armt: Run, client: Client) -> None:
    session = client.create_session(ttl_seconds=3600, metadata={"title": "[bold]Emma[/bold]"})
    told = armt("sessions", "show", session.id).out
    assert session.id in told
    assert "3,600 s unused" in told
    assert "[bold]Emma[/bold]" in told
    assert json.loads(armt("sessions", "show", session.id, "--json").out)["id"] == session.id


def test_sessions_are_deleted_until_one_is_unknown(armt: Run, client: Client) -> None:
    ids = [client.create_session().id for _ in range(2)]
    ran = armt("sessions", "delete", *ids)
    assert ran.code == 0
    assert ran.err == "".join(f"deleted {session_id}\n" for session_id in ids)
    with pytest.raises(NotFound):
        client.get_session(ids[0])
    again = armt("sessions", "delete", ids[0])
    assert again.code == 1
    assert again.err.startswith("error: Session not found: ")


def test_an_unknown_session_is_told(armt: Run) -> None:
    assert armt("sessions", "show", "ses_unknown").err.startswith("error: Session not found: ")
