from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scripted import ScriptedServer

from armt_client import Client, Retry

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer.running() as running:
        yield running


@pytest.fixture
def waits() -> list[float]:
    """The seconds that the client would have slept."""
    return []


@pytest.fixture
def client(server: ScriptedServer, waits: list[float]) -> Iterator[Client]:
    with Client(server.url, retry=Retry(attempts=3, sleep=waits.append), timeout_seconds=5) as made:
        yield made


@pytest.fixture
def session_id(client: Client) -> str:
    return client.create_session().id
