"""A connection between a client and a server that can lose a reply, as networks do at the worst moment."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class LossyProxy:
    """Forwards everything, but for the reply to the first request that has the word to lose."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.lost = 0
        self._target_port = target_port
        self._word: bytes | None = None
        self._connections: set[asyncio.Task[None]] = set()

    def lose_reply_to(self, word: bytes) -> None:
        self._word = word

    @classmethod
    @asynccontextmanager
    async def before(cls, target_port: int) -> AsyncIterator[LossyProxy]:
        proxy = cls(target_port)
        server = await asyncio.start_server(proxy._accept, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            async with server:
                yield proxy
        finally:
            for connection in proxy._connections:
                connection.cancel()
            await asyncio.gather(*proxy._connections, return_exceptions=True)

    def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._connections.add(asyncio.create_task(self._serve(client, to_client)))

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", self._target_port)
        doomed = False

        async def requests() -> None:
            nonlocal doomed
            while data := await client.read(2**20):
                if self._word is not None and self._word in data:
                    self._word = None
                    doomed = True
                to_server.write(data)

        async def replies() -> None:
            while data := await server.read(2**20):
                if doomed:  # the server has done what it was asked, and nobody is told
                    self.lost += 1
                    return
                to_client.write(data)

        tasks = [asyncio.create_task(requests()), asyncio.create_task(replies())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for writer in (to_client, to_server):
                writer.close()
