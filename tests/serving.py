"""A real uvicorn in a thread, on a port that was free."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import uvicorn

from armt_server.app import Server

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI


class RunningServer:
    """A server that answers until `stop`.

    Attributes:
        url: its address.
    """

    def __init__(self, app: FastAPI, stopping: asyncio.Event) -> None:
        self._started = threading.Event()
        self._server = _TellingServer(
            uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=5), stopping
        )
        self._server.tell = self._started.set
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(30), "the server did not start"
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        """Begins the shutdown; `join` waits for its end."""
        self._server.should_exit = True

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive(), "the server did not stop"


class _TellingServer(Server):
    tell: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.tell()


@contextlib.contextmanager
def running(app: FastAPI, stopping: asyncio.Event) -> Iterator[RunningServer]:
    """The app behind a real server for the length of the block."""
    server = RunningServer(app, stopping)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        server.join()
