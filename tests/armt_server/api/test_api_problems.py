from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx
    from stand import Stand

JSON = {"Content-Type": "application/json"}


def _is_a_problem(reply: httpx.Response, status: int, code: str) -> None:
    told = reply.json()
    assert reply.status_code == told["status"] == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert told["code"] == code
    assert told["type"] == f"urn:armt:problem:{code}"
    assert told["title"]
    assert told["detail"]
    assert told["request_id"] == reply.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nothing", "/v1/sessions/", "/v1/sessions/a/b", "/%00"])
def test_an_unknown_route_is_a_problem(stand: Stand, path: str):
    _is_a_problem(stand.http.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/sessions", "GET, POST"),
        ("PUT", "/v1/sessions/ses_x", "DELETE, GET, PATCH"),
        ("GET", "/v1/sessions/ses_x/context", "HEAD, PATCH, POST"),
        ("GET", "/v1/sessions/ses_x/queries", "POST"),
        ("POST", "/v1/models", "GET"),
    ],
)
def test_a_wrong_method_is_a_problem_that_names_the_right_ones(
    stand: Stand, method: str, path: str, allowed: str
):
    reply = stand.http.request(method, path)
    _is_a_problem(reply, 405, "method_not_allowed")
    assert reply.headers["allow"] == allowed
    assert allowed in reply.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"nonsense",
        b'{"text": "a"',
        b'{"text": "\xff"}',
        b"[" * 50_000,
        b'{"text": "a", "offset": ' + b"9" * 3000 + b"}",
        b'{"text": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"text": null}',
        b'{"text": "a", "offset": NaN}',
        b"\x00",
    ],
)
def test_a_body_that_is_not_the_json_asked_for_is_a_problem(stand: Stand, session_id: str, body: bytes):
    reply = stand.http.post(f"/v1/sessions/{session_id}/context", content=body, headers=JSON)
    _is_a_problem(reply, 422, "invalid_request")
    assert stand.sessions.texts[session_id] == b""


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "image/png", ""])
def test_json_that_does_not_say_so_is_refused(stand: Stand, kind: str):
    reply = stand.http.post("/v1/sessions", content=b"{}", headers={"Content-Type": kind})
    _is_a_problem(reply, 415, "unsupported_media_type")
    assert "Content-Type: application/json" in reply.json()["detail"]


def test_a_huge_json_body_is_refused_by_its_declared_length(stand: Stand):
    reply = stand.http.post("/v1/sessions", content=b" " * 200_000, headers=JSON)
    _is_a_problem(reply, 413, "body_too_large")


def test_a_huge_json_body_without_a_length_is_refused_while_it_comes(stand: Stand):
    reply = stand.http.post("/v1/sessions", content=(b" " * 1000 for _ in range(200)), headers=JSON)
    _is_a_problem(reply, 413, "body_too_large")


def test_a_request_id_is_made(stand: Stand):
    first, second = (stand.http.get("/healthz").headers["x-request-id"] for _ in range(2))
    assert re.fullmatch(r"req_[0-9a-f]{16}", first)
    assert first != second


def test_a_request_id_is_echoed(stand: Stand):
    assert stand.http.get("/healthz", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    reply = stand.http.get("/v1/nothing", headers={"X-Request-Id": "mine-2"})
    assert reply.json()["request_id"] == "mine-2"


@pytest.mark.parametrize("bad", ["two words", "x" * 129, "é", ""])
def test_a_request_id_that_would_spoil_the_log_is_replaced(stand: Stand, bad: str):
    reply = stand.http.get("/healthz", headers={"X-Request-Id": bad.encode("latin-1")})
    assert reply.headers["x-request-id"].startswith("req_")


def test_what_nobody_foresaw_is_logged_with_the_id_and_not_told(
    stand: Stand, session_id: str, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.ERROR, "armt_server"):
        reply = stand.http.post(
            f"/v1/sessions/{session_id}/context",
            json={"text": "lightning strikes"},
            headers={"X-Request-Id": "mine-3"},
        )
    _is_a_problem(reply, 500, "internal_error")
    assert "secret" not in reply.text
    assert "mine-3" in reply.json()["detail"]
    [record] = [item for item in caplog.records if item.name.startswith("armt_server")]
    assert "mine-3" in record.getMessage()
    assert record.exc_info is not None
    assert "the secret of the implementation" in str(record.exc_info[1])
