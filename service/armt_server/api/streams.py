"""Work that ends when its client leaves or the server stops, and server-sent events made of it."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, TypeVar

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from armt_server.errors import ShuttingDown

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Mapping

    from starlette.types import Receive, Scope, Send

PING_SECONDS: Final = 15.0
PING: Final = b": ping\n\n"

_T = TypeVar("_T")


async def attended(
    receive: Receive, work: Coroutine[Any, Any, _T], stopping: asyncio.Event | None = None
) -> _T:
    """Does `work` for as long as the client stays and the server runs.

    Args:
        receive: the request's, its body read.
        work: cancelled when the client leaves or `stopping` is set.
        stopping: None for work that ends by itself then.

    Raises:
        ClientDisconnect: the client left first.
        ShuttingDown: the server stopped first.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(receive))
    halting = asyncio.create_task((stopping or asyncio.Event()).wait())
    try:
        await asyncio.wait({working, leaving, halting}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ShuttingDown if halting.done() else ClientDisconnect
    finally:
        await _cancelled(working, leaving, halting)


async def paced(
    source: AsyncGenerator[_T, None], stopping: asyncio.Event, silence: float | None = None
) -> AsyncGenerator[_T | None, None]:
    """The items of `source`, and None each time it was silent for `silence` seconds.

    `source` runs in one task of its own, so it may hold timeouts and locks across its yields; closing this
    generator cancels it where it stands.

    Raises:
        ShuttingDown: `stopping` was set before `source` ended.
    """
    queue: asyncio.Queue[_T | _End] = asyncio.Queue(1)
    pumping = asyncio.create_task(_pump(source, queue))
    halting = asyncio.create_task(stopping.wait())
    getting = asyncio.create_task(queue.get())
    try:
        while True:
            done, _ = await asyncio.wait(
                {getting, halting}, timeout=silence, return_when=asyncio.FIRST_COMPLETED
            )
            if getting in done:
                item = getting.result()
                if isinstance(item, _End):
                    if item.error:
                        raise item.error
                    return
                getting = asyncio.create_task(queue.get())
                yield item
            elif halting in done:
                raise ShuttingDown
            else:
                yield None
    finally:
        await _cancelled(getting, halting, pumping)


class EventStream(Response):
    """A reply of server-sent events that stops its source when the client leaves."""

    media_type = "text/event-stream"

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._chunks = chunks

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Sends until the source ends or the client leaves."""
        await attended(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._chunks) as chunks:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def event(name: str, data: Mapping[str, object]) -> bytes:
    """One server-sent event; JSON keeps its data on one line."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode("ascii")


class _End:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error


async def _pump(source: AsyncGenerator[_T, None], queue: asyncio.Queue[_T | _End]) -> None:
    try:
        async with aclosing(source):
            async for item in source:
                await queue.put(item)
    except Exception as error:  # noqa: BLE001  it is raised again where the items are read
        await queue.put(_End(error))
    else:
        await queue.put(_End())


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # seen, so that asyncio does not complain that nobody looked
