from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armt_client import Answer, Delta, Problem, UnexpectedReply
from armt_client.events import Event, events

if TYPE_CHECKING:
    from scripted import ScriptedServer

    from armt_client import Client

USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 2,
    "memory_source": "resident",
    "segments_replayed": 0,
    "context_bytes": 104,
    "context_tokens": 26,
    "wait_ms": 0,
    "total_ms": 12.5,
}
QUERY = {
    "id": "qry_1",
    "object": "query",
    "session_id": "s0",
    "answer": "bath\u2028room",
    "finish_reason": "stop",
    "usage": USAGE,
}


def event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


WHOLE = (
    event("query.created", {"id": "qry_1"})
    + b": ping\n\n"
    + event("query.output_text.delta", {"delta": "bath\u2028"})
    + event("query.output_text.delta", {"delta": "room"})
    + event("query.completed", QUERY)
)


def test_an_answer_comes_in_pieces_and_then_whole(client: Client, server: ScriptedServer) -> None:
    server.events = WHOLE
    *pieces, answer = client.ask_stream("s0", "Where is Mary?")
    assert pieces == [Delta("bath\u2028"), Delta("room")]
    assert isinstance(answer, Answer)
    assert answer.text == "bath\u2028room"
    assert answer.usage.total_ms == 12.5
    assert answer.raw == QUERY
    assert client.ask("s0", "Where is Mary?") == answer


def test_only_the_options_that_are_given_are_sent(client: Client, server: ScriptedServer) -> None:
    server.events = WHOLE
    client.ask("s0", "Where?", max_tokens=3, seed=0, temperature=None, stop="\n")
    assert server.bodies == [
        {"question": "Where?", "stream": True, "max_tokens": 3, "seed": 0, "stop": ["\n"]}
    ]


def test_a_failure_in_the_stream_is_the_problem_it_tells(client: Client, server: ScriptedServer) -> None:
    failed = {"status": 503, "code": "shutting_down", "title": "Shutting down", "detail": "try again"}
    server.events = event("query.created", {}) + event("query.failed", failed)
    with pytest.raises(Problem, match="try again") as caught:
        client.ask("s0", "Where?")
    assert caught.value.code == "shutting_down"


@pytest.mark.parametrize("sent", [b"", WHOLE[:60], WHOLE[:-2], b"data: nonsense\n\n", b"data: []\n\n"])
def test_a_stream_that_ends_early_or_makes_no_sense_is_no_answer(
    client: Client, server: ScriptedServer, sent: bytes
) -> None:
    server.events = sent
    with pytest.raises(UnexpectedReply):
        client.ask("s0", "Where?")


def test_a_completed_answer_without_its_fields_is_refused_by_name(
    client: Client, server: ScriptedServer
) -> None:
    server.events = event("query.completed", QUERY | {"usage": USAGE | {"total_ms": "soon"}})
    with pytest.raises(UnexpectedReply, match="'total_ms' is 'soon'"):
        client.ask("s0", "Where?")


@given(cuts=st.lists(st.integers(0, len(WHOLE)), max_size=8), crlf=st.booleans())
def test_events_are_the_same_wherever_the_bytes_are_cut(*, cuts: list[int], crlf: bool) -> None:
    body = WHOLE.replace(b"\n", b"\r\n") if crlf else WHOLE
    edges = [0, *sorted(cuts), len(body)]
    chunks = [body[start:end] for start, end in itertools.pairwise(edges)]
    assert [e.name for e in events(chunks)] == [
        "query.created",
        "query.output_text.delta",
        "query.output_text.delta",
        "query.completed",
    ]
    assert list(events(chunks))[-1] == Event("query.completed", QUERY)
