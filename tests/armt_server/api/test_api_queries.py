from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from armt.sampling import Sampling
from armt_server.api import queries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stand import Stand


def _ask(stand: Stand, session_id: str, question: str, **options: Any) -> httpx.Response:
    return stand.http.post(f"/v1/sessions/{session_id}/queries", json={"question": question, **options})


def _events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in lines:
        label, _, value = line.partition(": ")
        if label == "event":
            name = value
        elif label == "data":
            yield name, json.loads(value)


def test_a_question_is_answered_whole(stand: Stand, session_id: str):
    reply = _ask(stand, session_id, "where is Mary")
    told = reply.json()
    assert reply.status_code == 200
    assert told["id"].startswith("qry_")
    assert (told["object"], told["session_id"]) == ("query", session_id)
    assert (told["answer"], told["finish_reason"]) == ("whereisMary", "stop")
    assert told["usage"]["memory_source"] == "resident"


def test_a_question_is_answered_as_events(stand: Stand, session_id: str):
    reply = _ask(stand, session_id, "where is Mary", stream=True)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["cache-control"] == "no-store"
    events = list(_events(iter(reply.text.splitlines())))
    names = [name for name, _ in events]
    assert names == ["query.created", *["query.output_text.delta"] * 3, "query.completed"]
    assert len({data["id"] for _, data in events}) == 1
    assert [data["delta"] for name, data in events if name.endswith("delta")] == ["where", "is", "Mary"]
    completed = events[-1][1]
    whole = _ask(stand, session_id, "where is Mary").json()
    assert {**completed, "id": ""} == {**whole, "id": ""}


def test_every_option_reaches_the_model(stand: Stand, session_id: str):
    options = {"max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "seed": 3}
    _ask(stand, session_id, "options", **options, stop=["\n", "END"])
    assert ("options", Sampling(**options), ("\n", "END")) in stand.sessions.asked
    _ask(stand, session_id, "none")
    assert ("none", Sampling(max_tokens=64), ()) in stand.sessions.asked


@pytest.mark.parametrize(
    ("options", "location"),
    [
        ({"question": ""}, "body.question"),
        ({"question": 1}, "body.question"),
        ({"question": "\ud800"}, "body.question"),
        ({"max_tokens": 0}, "body.max_tokens"),
        ({"max_tokens": 101}, "body.max_tokens"),
        ({"max_tokens": "5"}, "body.max_tokens"),
        ({"temperature": -0.1}, "body.temperature"),
        ({"temperature": "hot"}, "body.temperature"),
        ({"top_p": 0}, "body.top_p"),
        ({"top_p": 1.1}, "body.top_p"),
        ({"seed": -1}, "body.seed"),
        ({"seed": 2**63}, "body.seed"),
        ({"stop": "x"}, "body.stop"),
        ({"stop": [""]}, "body.stop.0"),
        ({"stop": ["x"] * 9}, "body.stop"),
        ({"stream": "yes"}, "body.stream"),
        ({"checkpoint": "a"}, "body.checkpoint"),
    ],
)
def test_a_bad_option_is_refused_and_located(
    stand: Stand, session_id: str, options: dict[str, Any], location: str
):
    reply = stand.http.post(
        f"/v1/sessions/{session_id}/queries",
        content=json.dumps({"question": "x"} | options),
        headers={"Content-Type": "application/json"},
    )
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_request")
    assert [item["location"] for item in reply.json()["errors"]] == [location]


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_session_is_a_problem_however_it_is_asked(stand: Stand, stream: bool):  # noqa: FBT001
    reply = _ask(stand, "ses_" + "a" * 24, "x", stream=stream)
    assert (reply.status_code, reply.json()["code"]) == (404, "session_not_found")


def test_a_refusal_is_a_problem_or_the_last_event(stand: Stand, session_id: str):
    reply = _ask(stand, session_id, "refuse")
    assert (reply.status_code, reply.json()["code"]) == (422, "context_full")
    streamed = _ask(stand, session_id, "refuse", stream=True)
    assert streamed.status_code == 200
    name, data = list(_events(iter(streamed.text.splitlines())))[-1]
    assert name == "query.failed"
    assert {key: data[key] for key in ("status", "code", "detail")} == {
        key: reply.json()[key] for key in ("status", "code", "detail")
    }
    assert data["request_id"] == streamed.headers["x-request-id"]


def test_what_nobody_foresaw_ends_a_stream_without_telling_it(stand: Stand, session_id: str):
    reply = _ask(stand, session_id, "crash", stream=True)
    name, data = list(_events(iter(reply.text.splitlines())))[-1]
    assert (name, data["code"], data["status"]) == ("query.failed", "internal_error", 500)
    assert "secret" not in reply.text


def test_a_long_silence_is_filled_with_pings(own_stand: Stand, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(queries, "PING_SECONDS", 0.01)
    path = f"/v1/sessions/{own_stand.make()}/queries"
    with own_stand.http.stream("POST", path, json={"question": "hang", "stream": True}) as reply:
        pings = (line for line in reply.iter_lines() if line == ": ping")
        assert [next(pings), next(pings)] == [": ping", ": ping"]
    assert own_stand.sessions.stopped.wait(20)


def test_a_client_that_leaves_a_stream_stops_the_work(own_stand: Stand):
    path = f"/v1/sessions/{own_stand.make()}/queries"
    with own_stand.http.stream("POST", path, json={"question": "hang", "stream": True}):
        assert own_stand.sessions.hanging.wait(20)
        assert not own_stand.sessions.stopped.is_set()
    assert own_stand.sessions.stopped.wait(20)


def test_a_client_that_leaves_a_whole_answer_stops_the_work(own_stand: Stand):
    path = f"/v1/sessions/{own_stand.make()}/queries"
    with pytest.raises(httpx.ReadTimeout):
        own_stand.http.post(path, json={"question": "hang"}, timeout=0.2)
    assert own_stand.sessions.stopped.wait(20)
