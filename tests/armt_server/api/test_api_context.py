from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    import httpx
    from stand import Stand

RAW = "application/offset+octet-stream"
LIMIT = 1000


def _patch(
    stand: Stand, session_id: str, offset: object, data: bytes, kind: str = RAW, **headers: str
) -> httpx.Response:
    return stand.http.patch(
        f"/v1/sessions/{session_id}/context",
        content=data,
        headers={"Upload-Offset": str(offset), "Content-Type": kind, **headers},
    )


def _offset(stand: Stand, session_id: str) -> str:
    return stand.http.head(f"/v1/sessions/{session_id}/context").headers["upload-offset"]


def test_the_offset_is_told_and_not_cached(stand: Stand, session_id: str):
    reply = stand.http.head(f"/v1/sessions/{session_id}/context")
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["upload-offset"] == "0"
    assert reply.headers["cache-control"] == "no-store"


def test_raw_bytes_are_appended_piece_by_piece(stand: Stand, session_id: str):
    first = _patch(stand, session_id, 0, "naïve".encode()[:3])
    second = _patch(stand, session_id, 3, "naïve".encode()[3:])
    assert (first.status_code, first.content, first.headers["upload-offset"]) == (204, b"", "3")
    assert second.headers["upload-offset"] == "6" == _offset(stand, session_id)
    assert stand.sessions.texts[session_id] == "naïve".encode()
    assert "preference-applied" not in second.headers


def test_a_wrong_offset_is_refused_and_names_the_right_one(stand: Stand, session_id: str):
    _patch(stand, session_id, 0, b"hello")
    for wrong in (0, 4, 6, 2**63 - 1):
        reply = _patch(stand, session_id, wrong, b"world")
        assert (reply.status_code, reply.json()["code"]) == (409, "offset_mismatch")
        assert reply.headers["upload-offset"] == "5"
        assert reply.json()["offset"] == 5
    assert stand.sessions.texts[session_id] == b"hello"


def test_a_repeated_append_is_answered_as_before(stand: Stand, session_id: str):
    replies = [_patch(stand, session_id, 0, b"hello") for _ in range(2)]
    assert [(reply.status_code, reply.headers["upload-offset"]) for reply in replies] == [(204, "5")] * 2


@pytest.mark.parametrize(
    "kind",
    [
        RAW,
        "application/octet-stream",
        "text/plain",
        "Text/Plain; charset=UTF-8",
        'text/plain;charset="utf-8"',
    ],
)
def test_text_may_come_under_three_names(stand: Stand, session_id: str, kind: str):
    assert _patch(stand, session_id, 0, b"x", kind).status_code == 204


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        ("application/json", {}),
        ("", {}),
        ("multipart/form-data; boundary=x", {}),
        ("text/plain; charset=latin-1", {}),
        ("text/plain", {"Content-Encoding": "gzip"}),
    ],
)
def test_any_other_kind_of_body_is_refused_with_those_that_are_read(
    stand: Stand, session_id: str, kind: str, headers: dict[str, str]
):
    reply = _patch(stand, session_id, 0, b"x", kind, **headers)
    assert (reply.status_code, reply.json()["code"]) == (415, "unsupported_media_type")
    assert reply.headers["accept-patch"].split(", ")[0] == RAW
    assert _offset(stand, session_id) == "0"


@pytest.mark.parametrize("offset", ["-1", "+1", "1.0", "1_0", "0x0", "ten", "9" * 19, "9" * 400, "²"])
def test_an_offset_that_is_no_number_of_bytes_is_refused_with_what_to_send(
    stand: Stand, session_id: str, offset: str
):
    reply = stand.http.patch(
        f"/v1/sessions/{session_id}/context",
        content=b"x",
        headers={"Upload-Offset": offset.encode(), "Content-Type": RAW},
    )
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_request")
    assert "send the number of bytes that the session holds" in reply.json()["detail"]
    assert reply.json()["errors"][0]["location"] == "header.Upload-Offset"


def test_a_missing_offset_is_refused_with_what_to_send(stand: Stand, session_id: str):
    reply = stand.http.patch(
        f"/v1/sessions/{session_id}/context", content=b"x", headers={"Content-Type": RAW}
    )
    assert reply.status_code == 422
    assert "Upload-Offset is missing: send the number" in reply.json()["detail"]


def test_an_empty_body_is_refused(stand: Stand, session_id: str):
    reply = _patch(stand, session_id, 0, b"")
    assert (reply.status_code, reply.json()["code"]) == (422, "empty_body")


def test_the_largest_body_is_taken_and_one_byte_more_is_not(stand: Stand, session_id: str):
    assert _patch(stand, session_id, 0, b"x" * LIMIT).status_code == 204
    reply = _patch(stand, session_id, LIMIT, b"x" * (LIMIT + 1))
    assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large")
    assert reply.json()["limit_bytes"] == LIMIT
    assert _offset(stand, session_id) == str(LIMIT)


