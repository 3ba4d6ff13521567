"""Health: is the process alive, can it serve, and within which limits."""

from __future__ import annotations

from fastapi import APIRouter

from armt_server import __version__
from armt_server.api import examples
from armt_server.api.dependencies import ServiceDep  # noqa: TC001  FastAPI evaluates the annotation
from armt_server.errors import NotReady, ServerError, ShuttingDown, StoreUnavailable
from armt_server.schemas import Health, Limits, Ready

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Is the process alive?", responses=examples.reply(200, examples.HEALTH))
async def healthz() -> Health:
    """Asks nothing of the store or the model; for restarting a process that hangs."""
    return Health(version=__version__)


@router.get(
    "/readyz",
    summary="Can it serve?",
    responses=examples.reply(200, examples.READY)
    | examples.problems(NotReady, StoreUnavailable, ShuttingDown),
)
async def readyz(service: ServiceDep) -> Ready:
    """The store answers, the model is loaded and the server is not stopping; for sending it requests."""
    if service.stopping.is_set():
        raise ShuttingDown
    try:
        await service.store.ping()
    except ServerError:
        raise
    except Exception as error:
        raise NotReady(f"the store does not answer ({type(error).__name__}): check ARMT_STORE_URL") from error
    return Ready(model=service.model.id)


@router.get("/v1/limits", summary="Tell the limits", responses=examples.reply(200, examples.LIMITS))
async def limits(service: ServiceDep) -> Limits:
    """The numbers a client has to know, as the server's settings have them."""
    return Limits.model_validate(service.settings)
