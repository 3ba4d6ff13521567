"""The memories kept at hand: a cache of values, the most lately used of them, within budgets of bytes.

Two tiers: the device, then the host's RAM. What the device has no room for is to be moved to the host by
whoever can move tensors; what the host has no room for is let go. On a CPU there is only the host.
Nothing is lost here: a memory can always be made again from the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator


class Sized(Protocol):
    """A value that knows what it takes and where."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        ...

    @property
    def on_host(self) -> bool:
        """Whether it is in the host's RAM, not on a device."""
        ...


V = TypeVar("V", bound=Sized)


class Residency(Generic[V]):
    """Session values by id, the least lately used first to go.

    Args:
        budget: bytes that the values of each tier may take together. A value larger than it does not stay.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._values: dict[str, V] = {}  # the least lately used first
        self._taken = {True: 0, False: 0}  # bytes, by on_host

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    @property
    def nbytes(self) -> int:
        """Bytes that all values take."""
        return sum(self._taken.values())

    def get(self, session_id: str) -> V | None:
        """The value, which is now the most lately used, or None."""
        value = self._values.pop(session_id, None)
        if value is not None:
            self._values[session_id] = value
        return value

    def peek(self, session_id: str) -> V | None:
        """The value or None; looking does not count as use."""
        return self._values.get(session_id)

    def put(self, session_id: str, value: V) -> None:
        """Keeps a value, the most lately used, in place of the session's last one."""
        self.drop(session_id)
        self._values[session_id] = value
        self._taken[value.on_host] += value.nbytes

    def drop(self, session_id: str) -> None:
        """Lets a value go, if it is there."""
        value = self._values.pop(session_id, None)
        if value is not None:
            self._taken[value.on_host] -= value.nbytes

    def replace(self, session_id: str, old: V, new: V) -> None:
        """Puts `new` in the very place of `old`, unless something newer stands there."""
        if self._values.get(session_id) is old:
            self._values[session_id] = new
            self._taken[old.on_host] -= old.nbytes
            self._taken[new.on_host] += new.nbytes

    def next_to_move(self) -> tuple[str, V] | None:
        """The device's least lately used value if the device is over its budget; it stays until replaced."""
        return self._least_used(on_host=False)

    def evict(self) -> Iterator[tuple[str, V]]:
        """Lets go, and gives, the host's least lately used values until the rest is within the budget."""
        while (chosen := self._least_used(on_host=True)) is not None:
            self.drop(chosen[0])
            yield chosen

    def _least_used(self, *, on_host: bool) -> tuple[str, V] | None:
        if self._taken[on_host] <= self._budget:
            return None
        return next((item for item in self._values.items() if item[1].on_host == on_host), None)
