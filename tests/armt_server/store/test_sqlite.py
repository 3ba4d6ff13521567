"""What only the SQLite store can meet: its file and disk."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from typing import TYPE_CHECKING

import pytest
from worlds import SqliteWorld, a_session, whole_log

from armt_server.errors import StoreFull, StoreUnavailable
from armt_server.store import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from armt_server.store.sqlite import SqliteStore


@pytest.fixture
def world(tmp_path: Path) -> SqliteWorld:
    return SqliteWorld(tmp_path)


async def pragma(store: SqliteStore, text: str) -> object:
    """Asks or sets something on the store's own connection, in no transaction."""
    file = store._file
    assert file._db is not None
    row = await file._on_thread(lambda: file._db.execute(f"PRAGMA {text}").fetchone())
    return row and row[0]


async def test_a_commit_goes_through_fsync(store: SqliteStore):
    assert await pragma(store, "journal_mode") == "wal"
    assert await pragma(store, "synchronous") == 2  # FULL


async def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path):
    with pytest.raises(StoreUnavailable, match="is it a folder"):
        await open_store(f"sqlite:///{tmp_path}")


async def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="its folder cannot be made"):
        await open_store(f"sqlite:///{tmp_path}/file/armt.db")


async def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(tmp_path: Path):
    novel = tmp_path / "novel.txt"
    novel.write_text("It is a truth universally acknowledged, " * 100)
    before = novel.read_bytes()
    with pytest.raises(StoreUnavailable, match="not an SQLite database"):
        await open_store(f"sqlite:///{novel}")
    assert novel.read_bytes() == before


async def test_another_programs_database_is_refused_and_gets_no_tables_of_ours(tmp_path: Path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE session (theirs)")
    db.close()
    with pytest.raises(StoreUnavailable, match="another program's database"):
        await open_store(f"sqlite:///{path}")
    with sqlite3.connect(path) as db:
        assert [name for (name,) in db.execute("SELECT name FROM sqlite_master")] == ["session"]
    db.close()


async def test_a_file_of_a_newer_version_is_refused(world: SqliteWorld, store: SqliteStore):
    await pragma(store, "user_version = 99")
    with pytest.raises(StoreUnavailable, match="version 99"):
        await world.open()


async def test_a_damaged_file_is_told_as_such(world: SqliteWorld):
    store = await world.open()
    session_id = (await store.create(a_session())).id
    await store.append(session_id, 0, b"text" * 10_000)
    await store.close()
    content = bytearray(world.path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)  # all but the page that says where the tables are
    world.path.write_bytes(content)
    store = await world.open()
    with pytest.raises(StoreUnavailable, match="restore it from a copy"):
        await store.get(session_id)
    await store.close()


async def test_a_file_that_cannot_be_written_refuses_appends_but_can_be_read(store: SqliteStore):
    session_id = (await store.create(a_session())).id
    await store.append(session_id, 0, b"text")
    await pragma(store, "query_only = on")  # the error of a read-only disk; root may write anywhere
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        await store.append(session_id, 4, b"more")
    assert await whole_log(store, session_id) == b"text"


async def test_a_full_disk_refuses_what_does_not_fit_keeps_what_is_there_and_takes_more_after_a_deletion(
    store: SqliteStore,
):
    session_id, other = [(await store.create(a_session())).id for _ in range(2)]
    await store.append(other, 0, b"x" * 50_000)
    await store.append(session_id, 0, b"text")
    await pragma(store, f"max_page_count = {await pragma(store, 'page_count')}")  # what a full disk does
    with pytest.raises(StoreFull, match="no room left"):
        await store.append(session_id, 4, b"y" * 40_000)
    with pytest.raises(StoreFull):
        await store.put_snapshot(session_id, 4, b"y" * 40_000)
    record = await store.get(session_id)
    assert (record.log_end, record.snapshot_offset) == (4, 0)
    assert await whole_log(store, session_id) == b"text"
    await store.delete(other)
    assert await store.append(session_id, 4, b"y" * 40_000) == 40_004


async def test_a_file_locked_for_long_is_told_as_such(world: SqliteWorld, store: SqliteStore):
    session_id = (await store.create(a_session())).id
    await pragma(store, "busy_timeout = 20")
    other_program = sqlite3.connect(world.path, isolation_level=None)
    other_program.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.append(session_id, 0, b"text")
    assert await store.read_log(session_id, 0, 1) == b""
    other_program.execute("ROLLBACK")
    other_program.close()
    assert await store.append(session_id, 0, b"text") == 4


async def test_waiting_for_a_lock_does_not_stop_the_event_loop(world: SqliteWorld, store: SqliteStore):
    session_id = (await store.create(a_session())).id
    other_program = sqlite3.connect(world.path, isolation_level=None)
    other_program.execute("BEGIN IMMEDIATE")
    append = asyncio.create_task(store.append(session_id, 0, b"text"))
    await asyncio.sleep(0)  # the append has begun; if it held the loop, the lock would never be let go
    other_program.execute("ROLLBACK")
    other_program.close()
    assert await append == 4


async def test_bytes_of_expired_sessions_are_swept_by_later_writes(world: SqliteWorld, store: SqliteStore):
    expired = (await store.create(a_session(ttl_seconds=10))).id
    living = (await store.create(a_session())).id
    for session_id in (expired, living):
        await store.append(session_id, 0, b"text")
        await store.put_snapshot(session_id, 4, b"memory")
    await world.let_pass(100, expired)
    await store.append(living, 4, b"more")
    db = sqlite3.connect(world.path)
    assert {name for (name,) in db.execute("SELECT session FROM log")} == {living}
    assert {name for (name,) in db.execute("SELECT session FROM snapshot")} == {living}
    assert {name for (name,) in db.execute("SELECT id FROM session")} == {living, expired}
    await world.let_pass(10**6, expired)
    await store.append(living, 8, b"more")
    assert {name for (name,) in db.execute("SELECT id FROM session")} == {living}
    db.close()


WRITER = """
import asyncio, sys, time
from armt_server.store import SessionRecord, open_store

async def main(url, name):
    store = await open_store(url)
    await store.create(SessionRecord(id=name, model="tiny", created_at=time.time()))
    end = 0
    while True:
        end = await store.append(name, end, b"%08d" % (end // 8))
        print(end, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_processes_that_share_a_new_file_and_are_killed_lose_nothing_acknowledged(world: SqliteWorld):
    names = ["first", "second", "third"]
    writers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WRITER, f"sqlite:///{world.path}", name), stdout=asyncio.subprocess.PIPE
        )
        for name in names
    ]
    acknowledged = {}
    for name, writer in zip(names, writers, strict=True):
        assert writer.stdout is not None
        for _ in range(10):
            acknowledged[name] = int(await writer.stdout.readline())
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
    for name, writer in zip(names, writers, strict=True):
        rest, _ = await writer.communicate()
        acknowledged[name] = int(([str(acknowledged[name]).encode(), *rest.splitlines()])[-1])
    store = await world.open()
    for name in names:
        record = await store.get(name)
        assert record.log_end in (
            acknowledged[name],
            acknowledged[name] + 8,
        )  # one may not have been told yet
        assert await whole_log(store, name) == b"".join(b"%08d" % i for i in range(record.log_end // 8))
    await store.close()