def test_a_body_declared_too_large_is_refused_before_it_is_sent(stand: Stand, session_id: str):
    with _connection(stand) as connection:
        connection.sendall(_head(session_id, f"Content-Length: {LIMIT + 1}"))
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
    assert _offset(stand, session_id) == "0"


def test_a_body_of_no_declared_length_is_refused_once_it_is_too_large(stand: Stand, session_id: str):
    with _connection(stand) as connection:
        connection.sendall(_head(session_id, "Transfer-Encoding: chunked"))
        connection.sendall(b"%x\r\n%s\r\n" % (LIMIT, b"x" * LIMIT))
        connection.sendall(b"1\r\nx\r\n")  # the end of the body never comes
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
    assert _offset(stand, session_id) == "0"


def test_a_client_that_leaves_within_the_body_changes_nothing(stand: Stand, session_id: str):
    with _connection(stand) as connection:
        connection.sendall(_head(session_id, "Content-Length: 100") + b"x" * 50)
    assert _offset(stand, session_id) == "0"
    assert _patch(stand, session_id, 0, b"hello").status_code == 204
    assert stand.sessions.texts[session_id] == b"hello"


def test_an_unknown_session_is_told_before_its_body_is_read(stand: Stand):
    with _connection(stand) as connection:
        connection.sendall(_head("ses_" + "a" * 24, "Content-Length: 100"))
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 404 ")


def test_json_text_goes_to_the_end_or_to_an_offset(stand: Stand, session_id: str):
    path = f"/v1/sessions/{session_id}/context"
    first = stand.http.post(path, json={"text": "naïve "})
    second = stand.http.post(path, json={"text": "art", "offset": 7})
    assert first.json() == {
        "object": "context.append",
        "session_id": session_id,
        "offset": 7,
        "absorbed": False,
    }
    assert second.json()["offset"] == 10 == int(second.headers["upload-offset"])
    assert stand.sessions.texts[session_id].decode() == "naïve art"
    assert stand.http.post(path, json={"text": "x", "offset": 3}).headers["upload-offset"] == "10"


def test_the_limit_of_json_text_is_in_bytes_of_text(stand: Stand, session_id: str):
    path = f"/v1/sessions/{session_id}/context"
    assert stand.http.post(path, json={"text": "é" * (LIMIT // 2)}).status_code == 200
    assert stand.http.post(path, json={"text": "é" * (LIMIT // 2 + 1)}).json()["code"] == "body_too_large"
    assert stand.http.post(path, json={"text": ""}).json()["code"] == "empty_body"
    assert _offset(stand, session_id) == str(LIMIT)


@pytest.mark.parametrize("preference", ["wait", "Wait", "respond-async, wait", "wait=20", "wait = 20; x=1"])
def test_a_client_may_wait_until_the_memory_holds_its_text(stand: Stand, session_id: str, preference: str):
    reply = _patch(stand, session_id, 0, b"hello", Prefer=preference)
    assert (reply.status_code, reply.headers["preference-applied"]) == (204, "wait")
    posted = stand.http.post(
        f"/v1/sessions/{session_id}/context", json={"text": "x"}, headers={"Prefer": preference}
    )
    assert posted.json()["absorbed"] is True
    assert posted.headers["preference-applied"] == "wait"


@pytest.mark.parametrize("preference", ["waiting", "handling=strict", "wait=soon", "nowait"])
def test_another_preference_is_left_aside(stand: Stand, session_id: str, preference: str):
    reply = _patch(stand, session_id, 0, b"hello", Prefer=preference)
    assert "preference-applied" not in reply.headers


def test_waiting_ends_with_the_time_that_the_client_gave(stand: Stand):
    session_id = stand.make(metadata={"stuck": ""})
    reply = _patch(stand, session_id, 0, b"hello", Prefer="wait=0")
    assert (reply.status_code, reply.headers["upload-offset"]) == (204, "5")
    assert "preference-applied" not in reply.headers


def test_text_that_is_accepted_but_cannot_be_absorbed_still_tells_the_offset(stand: Stand):
    session_id = stand.make(metadata={"full": ""})
    reply = _patch(stand, session_id, 0, b"hello", Prefer="wait")
    assert (reply.status_code, reply.json()["code"]) == (422, "context_full")
    assert reply.headers["upload-offset"] == "5"


def _connection(stand: Stand) -> socket.socket:
    address = urlsplit(stand.server.url)
    return socket.create_connection((address.hostname, address.port), timeout=20)


def _head(session_id: str, length: str) -> bytes:
    return (
        f"PATCH /v1/sessions/{session_id}/context HTTP/1.1\r\nHost: here\r\nContent-Type: {RAW}\r\n"
        f"Upload-Offset: 0\r\n{length}\r\n\r\n"
    ).encode()
