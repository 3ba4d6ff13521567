"""When to try again, and how long to wait before it."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from armt_client.errors import ConnectionFailed, TryLater

if TYPE_CHECKING:
    from collections.abc import Callable

    from armt_client.errors import ClientError

_T = TypeVar("_T")
_TOO_MANY_REQUESTS = 429


@dataclass(frozen=True)
class Retry:
    """How patient to be with a server that is away or busy.

    A server that holds us back with 429 is well and at work, so those replies are not counted: only lost
    connections and 503 are, and every success starts the count afresh.

    Attributes:
        attempts: tries in a row before the error is passed on; 1 never tries again.
        first_seconds: wait after the first failure; doubled each time.
        longest_seconds: no wait of our own is longer (the server's Retry-After may be).
        sleep: waits for so many seconds.
    """

    attempts: int = 9
    first_seconds: float = 0.5
    longest_seconds: float = 20.0
    sleep: Callable[[float], None] = time.sleep

    def call(
        self,
        attempt: Callable[[], _T],
        waiting: Callable[[ClientError, float], None] = lambda _error, _seconds: None,
    ) -> _T:
        """The result of `attempt`, tried until it succeeds or patience ends.

        Args:
            attempt: must be safe to repeat.
            waiting: told of each failure and of the seconds until the next try.

        Raises:
            ClientError: one that no repetition will mend, or the last of too many.
        """
        failures = 0
        while True:
            try:
                return attempt()
            except (ConnectionFailed, TryLater) as error:
                busy = isinstance(error, TryLater) and error.status == _TOO_MANY_REQUESTS
                failures += 0 if busy else 1
                if failures >= self.attempts or (busy and self.attempts == 1):
                    raise
                seconds = self._wait(max(failures, 1), error)
                waiting(error, seconds)
            self.sleep(seconds)

    def _wait(self, failures: int, error: ClientError) -> float:
        own = min(self.first_seconds * 2 ** (failures - 1), self.longest_seconds)
        told = error.retry_after if isinstance(error, TryLater) else None
        # Up to a quarter more, so that clients that lost one server together do not return together.
        return (own if told is None else told) * (1 + random.random() / 4)
