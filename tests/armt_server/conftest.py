"""Where the sessions of a test are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from redis_server import RedisServer, redis_server

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["any_url", "redis_server", "url"]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store of the test's own."""
    return f"sqlite:///{tmp_path / 'armt.db'}"


@pytest.fixture(params=["sqlite", "redis"])
def any_url(request: pytest.FixtureRequest, url: str) -> str:
    """Each kind of store."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return server.url
    return url
