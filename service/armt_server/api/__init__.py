"""HTTP: one file per noun, thin routes that check, call the sessions and reply.

`routers` is everything there is; `problems` answers every error, `streams` ends work that nobody waits for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armt_server.api import context, health, models, queries, sessions

if TYPE_CHECKING:
    from fastapi import APIRouter


def routers() -> list[APIRouter]:
    """The routes that take work; once the server is stopping they take no more."""
    return [sessions.router, context.router, queries.router]


def open_routers() -> list[APIRouter]:
    """The routes that answer whatever the server's state."""
    return [models.router, health.router]
