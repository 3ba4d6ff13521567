"""The contract of every store, as a property: whatever is done, it does what a plain dict would."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import World, a_session, whole_log

from armt_server.errors import LogTrimmed, OffsetMismatch, SessionNotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from armt_server.store import StateStore

OFFSETS = st.integers(-2, 40)
DATA = st.binary(max_size=12)
OPERATIONS = st.one_of(
    st.tuples(st.just("append"), DATA),
    st.tuples(st.just("append"), DATA),  # twice as likely, or little ever happens
    st.tuples(st.just("append_again")),
    st.tuples(st.just("append_at"), OFFSETS, DATA),
    st.tuples(st.just("trim"), OFFSETS),
    st.tuples(st.just("put_snapshot"), st.integers(1, 40), DATA),
    st.tuples(st.just("delete_snapshot"), OFFSETS),
    st.tuples(st.just("fork"), st.none() | OFFSETS.filter(lambda offset: offset >= 0)),
    st.tuples(st.just("update"), st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2)),
    st.tuples(st.just("delete")),
)


@dataclass
class Plain:
    """What a session should be: one string of bytes, its cuts, and a dict of snapshots."""

    text: bytes = b""
    ends: list[int] = field(default_factory=list)
    log_start: int = 0
    snapshots: dict[int, bytes] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    last: tuple[int, bytes] = (0, b"")

    def append_at(self, offset: int, data: bytes) -> int:
        if offset == len(self.text):
            if data:
                self.text += data
                self.ends.append(len(self.text))
                self.last = (offset, data)
        elif (offset, data) != self.last:
            raise OffsetMismatch(len(self.text))
        return len(self.text)

    def trim(self, before: int) -> None:
        self.log_start = max((end for end in self.ends if end <= before), default=self.log_start)
        self.ends = [end for end in self.ends if end > self.log_start]

    def put_snapshot(self, offset: int, data: bytes) -> None:
        if offset > len(self.text):
            raise OffsetMismatch(len(self.text))
        self.snapshots[offset] = data

    def delete_snapshot(self, offset: int) -> None:
        self.snapshots.pop(offset, None)

    def update(self, metadata: dict[str, str]) -> None:
        self.metadata = metadata

    def delete(self) -> None:
        """Followed by a new start."""

    def fork(self, offset: int | None) -> Plain:
        """What can be seen of the fork: text that can be read, where it starts, snapshots."""
        end = len(self.text) if offset is None else offset
        if end > len(self.text):
            raise OffsetMismatch(len(self.text))
        if end < self.log_start and end not in self.snapshots:
            raise LogTrimmed(end, self.log_start)
        start = min(self.log_start, end)
        return Plain(
            self.text[start:end], [], start, {at: data for at, data in self.snapshots.items() if at <= end}
        )


async def assert_same(store: StateStore, session_id: str, plain: Plain) -> None:
    record = await store.get(session_id)
    assert record.log_end == len(plain.text)
    assert record.log_start == plain.log_start
    assert record.snapshot_offset == max(plain.snapshots, default=0)
    assert record.metadata == plain.metadata
    assert await whole_log(store, session_id, plain.log_start, limit=7) == plain.text[plain.log_start :]
    assert await store.snapshots(session_id) == sorted(plain.snapshots, reverse=True)
    for offset, data in plain.snapshots.items():
        assert await store.get_snapshot(session_id, offset) == data


async def do(store: StateStore, session_id: str, plain: Plain, name: str, *args: Any) -> Plain:
    """Does the same to both; where the one refuses, so must the other, and for the same reason."""
    if name == "append":
        name, args = "append_at", (len(plain.text), *args)
    elif name == "append_again":
        name, args = "append_at", plain.last
    try:
        expected = getattr(plain, name)(*args)
    except (OffsetMismatch, LogTrimmed) as refusal:
        with pytest.raises(type(refusal)) as refused:
            await ON_STORE[name](store, session_id, *args)
        return (
            plain if refused.value.args == refusal.args else pytest.fail(f"{refused.value} is not {refusal}")
        )
    assert await ON_STORE[name](store, session_id, *args) == expected
    return Plain() if name == "delete" else plain


async def fork_and_look(store: StateStore, session_id: str, offset: int | None) -> Plain:
    fork = await store.fork(session_id, a_session(), offset=offset)
    snapshots = {at: await store.get_snapshot(fork.id, at) or b"" for at in await store.snapshots(fork.id)}
    assert fork.snapshot_offset == max(snapshots, default=0)
    text = await whole_log(store, fork.id, fork.log_start)
    await store.delete(fork.id)
    return Plain(text, [], fork.log_start, snapshots)


async def delete_and_create(store: StateStore, session_id: str) -> None:
    await store.delete(session_id)
    with pytest.raises(SessionNotFound):
        await store.get(session_id)
    await store.create(a_session(session_id))


async def update(store: StateStore, session_id: str, metadata: dict[str, str]) -> None:
    assert (await store.update(session_id, metadata=metadata)).metadata == metadata


ON_STORE: dict[str, Callable[..., Awaitable[object]]] = {
    "append_at": lambda store, *args: store.append(*args),
    "trim": lambda store, *args: store.trim_log(*args),
    "put_snapshot": lambda store, *args: store.put_snapshot(*args),
    "delete_snapshot": lambda store, *args: store.delete_snapshot(*args),
    "fork": fork_and_look,
    "update": update,
    "delete": delete_and_create,
}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=st.lists(OPERATIONS, max_size=20))
def test_a_store_does_what_a_plain_dict_would(world: World, operations: list[tuple]):
    async def play() -> None:
        store = await world.open()
        session_id = uuid.uuid4().hex
        await store.create(a_session(session_id))
        plain = Plain()
        for operation in operations:
            plain = await do(store, session_id, plain, *operation)
            await assert_same(store, session_id, plain)
        await store.delete(session_id)
        await store.close()

    asyncio.run(play())
