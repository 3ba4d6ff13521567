from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from stand import Stand, standing

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    """One server for all tests of a file: each makes sessions of its own."""
    with standing() as made:
        yield made


@pytest.fixture
def own_stand() -> Iterator[Stand]:
    """A server for one test, which may spoil it."""
    with standing() as made:
        yield made


@pytest.fixture
def session_id(stand: Stand) -> str:
    return stand.make()
