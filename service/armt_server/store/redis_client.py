"""A connection pool, the scripts of `lua/`, and every redis error told in our words."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError

from armt_server.errors import (
    BadSettings,
    LogTrimmed,
    OffsetMismatch,
    SessionExists,
    SessionExpired,
    SessionNotFound,
    StoreFull,
    StoreUnavailable,
)
from armt_server.store.base import GRACE_SECONDS
from armt_server.store.redis_keys import key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_log = logging.getLogger(__name__)

_TIMEOUT_SECONDS: Final = 5.0
_MAX_CONNECTIONS: Final = 64
_RETRIES: Final = (
    2  # every script may be repeated, so a broken connection need not become the caller's matter
)
_CODES: Final = {  # redis-py turns these first words of a reply into classes and drops them from the message
    exceptions.OutOfMemoryError: "OOM",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.BusyLoadingError: "LOADING",
    exceptions.AuthenticationError: "NOAUTH",
    exceptions.NoPermissionError: "NOPERM",
    exceptions.ClusterDownError: "CLUSTERDOWN",
    exceptions.MasterDownError: "MASTERDOWN",
}
_ADVICE: Final = {
    "READONLY": "this is a replica; name the primary in ARMT_STORE_URL",
    "LOADING": "it is still reading its data; try again",
    "BUSY": "another client's script keeps it busy; try again",
    "MISCONF": "it cannot write to its disk and takes no writes; look at its log",
    "NOAUTH": "it does not accept the user or the password in ARMT_STORE_URL",
    "NOPERM": "the user in ARMT_STORE_URL needs the permission for scripts and for keys armt:*",
    "MASTERDOWN": "its primary is down; try again",
    "CLUSTERDOWN": "the cluster is down; try again",
    "NOREPLICAS": "it has too few replicas to take writes; try again",
    "WRONGTYPE": "another program uses keys that start with armt:; use another database",
}


class RedisClient:
    """What `RedisStore` talks to: scripts through `run`, plain commands inside `told_in_our_words()`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._closed = False
        folder = Path(__file__).parent / "lua"
        common = (folder / "session.lua").read_text("utf-8")
        self._scripts = {
            file.stem: redis.register_script(common + file.read_text("utf-8"))
            for file in folder.glob("*.lua")
        }

    @classmethod
    async def open(cls, url: str) -> RedisClient:
        """Connects to the server at `url`.

        Raises:
            BadSettings: the address cannot be read.
            StoreUnavailable: the server cannot be reached.
        """
        client = None
        try:
            client = cls(_connect(url))
            with client.told_in_our_words() as redis:
                await redis.ping()
                await _warn_of_loss(redis)
        except (
            ValueError,
            TypeError,
        ) as error:  # what redis-py answers to a port or an option it does not know
            raise BadSettings(
                "ARMT_STORE_URL is not a redis address that can be read: write redis://user:password@host:6379/0"
            ) from error
        except BaseException:
            if client is not None:
                await client.close()
            raise
        return client

    async def run(
        self, script: str, session_id: str, *args: str | bytes | float, keys: Sequence[str] = ()
    ) -> list[Any]:
        """Runs a script on a session: all of it is done, or nothing.

        Args:
            script: its name in `lua/`.
            session_id: whose keys it gets.
            args: its own arguments; `ARGV[1]` is common to all.
            keys: further keys, of the same hash tag.

        Returns:
            What the script answers after its first word.

        Raises:
            ServerError: the one that the first word stands for, if it is not "ok".
        """
        session_keys = [key(session_id, part) for part in ("meta", "log", "snaps")]
        call = partial(self._scripts[script], keys=[*session_keys, *keys], args=[GRACE_SECONDS * 1000, *args])
        with self.told_in_our_words():
            try:
                word, *rest = await call()
            except exceptions.NoScriptError:  # the server started anew between its loading and its call
                word, *rest = await call()
        match word:
            case b"ok":
                return rest
            case b"missing":
                raise SessionNotFound(session_id)
            case b"expired":
                raise SessionExpired(session_id)
            case b"exists":
                raise SessionExists(session_id)
            case b"mismatch":
                raise OffsetMismatch(int(rest[0]))
            case b"trimmed":
                raise LogTrimmed(int(args[0]), int(rest[0]))
            case b"unstaged":
                raise StoreUnavailable(f"copying to session {session_id!r} took too long: try again")
            case _:
                assert word == b"damaged", word
                raise StoreUnavailable(
                    f"the log of session {session_id!r} has a gap: the redis server has lost or evicted data "
                    "(it must run with maxmemory-policy noeviction)"
                )

    @contextmanager
    def told_in_our_words(self) -> Iterator[Redis]:
        """Gives the connection for a few commands; their errors come out as ours."""
        if self._closed:
            raise StoreUnavailable("the store has been closed")
        try:
            yield self._redis
        except RedisError as error:
            raise _translated(error) from error
        finally:
            _end_if_cancelled()

    async def close(self) -> None:
        """Closes all connections; again does nothing."""
        if not self._closed:
            self._closed = True
            await self._redis.aclose()


def _connect(url: str) -> Redis:
    """The one place that knows what kind of server an address means."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_MAX_CONNECTIONS,
        timeout=_TIMEOUT_SECONDS,
        socket_timeout=_TIMEOUT_SECONDS,
        socket_connect_timeout=_TIMEOUT_SECONDS,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), _RETRIES),
    )
    return Redis.from_pool(pool)


async def _warn_of_loss(redis: Redis) -> None:
    """Warns of settings under which the server may lose what it acknowledged; not every server tells them."""
    for setting, wanted in (("maxmemory-policy", "noeviction"), ("appendonly", "yes")):
        try:
            found = (await redis.config_get(setting)).get(setting)
        except exceptions.ResponseError:
            _log.debug("the redis server does not tell its %s", setting)
            continue
        if found is not None and found != wanted:
            _log.warning("redis runs with %s %s and may lose sessions: set it to %s", setting, found, wanted)


def _end_if_cancelled() -> None:
    """Heeds a cancellation that the client library has swallowed.

    It sends with `asyncio.wait_for`, which before Python 3.12 returns as if nothing had happened when it is
    cancelled in the moment in which it is done. Whoever cancelled us would then wait for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _translated(error: RedisError) -> StoreFull | StoreUnavailable:
    code = _CODES.get(type(error))
    told = f"{code} {error}" if code else str(error)
    # looked for anywhere: what a script met, older servers tell in the middle of the message
    if "OOM command not allowed" in told or "No space left on device" in told:
        return StoreFull("redis has no memory or disk left: delete sessions or raise its maxmemory")
    if isinstance(error, exceptions.TimeoutError):
        return StoreUnavailable("the redis server does not answer in time: try again")
    advice = next((advice for word, advice in _ADVICE.items() if f"{word} " in told), None)
    if advice is None and isinstance(error, exceptions.ConnectionError):
        advice = "is it running, and is ARMT_STORE_URL right? try again"
    return StoreUnavailable(f"redis: {told}: {advice or 'look at its log'}")
