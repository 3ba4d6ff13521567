from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from worlds import RedisWorld, SqliteWorld, World, a_session

from redis_server import redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from armt_server.store import StateStore

__all__ = ["redis_server"]


@pytest.fixture(params=["sqlite", "redis"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Each kind of store; a server is started only where it is needed."""
    if request.param == "redis":
        return RedisWorld(request.getfixturevalue("redis_server"))
    return SqliteWorld(tmp_path)


@pytest.fixture
async def store(world: World) -> AsyncIterator[StateStore]:
    opened = await world.open()
    yield opened
    await opened.close()


@pytest.fixture
async def other_worker(world: World) -> AsyncIterator[StateStore]:
    opened = await world.open()
    yield opened
    await opened.close()


@pytest.fixture
async def session_id(store: StateStore) -> str:
    return (await store.create(a_session())).id
