"""Waiting for absorption, as long as the client wants to and the server goes on."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from armt_server.api.streams import attended
from armt_server.errors import ServerError, ShuttingDown

if TYPE_CHECKING:
    from fastapi import Request

    from armt_server.api.dependencies import Service


async def wait_until_absorbed(
    request: Request, service: Service, session_id: str, upto: int, patience: float | None
) -> bool:
    """Whether the memory holds the text up to `upto`, waiting for it as long as the client wants to."""
    if patience is None:
        return False
    try:
        async with asyncio.timeout(None if math.isinf(patience) else patience):
            waiting = service.sessions.wait_absorbed(session_id, upto)
            await attended(request.receive, waiting, service.stopping)
    except (TimeoutError, ShuttingDown):
        return False  # the text is durable all the same
    except ServerError as error:
        error.headers.setdefault("Upload-Offset", str(upto))
        raise
    return True
