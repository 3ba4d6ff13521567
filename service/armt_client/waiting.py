"""Waiting until a text is read into a memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from armt_client.errors import TimedOut

if TYPE_CHECKING:
    from collections.abc import Callable

    from armt_client.errors import ClientError
    from armt_client.retry import Retry
    from armt_client.values import Session

_POLL_SECONDS = 0.2


def until_absorbed(
    look: Callable[[], Session],
    *,
    upto: int | None,
    progress: Callable[[Session], None],
    waiting: Callable[[ClientError, float], None],
    stall_seconds: float,
    retry: Retry,
) -> Session:
    """Look at a session until it has absorbed `upto` bytes; see `Client.wait_absorbed`.

    Raises:
        TimedOut: nothing moved for `stall_seconds`.
    """
    done, since = -1, time.monotonic()
    while True:
        session = retry.call(look, waiting)
        progress(session)
        upto = session.context.bytes if upto is None else upto
        absorbed = session.context.absorbed_bytes
        if absorbed >= upto:
            return session
        if absorbed != done:
            done, since = absorbed, time.monotonic()
        elif time.monotonic() - since > stall_seconds:
            raise TimedOut(
                f"{absorbed} of {upto} bytes are absorbed, and no more in {stall_seconds:.0f} s: ask the "
                "session a question, which makes the server read on or tell what keeps it from it"
            )
        retry.sleep(_POLL_SECONDS)
