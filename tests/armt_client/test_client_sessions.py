from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from armt_client import Session, SessionPage, UnexpectedReply

if TYPE_CHECKING:
    from scripted import ScriptedServer

    from armt_client import Client


def test_only_what_is_given_is_sent(client: Client, server: ScriptedServer) -> None:
    client.create_session()
    client.create_session(model="m", ttl_seconds=None, metadata={"title": "Emma"}, keep_source=True)
    assert server.bodies == [
        {},
        {"model": "m", "ttl_seconds": None, "metadata": {"title": "Emma"}, "keep_source": True},
    ]


def test_a_session_is_read_with_its_context(client: Client, session_id: str) -> None:
    client.append(session_id, b"x" * 1024)
    session = client.get_session(session_id)
    assert session.id == session_id
    assert session.created_at == 1700000000.5
    assert session.expires_at is None
    assert (session.context.bytes, session.context.tokens, session.context.segments) == (1024, 256, 2)
    assert session.context.resident


def test_sessions_are_listed(client: Client) -> None:
    made = [client.create_session().id for _ in range(3)]
    assert [session.id for session in client.sessions()] == made


def test_models_and_limits_are_told(client: Client) -> None:
    assert client.models() == ["bundled"]
    assert client.limits()["max_append_bytes"] == 1 << 20


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("id", None, "'id' is None"),
        ("context", 3, "no context object"),
        ("keep_source", "no", "'keep_source'"),
    ],
)
def test_a_session_that_makes_no_sense_is_refused_by_field(
    client: Client, session_id: str, field: str, value: object, told: str
) -> None:
    raw = client.get_session(session_id).raw
    with pytest.raises(UnexpectedReply, match=told):
        Session.from_json(raw | {field: value})


def test_fields_of_a_newer_server_are_ignored(client: Client, session_id: str) -> None:
    raw = client.get_session(session_id).raw
    assert Session.from_json(raw | {"mood": "good"}).id == session_id


def test_a_page_that_is_no_list_is_refused() -> None:
    with pytest.raises(UnexpectedReply):
        SessionPage.from_json({"data": "none"})
