from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import httpx
from fake_sessions import FakeSessions
from stand import fake_service

from armt_server.app import create_app

if TYPE_CHECKING:
    from stand import Stand


def test_an_open_stream_ends_cleanly_when_the_server_stops(own_stand: Stand):
    path = f"/v1/sessions/{own_stand.make()}/queries"
    with own_stand.http.stream("POST", path, json={"question": "hang", "stream": True}) as reply:
        assert own_stand.sessions.hanging.wait(20)
        own_stand.server.stop()
        lines = list(reply.iter_lines())
    last = [line for line in lines if line][-2:]
    assert last[0] == "event: query.failed"
    assert json.loads(last[1].removeprefix("data: "))["code"] == "shutting_down"
    assert own_stand.sessions.stopped.wait(20)
    own_stand.server.join()


def test_a_question_without_stream_is_told_that_the_server_stops(own_stand: Stand):
    path = f"/v1/sessions/{own_stand.make()}/queries"
    replies = []
    asking = threading.Thread(
        target=lambda: replies.append(own_stand.http.post(path, json={"question": "hang"}))
    )
    asking.start()
    assert own_stand.sessions.hanging.wait(20)
    own_stand.server.stop()
    asking.join(20)
    [reply] = replies
    assert (reply.status_code, reply.json()["code"]) == (503, "shutting_down")
    assert reply.headers["retry-after"] == "2"


def test_an_append_that_waits_is_answered_as_durable_when_the_server_stops(own_stand: Stand):
    session_id = own_stand.make(metadata={"stuck": ""})
    replies = []
    appending = threading.Thread(
        target=lambda: replies.append(
            own_stand.http.post(
                f"/v1/sessions/{session_id}/context", json={"text": "hello"}, headers={"Prefer": "wait"}
            )
        )
    )
    appending.start()
    assert own_stand.sessions.waiting.wait(20)
    own_stand.server.stop()
    appending.join(20)
    [reply] = replies
    assert (reply.status_code, reply.json()["offset"], reply.json()["absorbed"]) == (200, 5, False)


async def test_a_stopping_server_takes_no_new_work_but_tells_how_it_is():
    service = fake_service(FakeSessions())
    service.stopping.set()
    transport = httpx.ASGITransport(create_app(service.settings, service))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
        for path in ("/v1/sessions", "/readyz"):
            reply = await http.get(path)
            assert (reply.status_code, reply.json()["code"]) == (503, "shutting_down")
        assert (await http.get("/healthz")).status_code == 200
