"""The Python client of the service: text in, questions out.

    from pathlib import Path
    from armt_client import Client

    with Client("http://127.0.0.1:8000") as client:
        session = client.create_session()
        client.append(session.id, Path("book.txt"))      # of any length; resumes after lost connections
        print(client.ask(session.id, "Where is Mary?").text)

It needs httpx and nothing else. Errors are drawn in `armt_client.errors`.
"""

from __future__ import annotations

from armt_client.client import DEFAULT_SERVER, Client
from armt_client.errors import (
    BadAddress,
    ClientError,
    Conflict,
    ConnectionFailed,
    InputError,
    InvalidRequest,
    InvalidText,
    NotAllowed,
    NotFound,
    OffsetMismatch,
    Problem,
    ServerFault,
    TimedOut,
    TryLater,
    UnexpectedReply,
)
from armt_client.options import AskOptions
from armt_client.retry import Retry
from armt_client.values import Answer, Context, Delta, Progress, Session, SessionPage, Usage

__all__ = [
    "DEFAULT_SERVER",
    "Answer",
    "AskOptions",
    "BadAddress",
    "Client",
    "ClientError",
    "Conflict",
    "ConnectionFailed",
    "Context",
    "Delta",
    "InputError",
    "InvalidRequest",
    "InvalidText",
    "NotAllowed",
    "NotFound",
    "OffsetMismatch",
    "Problem",
    "Progress",
    "Retry",
    "ServerFault",
    "Session",
    "SessionPage",
    "TimedOut",
    "TryLater",
    "UnexpectedReply",
    "Usage",
]
