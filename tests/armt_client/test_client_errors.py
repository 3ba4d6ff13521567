from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest

import armt_client
from armt_client import Client, ClientError, ConnectionFailed, InputError, Problem, UnexpectedReply, errors

if TYPE_CHECKING:
    from scripted import ScriptedServer


def subclasses(kind: type) -> set[type]:
    below: set[type] = set(kind.__subclasses__())
    return below.union(*(subclasses(sub) for sub in below)) if below else below


@pytest.mark.parametrize(
    "foreign", sorted(subclasses(httpx.HTTPError) | subclasses(httpx.StreamError), key=str)
)
def test_every_error_of_httpx_becomes_one_of_ours(foreign: type[Exception]) -> None:
    error = foreign.__new__(foreign)
    Exception.__init__(error, "told")
    with pytest.raises(ClientError, match="http://server: "), errors.translated("http://server"):
        raise error


def test_every_error_is_in_the_drawing_and_can_be_imported() -> None:
    drawn = set(re.findall(r"^[│├└─\s]*(\w+)", errors.__doc__ or "", re.MULTILINE))
    for kind in subclasses(ClientError):
        assert kind.__name__ in drawn
        assert getattr(armt_client, kind.__name__) is kind


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "unauthorized", "NotAllowed"),
        (403, "forbidden", "NotAllowed"),
        (404, "session_not_found", "NotFound"),
        (409, "session_exists", "Conflict"),
        (409, "offset_mismatch", "OffsetMismatch"),
        (410, "session_expired", "NotFound"),
        (413, "body_too_large", "InvalidRequest"),
        (415, "unsupported_media_type", "InvalidRequest"),
        (422, "invalid_request", "InvalidRequest"),
        (422, "invalid_utf8", "InvalidText"),
        (429, "too_many_pending", "TryLater"),
        (500, "internal_error", "ServerFault"),
        (503, "store_unavailable", "TryLater"),
        (507, "store_full", "ServerFault"),
        (418, "a_code_of_the_future", "ServerFault"),
    ],
)
def test_each_status_and_code_has_its_class(status: int, code: str, kind: str) -> None:
    document = {
        "title": "T",
        "status": status,
        "code": code,
        "detail": "do this",
        "request_id": "r",
        "offset": 7,
    }
    problem = errors.problem(status, document, {"Upload-Offset": "5", "Retry-After": "3"})
    assert type(problem).__name__ == kind
    assert (problem.title, problem.detail, problem.request_id) == ("T", "do this", "r")
    if isinstance(problem, errors.OffsetMismatch):
        assert problem.current == 5
    if isinstance(problem, errors.InvalidText):
        assert problem.offset == 7
    if isinstance(problem, errors.TryLater):
        assert problem.retry_after == 3


def test_a_reply_that_is_no_problem_document_is_told_by_its_status() -> None:
    problem = errors.problem(503, None, {}, "upstream is away")
    assert isinstance(problem, errors.TryLater)
    assert problem.detail == "the server answered 503 upstream is away"
    assert problem.retry_after is None


def test_no_server_is_a_failed_connection_that_names_the_address(server: ScriptedServer) -> None:
    server.server_close()
    with Client(server.url) as client, pytest.raises(ConnectionFailed, match=re.escape(server.url)):
        client.limits()


@pytest.mark.parametrize(
    "address", ["localhost:8000", "ftp://127.0.0.1", "http://", "http://[", "http://a b"]
)
def test_an_address_that_cannot_be_is_told_as_one(address: str) -> None:
    with pytest.raises(errors.BadAddress), Client(address) as client:
        client.limits()


@pytest.mark.parametrize("name", ["", " ", ".", "..", "/"])
def test_a_name_that_cannot_be_a_session_is_refused_before_it_is_sent(client: Client, name: str) -> None:
    with pytest.raises(InputError, match="is not a session id"):
        client.get_session(name)


def test_an_id_with_strange_letters_cannot_reach_another_route(client: Client) -> None:
    with pytest.raises(Problem):
        client.get_session("../limits?x=1#y")


def test_another_service_at_the_address_is_noticed(client: Client, server: ScriptedServer) -> None:
    session = client.create_session()
    server.max_append_bytes = 0
    with pytest.raises(UnexpectedReply, match="max_append_bytes is 0: is this an ARMT server"):
        client.append(session.id, b"text")
