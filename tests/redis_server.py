"""A real redis-server for tests: started on a free port with a folder of its own, append-only file on.

Tests of one worker share the server of the fixture `redis_server` and keep apart by using ids of their own
(nothing is ever flushed). A test that stops or fills a server starts one for itself: `RedisServer.running()`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_STARTUP_SECONDS = 20
_PORT_ATTEMPTS = 5


class RedisServer:
    """A redis-server that can be killed in mid-use and started again on the same port and files."""

    def __init__(self, folder: Path, options: tuple[str, ...]) -> None:
        self.port = 0
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def socket_url(self) -> str:
        return f"unix://{self._folder / 'redis.sock'}"

    @classmethod
    @contextmanager
    def running(cls, *options: str) -> Iterator[RedisServer]:
        """A server with further `options`, as on its command line; its files are forgotten at the end."""
        # not in pytest's folder: the path of a unix socket may have no more than about 100 bytes
        with tempfile.TemporaryDirectory(prefix="armt-redis-") as folder:
            server = cls(Path(folder), options)
            server.start()
            try:
                yield server
            finally:
                server.kill()

    def start(self) -> None:
        """Returns when the server answers."""
        log: list[str] = []
        for port in [self.port] if self.port else [_free_port() for _ in range(_PORT_ATTEMPTS)]:
            log.clear()
            if self._started(port, log):
                self.port = port
                return
            self.kill()
        pytest.fail(f"redis-server does not start:\n{''.join(log)}")

    def kill(self) -> None:
        """Ends the server with no time to tidy up (SIGKILL)."""
        if self._process is not None:
            assert self._reader is not None
            assert self._process.stdout is not None
            self._process.kill()
            self._process.wait()
            self._reader.join()
            self._process.stdout.close()
            self._process = None

    def _started(self, port: int, log: list[str]) -> bool:
        listen = ["--port", str(port), "--bind", "127.0.0.1", "--unixsocket", "redis.sock"]
        durable = ["--dir", str(self._folder), "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        process = self._process = subprocess.Popen(
            [_program(), *listen, *durable, *self._options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        ready, over = threading.Event(), threading.Event()

        def follow() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                log.append(line)
                if "Ready to accept connections" in line:
                    ready.set()
                    over.set()
            over.set()

        self._reader = threading.Thread(target=follow, daemon=True)
        self._reader.start()
        over.wait(_STARTUP_SECONDS)
        return ready.is_set()


def _program() -> str:
    found = shutil.which("redis-server")
    if found is None:
        reason = "redis-server is not installed (`make test` installs it, or see your system's packages)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer.running() as server:
        yield server
