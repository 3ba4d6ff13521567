from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stand import Stand


def test_a_session_is_made_without_a_body(stand: Stand):
    reply = stand.http.post("/v1/sessions")
    assert reply.status_code == 201
    told = reply.json()
    assert re.fullmatch(r"ses_[A-Za-z0-9_-]{24}", told["id"])
    assert reply.headers["location"] == f"/v1/sessions/{told['id']}"
    assert told["object"] == "session"
    assert told["context"]["bytes"] == 0
    assert told["ttl_seconds"] is None


def test_a_session_keeps_what_it_was_made_with(stand: Stand):
    wanted = {"model": "fake", "ttl_seconds": 60, "metadata": {"title": "Emma"}, "keep_source": True}
    told = stand.http.get(f"/v1/sessions/{stand.make(**wanted)}").json()
    assert {name: told[name] for name in wanted} == wanted
    assert told["expires_at"] == pytest.approx(told["created_at"] + 60, abs=1)


def test_sessions_are_listed_newest_first_page_by_page(own_stand: Stand):
    made = [own_stand.make() for _ in range(5)]
    first = own_stand.http.get("/v1/sessions", params={"limit": 3}).json()
    second = own_stand.http.get("/v1/sessions", params={"limit": 3, "after": first["last_id"]}).json()
    assert [item["id"] for item in first["data"] + second["data"]] == made[::-1]
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert first["last_id"] == made[2]


def test_no_sessions_are_an_empty_page(own_stand: Stand):
    assert own_stand.http.get("/v1/sessions").json() == {
        "object": "list",
        "data": [],
        "has_more": False,
        "last_id": None,
    }


def test_what_is_left_out_of_a_change_stays(stand: Stand):
    session_id = stand.make(ttl_seconds=60, metadata={"a": "1"})
    told = stand.http.patch(f"/v1/sessions/{session_id}", json={"metadata": {"b": "2"}}).json()
    assert (told["ttl_seconds"], told["metadata"]) == (60, {"b": "2"})
    told = stand.http.patch(f"/v1/sessions/{session_id}", json={"ttl_seconds": None}).json()
    assert (told["ttl_seconds"], told["metadata"]) == (None, {"b": "2"})


def test_a_deleted_session_is_gone(stand: Stand, session_id: str):
    reply = stand.http.delete(f"/v1/sessions/{session_id}")
    assert (reply.status_code, reply.content) == (204, b"")
    assert stand.http.get(f"/v1/sessions/{session_id}").status_code == 404
    assert stand.http.delete(f"/v1/sessions/{session_id}").json()["code"] == "session_not_found"


def test_an_expired_session_is_told_apart_from_one_that_never_was(stand: Stand, session_id: str):
    stand.http.patch(f"/v1/sessions/{session_id}", json={"metadata": {"expired": ""}})
    reply = stand.http.get(f"/v1/sessions/{session_id}")
    assert (reply.status_code, reply.json()["code"]) == (410, "session_expired")


@pytest.mark.parametrize(
    "session_id",
    [
        "ses_",
        "x" * 28,
        "ses_" + "é" * 24,
        "ses_" + "a" * 25,
        "ses_" + "a" * 23 + "%0A",
        "..%2F..",
        "a" * 5000,
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("DELETE", ""), ("HEAD", "/context"), ("PATCH", "/context")]
)
def test_an_id_that_this_server_cannot_have_made_is_no_session(
    stand: Stand, method: str, path: str, session_id: str
):
    reply = stand.http.request(method, f"/v1/sessions/{session_id}{path}")
    assert reply.status_code == 404


@pytest.mark.parametrize(
    ("body", "location"),
    [
        ({"modle": "fake"}, "body.modle"),
        ({"ttl_seconds": "60"}, "body.ttl_seconds"),
        ({"ttl_seconds": 0}, "body.ttl_seconds"),
        ({"ttl_seconds": -1}, "body.ttl_seconds"),
        ({"ttl_seconds": 10**30}, "body.ttl_seconds"),
        ({"ttl_seconds": 1.5}, "body.ttl_seconds"),
        ({"ttl_seconds": True}, "body.ttl_seconds"),
        ({"keep_source": 1}, "body.keep_source"),
        ({"model": ""}, "body.model"),
        ({"metadata": {"a": 1}}, "body.metadata.a"),
        ({"metadata": {"a": "x" * 513}}, "body.metadata.a"),
        ({"metadata": {"k" * 65: "x"}}, "body.metadata." + "k" * 65),
        ({"metadata": {str(i): "x" for i in range(17)}}, "body.metadata"),
        ({"metadata": None}, "body.metadata"),
        ([], "body"),
        ("text", "body"),
    ],
)
def test_a_bad_value_is_refused_and_located(stand: Stand, body: Any, location: str):
    reply = stand.http.post("/v1/sessions", json=body)
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_request")
    assert [item["location"] for item in reply.json()["errors"]] == [location]
    assert location in reply.json()["detail"]


def test_all_that_is_wrong_is_told_at_once(stand: Stand):
    reply = stand.http.post("/v1/sessions", json={"ttl_seconds": "x", "model": 1, "a": 1, "b": 2})
    assert len(reply.json()["errors"]) == 4
    assert reply.json()["detail"].endswith("and 1 more")


def test_a_model_that_is_not_served_is_refused_with_those_that_are(stand: Stand):
    reply = stand.http.post("/v1/sessions", json={"model": "gpt-9"})
    assert (reply.status_code, reply.json()["code"]) == (422, "unknown_model")
    assert reply.json()["available"] == ["fake"]


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 101}, {"limit": "many"}, {"after": "x"}])
def test_a_bad_page_is_refused(stand: Stand, params: dict[str, Any]):
    assert stand.http.get("/v1/sessions", params=params).status_code == 422
