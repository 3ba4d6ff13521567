"""The application: opens what the settings name, puts the routes before it, and shuts down in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING

import uvicorn
from fastapi import Depends, FastAPI
from uvicorn.server import HANDLED_SIGNALS

from armt.checkpoint import Checkpoint, load
from armt.errors import ArmtError
from armt_server import __version__
from armt_server.api import open_routers, openapi, problems, routers
from armt_server.api.dependencies import Service, refuse_when_stopping
from armt_server.api.middleware import BodyLimit, RequestId
from armt_server.errors import MissingModel
from armt_server.schemas import Model
from armt_server.sessions import Sessions
from armt_server.store import open_store

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Iterator

    from armt_server.settings import Settings

_JSON_OVERHEAD = 3  # bytes of JSON for a byte of text: any letter written as \uXXXX fits
_JSON_ROOM = 64 * 1024  # for whatever stands beside the text


@contextlib.asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """Opens store, model and sessions; closes them in the opposite order.

    The sessions get half of `shutdown_seconds` to save what they read; the other half is for open requests,
    which the server waits for before.

    Raises:
        ConfigurationError: the settings name something that cannot be used.
        StoreUnavailable: the store does not answer.
    """
    async with contextlib.AsyncExitStack() as stack:
        store = await open_store(settings.store_url)
        stack.push_async_callback(store.close)
        checkpoint = await asyncio.to_thread(_load, settings)
        sessions = await Sessions.open(settings, store, checkpoint)
        stack.push_async_callback(sessions.close, settings.shutdown_seconds / 2)
        yield Service(settings=settings, store=store, sessions=sessions, model=_described(checkpoint))


def create_app(settings: Settings, service: Service | None = None) -> FastAPI:
    """The ASGI application.

    Args:
        settings: as read at the edge.
        service: already open and closed by the caller; None: the application's lifespan opens and closes it.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_service(settings) if service is None else contextlib.nullcontext(service) as opened:
            app.state.service = opened
            yield
            opened.stopping.set()

    app = FastAPI(
        title="ARMT",
        version=__version__,
        lifespan=lifespan,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.service = service
    for router in routers():
        app.include_router(router, dependencies=[Depends(refuse_when_stopping)])
    for router in open_routers():
        app.include_router(router)
    problems.install(app)
    app.add_middleware(BodyLimit, limit=_JSON_OVERHEAD * settings.max_append_bytes + _JSON_ROOM)
    app.add_middleware(RequestId)  # the last added is the first met
    app.openapi = openapi.builder(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


class Server(uvicorn.Server):
    """Uvicorn, which tells the service that it is stopping before it waits for open connections.

    Args:
        config: uvicorn's.
        stopping: set at the beginning of the shutdown; event streams end then.
    """

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends open streams, then everything else."""
        self._stopping.set()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, which then raises the signal again: that would end us with sessions still open."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _load(settings: Settings) -> Checkpoint:
    try:
        checkpoint = load(settings.model, settings.device, settings.dtype)
    except ArmtError as error:
        raise MissingModel(f"ARMT_MODEL={settings.model}: {error}") from error
    if checkpoint.tokenizer is None:
        raise MissingModel(f"ARMT_MODEL={settings.model}: it has no tokenizer.json, so it cannot read text")
    return checkpoint


def _described(checkpoint: Checkpoint) -> Model:
    return Model(
        id=checkpoint.name,
        created=int(time.time()),
        fingerprint=checkpoint.fingerprint,
        segment_size=checkpoint.model.config.segment_size,
        memory_bytes=checkpoint.model.empty_state().nbytes,
    )
