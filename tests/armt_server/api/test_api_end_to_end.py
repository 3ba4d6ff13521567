"""The routes with nothing false behind them: a real store, real sessions and a tiny model."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import tiny
from armt.checkpoint import save
from armt_server.app import create_app, open_service
from armt_server.errors import MissingModel, StoreUnavailable
from armt_server.settings import Settings
from armt_server.store import open_store
from serving import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = "Mary went to the kitchen, naïvely. Emma était là. 猫が来た。" * 6
RAW = "application/offset+octet-stream"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("service")
    save(tiny.checkpoint(), folder / "model")
    return Settings(
        store_url=f"sqlite:///{folder}/armt.db", model=str(folder / "model"), device="cpu", threads=1
    )


@contextlib.contextmanager
def _serving(settings: Settings) -> Iterator[httpx.Client]:
    with (
        running(create_app(settings), asyncio.Event()) as server,
        httpx.Client(base_url=server.url, timeout=60) as http,
    ):
        yield http


@pytest.fixture(scope="module")
def http(settings: Settings) -> Iterator[httpx.Client]:
    with _serving(settings) as client:
        yield client


def _make(http: httpx.Client) -> str:
    session_id: str = http.post("/v1/sessions").json()["id"]
    return session_id


def _stream(http: httpx.Client, session_id: str, pieces: list[bytes]) -> None:
    offset = 0
    for piece in pieces:
        reply = http.patch(
            f"/v1/sessions/{session_id}/context",
            content=piece,
            headers={"Upload-Offset": str(offset), "Content-Type": RAW},
        )
        assert reply.status_code == 204, reply.text
        offset = int(reply.headers["upload-offset"])


def _ask(http: httpx.Client, session_id: str, **options: Any) -> dict[str, Any]:
    reply = http.post(
        f"/v1/sessions/{session_id}/queries", json={"question": "Where is Mary?", "max_tokens": 12} | options
    )
    assert reply.status_code == 200, reply.text
    told: dict[str, Any] = reply.json()
    return told


def _pieces(data: bytes, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    cuts = sorted({0, len(data), *(rng.randrange(len(data)) for _ in range(20))})
    return [data[start:end] for start, end in itertools.pairwise(cuts)]


def test_the_same_text_gives_the_same_answer_however_it_was_cut(http: httpx.Client):
    data = TEXT.encode()
    whole, cut = _make(http), _make(http)
    _stream(http, whole, [data])
    _stream(http, cut, _pieces(data, seed=1))
    answers = [_ask(http, session_id) for session_id in (whole, cut)]
    assert answers[0]["answer"] == answers[1]["answer"] != ""
    assert answers[0]["usage"]["context_bytes"] == len(data)
    contexts = [http.get(f"/v1/sessions/{session_id}").json()["context"] for session_id in (whole, cut)]
    assert contexts[0] == contexts[1]
    assert contexts[0]["absorbed_bytes"] == contexts[0]["bytes"] == len(data)
    assert contexts[0]["segments"] > 0


def test_asking_changes_nothing_and_seeds_repeat(http: httpx.Client):
    session_id = _make(http)
    _stream(http, session_id, [TEXT.encode()])
    first = _ask(http, session_id, temperature=1.0, seed=5)
    before = http.get(f"/v1/sessions/{session_id}").json()["context"]
    assert _ask(http, session_id, temperature=1.0, seed=5)["answer"] == first["answer"]
    assert http.get(f"/v1/sessions/{session_id}").json()["context"] == before


def test_a_stream_of_events_holds_the_same_answer(http: httpx.Client):
    session_id = _make(http)
    _stream(http, session_id, [TEXT.encode()])
    whole = _ask(http, session_id)
    reply = http.post(
        f"/v1/sessions/{session_id}/queries",
        json={"question": "Where is Mary?", "max_tokens": 12, "stream": True},
    )
    assert "event: query.completed" in reply.text
    completed = json.loads(reply.text.strip().rpartition("data: ")[2])
    assert completed["answer"] == whole["answer"]


def test_waiting_for_absorption_leaves_nothing_to_absorb(http: httpx.Client):
    session_id = _make(http)
    reply = http.post(f"/v1/sessions/{session_id}/context", json={"text": TEXT}, headers={"Prefer": "wait"})
    assert reply.json()["absorbed"] is True
    context = http.get(f"/v1/sessions/{session_id}").json()["context"]
    assert context["absorbed_bytes"] == context["bytes"] == len(TEXT.encode())


def test_text_that_a_lost_worker_accepted_is_read_when_somebody_waits_for_it(
    http: httpx.Client, settings: Settings
):
    async def accept_elsewhere(session_id: str) -> None:
        store = await open_store(settings.store_url)
        await store.append(session_id, 0, TEXT.encode())
        await store.close()

    session_id = _make(http)
    asyncio.run(accept_elsewhere(session_id))
    session = http.get(f"/v1/sessions/{session_id}", headers={"Prefer": "wait"}).json()
    assert session["context"]["absorbed_bytes"] == session["context"]["bytes"] == len(TEXT.encode())


def test_bytes_that_are_no_text_are_refused_and_located(http: httpx.Client):
    session_id = _make(http)
    _stream(http, session_id, ["caf\N{LATIN SMALL LETTER E WITH ACUTE}".encode()[:4]])
    path = f"/v1/sessions/{session_id}/context"
    reply = http.patch(path, content=b"\xff", headers={"Upload-Offset": "4", "Content-Type": RAW})
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_utf8")
    assert reply.json()["offset"] == 3
    assert http.head(path).headers["upload-offset"] == "4"


def test_a_question_longer_than_the_limit_is_refused(http: httpx.Client):
    reply = http.post(f"/v1/sessions/{_make(http)}/queries", json={"question": "why? " * 2000})
    assert (reply.status_code, reply.json()["code"]) == (422, "question_too_long")
    assert (reply.json()["tokens"], reply.json()["limit"]) == (10_000, 4096)


def test_a_restarted_server_answers_as_before(settings: Settings):
    with _serving(settings) as http:
        session_id = _make(http)
        _stream(http, session_id, [TEXT.encode()])
        before = _ask(http, session_id)
    with _serving(settings) as http:
        after = _ask(http, session_id)
        assert after["answer"] == before["answer"]
        assert after["usage"]["memory_source"] == "snapshot"
        assert session_id in [item["id"] for item in http.get("/v1/sessions").json()["data"]]


def test_the_model_is_described_as_it_is(http: httpx.Client, settings: Settings):
    [model] = http.get("/v1/models").json()["data"]
    assert model["segment_size"] == 8
    assert model["memory_bytes"] == tiny.model().empty_state().nbytes
    assert http.get(f"/v1/sessions/{_make(http)}").json()["model"] == model["id"]
    assert http.get("/readyz").json()["model"] == model["id"]


async def test_a_missing_model_is_told_by_name_before_anything_listens(tmp_path: Path):
    settings = Settings(store_url=f"sqlite:///{tmp_path}/armt.db", model=str(tmp_path / "nowhere"))
    with pytest.raises(MissingModel, match=r"ARMT_MODEL=.*nowhere"):
        async with open_service(settings):
            pass


async def test_an_unreachable_store_is_told_before_anything_listens(tmp_path: Path):
    (tmp_path / "file").touch()
    settings = Settings(store_url=f"sqlite:///{tmp_path}/file/armt.db", model="bundled")
    with pytest.raises(StoreUnavailable):
        async with open_service(settings):
            pass
