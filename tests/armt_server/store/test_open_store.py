from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from armt_server.errors import BadSettings, StoreUnavailable
from armt_server.store import StateStore, open_store

if TYPE_CHECKING:
    from pathlib import Path

    from redis_server import RedisServer


@pytest.mark.parametrize("url", ["mysql://me:secret@host/db", "redis+cluster://secret@host", "http://secret"])
async def test_an_unknown_scheme_is_refused_with_a_list_of_the_known_ones(url: str):
    with pytest.raises(BadSettings, match="sqlite, redis, rediss, unix") as refused:
        await open_store(url)
    assert url.partition("://")[0] in refused.value.detail
    assert "secret" not in refused.value.detail


@pytest.mark.parametrize("url", ["", "armt.db", "/var/lib/armt.db", "localhost:6379"])
async def test_what_is_no_address_is_refused_with_an_example(url: str):
    with pytest.raises(BadSettings, match=r"sqlite:///armt\.db"):
        await open_store(url)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://armt.db", "sqlite:///:memory:"])
async def test_an_sqlite_address_must_name_a_file(url: str):
    with pytest.raises(BadSettings, match=r"sqlite:///relative/path\.db"):
        await open_store(url)


@pytest.mark.parametrize("url", ["redis://:secret@localhost:port", "redis://localhost?no_such_option=1"])
async def test_a_redis_address_that_cannot_be_read_is_refused(url: str):
    with pytest.raises(BadSettings, match="redis address") as refused:
        await open_store(url)
    assert "secret" not in refused.value.detail


async def test_a_relative_sqlite_path_is_taken_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    store = await open_store("sqlite:///new/folders/armt.db")
    await store.close()
    assert (tmp_path / "new/folders/armt.db").is_file()


async def test_a_tilde_in_an_sqlite_path_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    store = await open_store("sqlite:///~/armt.db")
    await store.close()
    assert (tmp_path / "armt.db").is_file()


@pytest.mark.parametrize("address", ["url", "socket_url"])
async def test_a_redis_server_is_reached_by_port_and_by_socket(redis_server: RedisServer, address: str):
    store = await open_store(getattr(redis_server, address))
    assert isinstance(store, StateStore)
    await store.ping()
    await store.close()


@pytest.mark.parametrize(
    "url",
    ["redis://127.0.0.1:1", "rediss://127.0.0.1:1", "unix:///no/such/socket", "redis://no-such.invalid"],
)
async def test_a_redis_server_that_is_not_there_is_unavailable(url: str):
    with pytest.raises(StoreUnavailable, match="is it running"):
        await open_store(url)
