"""Where sessions are kept: `open_store(url)` gives a `StateStore`.

A new kind of store is one file and one line in `_OPENERS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armt_server.errors import BadSettings
from armt_server.store.base import (
    GRACE_SECONDS,
    MAX_TTL_SECONDS,
    UNSET,
    Offsets,
    Page,
    SessionRecord,
    StateStore,
    Unset,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = [
    "GRACE_SECONDS",
    "MAX_TTL_SECONDS",
    "UNSET",
    "Offsets",
    "Page",
    "SessionRecord",
    "StateStore",
    "Unset",
    "open_store",
]


async def open_store(url: str) -> StateStore:
    """Opens the store at `url`.

    Args:
        url: `sqlite:///relative/path`, `sqlite:////absolute/path`, `redis://host:port/db`,
            `rediss://host:port/db` (TLS) or `unix:///path/to/socket`.

    Raises:
        BadSettings: the address is not one of these.
        StoreUnavailable: the store cannot be reached or is not fit for use.
    """
    scheme, colon, _ = url.partition("://")
    opener = _OPENERS.get(scheme.lower()) if colon else None
    if opener is None:
        # the address itself may hold a password and is not repeated
        raise BadSettings(
            f"ARMT_STORE_URL has the unknown scheme {scheme!r}: the known ones are {', '.join(_OPENERS)}"
            if colon
            else "ARMT_STORE_URL is not an address: write sqlite:///armt.db or redis://localhost:6379"
        )
    return await opener(url)


async def _open_sqlite(url: str) -> StateStore:
    from armt_server.store.sqlite import SqliteStore  # noqa: PLC0415 - one kind of store loads one kind of client

    return await SqliteStore.open(url)


async def _open_redis(url: str) -> StateStore:
    from armt_server.store.redis import RedisStore  # noqa: PLC0415 - as above

    return await RedisStore.open(url)


_OPENERS: dict[str, Callable[[str], Awaitable[StateStore]]] = {
    "sqlite": _open_sqlite,
    "redis": _open_redis,
    "rediss": _open_redis,
    "unix": _open_redis,
}
