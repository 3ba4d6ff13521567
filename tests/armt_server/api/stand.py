"""The routes behind a real server, with sessions that need no model."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import httpx
from fake_sessions import FakeSessions

from armt_server.api.dependencies import Service
from armt_server.app import create_app
from armt_server.schemas import Model
from armt_server.settings import Settings
from serving import RunningServer, running

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = Model(id="fake", created=1, fingerprint="f", segment_size=8, memory_bytes=1024)
SETTINGS = Settings(max_append_bytes=1000, max_pending_bytes=2000, max_answer_tokens=100)


@dataclass(frozen=True)
class Stand:
    """The routes behind a real server, with sessions that need no model."""

    sessions: FakeSessions
    server: RunningServer
    http: httpx.Client

    def make(self, **options: Any) -> str:
        reply = self.http.post("/v1/sessions", json=options)
        assert reply.status_code == 201, reply.text
        session_id: str = reply.json()["id"]
        return session_id


def fake_service(sessions: FakeSessions, settings: Settings = SETTINGS) -> Service:
    fake = cast("Any", sessions)
    return Service(settings=settings, store=fake, sessions=fake, model=MODEL)


@contextlib.contextmanager
def standing() -> Iterator[Stand]:
    sessions = FakeSessions()
    service = fake_service(sessions)
    with (
        running(create_app(service.settings, service), service.stopping) as server,
        httpx.Client(base_url=server.url, timeout=20) as http,
    ):
        yield Stand(sessions, server, http)
