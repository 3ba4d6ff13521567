"""Models: what this server serves."""

from __future__ import annotations

from fastapi import APIRouter

from armt_server.api import examples
from armt_server.api.dependencies import ServiceDep  # noqa: TC001  FastAPI evaluates the annotation
from armt_server.schemas import ModelList

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", summary="List models", responses=examples.reply(200, examples.MODEL_LIST))
async def list_models(service: ServiceDep) -> ModelList:
    """A session belongs to one model; its `fingerprint` changes with the weights."""
    return ModelList(data=[service.model])
