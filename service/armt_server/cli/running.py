"""The running server: everything of `armt serve` that needs torch and fastapi."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import uvicorn

from armt import hardware
from armt_client import DEFAULT_SERVER
from armt_server.app import Server, create_app, open_service
from armt_server.cli import common
from armt_server.errors import BadSettings
from armt_server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from armt_server.api.dependencies import Service


def run(given: Mapping[str, Any]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        given: settings by name, as text; the environment and the defaults give the rest.

    Raises:
        ServerError: what is wrong with a setting, the port, the store or the model; nothing listens yet.
    """
    settings = Settings(**given)
    hardware.keep_freed_memory()
    with _leaving_on_signals(), _bound(settings.host, settings.port) as listening:
        asyncio.run(_serve(settings, listening))


async def _serve(settings: Settings, listening: socket.socket) -> None:
    async with open_service(settings) as service:
        config = uvicorn.Config(
            create_app(settings, service),
            lifespan="off",  # the service is open already, so that what is wrong with it is told plainly
            # Half of the time for open requests, the rest for the sessions.
            timeout_graceful_shutdown=max(1, int(settings.shutdown_seconds / 2)),
            access_log=False,
            log_level="warning",
        )
        await _Announced(config, service, _url(settings.host, listening)).serve(sockets=[listening])
    common.note("stopped; every session is kept")


class _Announced(Server):
    """Tells the user where it listens, once it does."""

    def __init__(self, config: uvicorn.Config, service: Service, url: str) -> None:
        super().__init__(config, service.stopping)
        self._service = service
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, and then says what runs."""
        try:
            await super().startup(sockets)
        except OSError as error:  # somebody else began to listen while the model was loading
            raise BadSettings(f"{self._url}: {error.strerror}: choose another port with --port") from error
        settings, model = self._service.settings, self._service.model
        flag = "" if self._url == DEFAULT_SERVER else f" --server {self._url}"
        memory = common.size(model.memory_bytes)
        for line in (
            f"armt is ready at {self._url} (stop it with Ctrl-C)",
            f"  model   {model.id}: {model.segment_size} tokens a segment, {memory} of memory a session",
            f"  store   {re.sub('//[^/]*@', '//...@', settings.store_url)}",  # no passwords on the screen
            f"  device  {hardware.device(settings.device)}",
            "try, from another terminal:",
            f"  armt demo{flag}",
            f"  armt append FILE{flag}",
        ):
            common.out.print(line)
        sys.stdout.flush()


def _bound(host: str, port: int) -> socket.socket:
    """A socket at the address, not listening yet: who connects now is refused instead of kept waiting.

    Raises:
        BadSettings: the port is taken, or the host is not an address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise BadSettings(f"ARMT_HOST={host}: {error.strerror}: give an address of this machine") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise BadSettings(
            f"cannot listen on {host}:{port}: {error.strerror or error}: choose another address with "
            "--host and --port (0: any free port), or stop what uses this one"
        ) from error
    return bound


def _url(host: str, listening: socket.socket) -> str:
    """The address that a client on this machine can use."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  told, not bound to
    reachable = everywhere.get(host, host)
    in_url = f"[{reachable}]" if ":" in reachable else reachable
    return f"http://{in_url}:{listening.getsockname()[1]}"


@contextlib.contextmanager
def _leaving_on_signals() -> Iterator[None]:
    """While the model loads a signal just ends us; once it serves, uvicorn has handlers of its own."""

    def leave(_number: int, _frame: object) -> NoReturn:
        raise SystemExit(0)

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
