from __future__ import annotations

from typing import TYPE_CHECKING

import armt_server

if TYPE_CHECKING:
    from stand import Stand


def test_the_process_is_alive_whatever_the_store_does(own_stand: Stand):
    own_stand.sessions.reachable = False
    reply = own_stand.http.get("/healthz")
    assert (reply.status_code, reply.json()) == (200, {"status": "ok", "version": armt_server.__version__})


def test_it_is_ready_when_the_store_answers_and_not_when_it_does_not(own_stand: Stand):
    assert own_stand.http.get("/readyz").json() == {"status": "ready", "model": "fake"}
    own_stand.sessions.reachable = False
    reply = own_stand.http.get("/readyz")
    assert (reply.status_code, reply.json()["code"]) == (503, "store_unavailable")
    assert reply.headers["retry-after"] == "1"


def test_the_limits_are_those_of_the_settings(stand: Stand):
    assert stand.http.get("/v1/limits").json() == {
        "max_append_bytes": 1000,
        "max_pending_bytes": 2000,
        "backpressure_seconds": 10.0,
        "max_question_tokens": 4096,
        "max_answer_tokens": 100,
        "default_ttl_seconds": None,
        "max_ttl_seconds": 315360000,
    }


def test_the_models_are_listed(stand: Stand):
    told = stand.http.get("/v1/models").json()
    assert told["object"] == "list"
    assert [(model["id"], model["object"], model["fingerprint"]) for model in told["data"]] == [
        ("fake", "model", "f")
    ]
