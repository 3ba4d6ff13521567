"""What can happen to a Redis server: it dies, fills up or is set up badly, or its reply is lost."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from lossy_proxy import LossyProxy
from redis import exceptions
from redis.asyncio import Redis
from test_contract_sessions import EVERY_METHOD
from worlds import a_session, opened, whole_log

from armt_server.errors import SessionNotFound, StoreFull, StoreUnavailable
from armt_server.store import open_store
from armt_server.store.redis import RedisStore
from armt_server.store.redis_client import _translated
from redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from armt_server.store import StateStore


async def test_a_killed_server_is_unavailable_and_started_again_has_all_that_was_acknowledged():
    with RedisServer.running() as server:
        async with opened(server.url) as store:
            session_id = (await store.create(a_session())).id
            for i in range(20):
                await store.append(session_id, 4 * i, b"%04d" % i)
            await store.put_snapshot(session_id, 80, b"memory")
            server.kill()
            for method in [
                *EVERY_METHOD.values(),
                lambda store, _: store.ping(),
                lambda store, _: store.list(1),
            ]:
                with pytest.raises(StoreUnavailable, match="is it running"):
                    await method(store, session_id)
            server.start()
            assert await whole_log(store, session_id) == b"".join(b"%04d" % i for i in range(20))
            assert await store.get_snapshot(session_id, 80) == b"memory"
            assert await store.append(session_id, 80, b"more") == 84


@pytest.fixture
async def full_store() -> AsyncIterator[StateStore]:
    """A store with a session `small` and one `large`, without which the server would not be full."""
    with RedisServer.running("--maxmemory-policy", "noeviction") as server:
        async with opened(server.url) as store:
            for name, size in (("small", 4), ("large", 2**22)):
                await store.create(a_session(name, ttl_seconds=3600))
                await store.append(name, 0, b"x" * size)
                await store.put_snapshot(name, 4, b"memory")
            async with Redis.from_url(server.url) as redis:
                used = (await redis.info("memory"))["used_memory"]
                await redis.config_set("maxmemory", used - 2**20)
            yield store


@pytest.mark.parametrize("method", ["append", "put_snapshot", "update", "fork"])
async def test_a_full_server_refuses_what_adds_bytes_and_changes_nothing(full_store: StateStore, method: str):
    before = await full_store.get("large")
    offset = before.log_end if method == "append" else 1
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "append": lambda: full_store.append("large", offset, b"x"),
        "put_snapshot": lambda: full_store.put_snapshot("large", offset, b"x"),
        "update": lambda: full_store.update("large", metadata={"x": "x"}),
        "fork": lambda: full_store.fork("large", a_session("fork")),
    }
    with pytest.raises(StoreFull, match="maxmemory"):
        await calls[method]()
    assert (await full_store.get("large")).log_end == before.log_end
    assert await full_store.snapshots("large") == [4]
    assert len(await whole_log(full_store, "large")) == before.log_end
    with pytest.raises(SessionNotFound):
        await full_store.get("fork")


async def test_a_full_server_renews_and_frees_and_then_takes_more(full_store: StateStore):
    with pytest.raises(StoreFull):
        await full_store.create(a_session())
    await full_store.touch("small")
    await full_store.trim_log("small", 4)
    await full_store.delete_snapshot("small", 4)
    await full_store.delete("large")
    assert await full_store.append("small", 4, b"more") == 8
    assert (await full_store.get("small")).log_start == 4


LOST: dict[str, tuple[str, Callable[[StateStore, str, str], Awaitable[object]]]] = {
    "create": ("create", lambda store, _, new: store.create(a_session(new))),
    "append": ("append", lambda store, old, _: store.append(old, 4, b"more")),
    "put_snapshot": ("put_snapshot", lambda store, old, _: store.put_snapshot(old, 3, b"memory")),
    "delete_snapshot": ("delete_snapshot", lambda store, old, _: store.delete_snapshot(old, 4)),
    "trim_log": ("trim", lambda store, old, _: store.trim_log(old, 4)),
    "touch": ("touch", lambda store, old, _: store.touch(old)),
    "update": ("update", lambda store, old, _: store.update(old, ttl_seconds=60)),
    "delete": ("delete", lambda store, old, _: store.delete(old)),
    "fork, staging": ("stage", lambda store, old, new: store.fork(old, a_session(new))),
    "fork": ("create", lambda store, old, new: store.fork(old, a_session(new))),
}


@pytest.mark.parametrize(("script", "call"), LOST.values(), ids=LOST.keys())
async def test_a_call_whose_reply_is_lost_succeeds_and_takes_effect_once(
    redis_server: RedisServer, script: str, call: Callable[[StateStore, str, str], Awaitable[object]]
):
    async with LossyProxy.before(redis_server.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        async with opened(redis_server.url) as undisturbed, opened(url) as disturbed:
            outcomes = []
            for store in (undisturbed, disturbed):
                assert isinstance(store, RedisStore)
                old, new = (await store.create(a_session())).id, uuid.uuid4().hex
                await store.append(old, 0, b"text")
                await store.put_snapshot(old, 4, b"memory")
                if store is disturbed:
                    proxy.lose_reply_to(store._client._scripts[script].sha.encode())
                await call(store, old, new)
                outcomes.append([await seen(store, old), await seen(store, new)])
    assert proxy.lost == 1
    assert outcomes[0] == outcomes[1]


async def seen(store: StateStore, session_id: str) -> object:
    try:
        record = await store.get(session_id)
    except SessionNotFound:
        return None
    log = await whole_log(store, session_id, record.log_start)
    return record.log_start, record.ttl_seconds, log, await store.snapshots(session_id)


async def test_a_replica_is_refused_with_advice(redis_server: RedisServer):
    with RedisServer.running("--replicaof", "127.0.0.1", str(redis_server.port)) as replica:
        async with opened(replica.url) as store:
            with pytest.raises(StoreUnavailable, match="name the primary"):
                await store.create(a_session())


async def test_a_missing_or_wrong_password_is_told_without_repeating_it():
    with RedisServer.running("--requirepass", "right") as server:
        for login in ("", ":wrong-secret@"):
            with pytest.raises(StoreUnavailable, match="the password in ARMT_STORE_URL") as refused:
                await open_store(server.url.replace("//", f"//{login}"))
            assert "wrong-secret" not in refused.value.detail
        async with opened(server.url.replace("//", "//:right@")) as store:
            await store.ping()


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        (("--maxmemory-policy", "allkeys-lru"), "maxmemory-policy allkeys-lru"),
        (("--appendonly", "no"), "appendonly no"),
    ],
)
async def test_settings_that_may_lose_sessions_are_warned_of(
    caplog: pytest.LogCaptureFixture, options: tuple[str, ...], warning: str
):
    with RedisServer.running(*options) as server:
        async with opened(server.url):
            pass
    assert [record.levelname for record in caplog.records if warning in record.getMessage()] == ["WARNING"]


async def test_a_server_that_does_not_tell_its_settings_is_used_without_a_word(
    caplog: pytest.LogCaptureFixture,
):
    with RedisServer.running("--rename-command", "CONFIG", "") as server:
        store = await open_store(server.url)
        await store.ping()
        await store.close()
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def foreign_errors() -> list[type[Exception]]:
    return [
        error
        for error in vars(exceptions).values()
        if isinstance(error, type) and issubclass(error, exceptions.RedisError)
    ]


@pytest.mark.parametrize("foreign", foreign_errors())
def test_every_redis_error_has_its_translation(foreign: type[exceptions.RedisError]):
    assert isinstance(_translated(foreign.__new__(foreign)), StoreUnavailable)


@pytest.mark.parametrize(
    "told",
    [
        "OOM command not allowed when used memory > 'maxmemory'.",
        "Error running script (call to f_0): @user_script:1: -OOM command not allowed when used memory",
        "MISCONF Errors writing to the AOF file: No space left on device",
    ],
)
def test_a_lack_of_room_is_told_from_other_errors(told: str):
    assert isinstance(_translated(exceptions.ResponseError(told)), StoreFull)
