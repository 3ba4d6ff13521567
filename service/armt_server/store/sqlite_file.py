"""One SQLite file behind one thread: opening, transactions, and every sqlite3 error told in our words."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from armt_server.errors import StoreFull, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_T = TypeVar("_T")
_APPLICATION_ID: Final = (
    0x41524D54  # "ARMT" in the file's header: no other program's database is taken for ours
)
_SCHEMA_VERSION: Final = 1
_BUSY_SECONDS: Final = 5.0
_WAL_RETRY_SECONDS: Final = 0.05
_ADVICE: Final = {
    sqlite3.SQLITE_BUSY: "another process keeps the file locked; try again",
    sqlite3.SQLITE_LOCKED: "another connection keeps a table locked; try again",
    sqlite3.SQLITE_READONLY: "the file or its folder cannot be written; check their owner and mode",
    sqlite3.SQLITE_CANTOPEN: "no file can be opened at this path; is it a folder? may it be read?",
    sqlite3.SQLITE_NOTADB: "the file is not an SQLite database; name another path in ARMT_STORE_URL",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a copy",
    sqlite3.SQLITE_IOERR: "the disk did not do as asked; check it",
    sqlite3.SQLITE_PERM: "access was refused; check the file's owner and mode",
}


class SqliteFile:
    """A connection on a thread of its own, so that the event loop never waits for the disk.

    Write-ahead log with `synchronous=FULL`: what was committed has been through fsync.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="armt-sqlite")
        self._db: sqlite3.Connection | None = None
        self._closed = False

    @classmethod
    async def open(cls, path: Path) -> SqliteFile:
        """Opens the file at `path`, making it, its folders and its tables as needed.

        Raises:
            StoreUnavailable: the path cannot be used, or holds something else.
        """
        file = cls(path)
        try:
            await file._on_thread(file._connect)
        except BaseException:
            await file.close()
            raise
        return file

    async def read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Runs `work` on one consistent view of the file."""
        return await self._on_thread(self._transaction, "BEGIN", work)

    async def write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Runs `work` as one transaction: durable when this returns, undone when `work` raises.

        Cancelling the caller does not stop a transaction that has begun.
        """
        return await self._on_thread(self._transaction, "BEGIN IMMEDIATE", work)

    async def close(self) -> None:
        """Closes connection and thread; again does nothing."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
            self._thread.shutdown(wait=False)

    async def _on_thread(self, function: Callable[..., _T], *args: object) -> _T:
        if self._closed:
            raise StoreUnavailable("the store has been closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    def _transaction(self, begin: str, work: Callable[[sqlite3.Connection], _T]) -> _T:
        db = self._db
        assert db is not None
        with self._told_in_our_words():
            db.execute(begin)
            try:
                result = work(db)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # on a full disk SQLite may have rolled back by itself
                    db.execute("ROLLBACK")
                raise
            return result

    def _connect(self) -> None:
        with self._told_in_our_words():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            db = self._db = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA foreign_keys = ON")
            self._begin_write_ahead_log(db)
            db.execute("PRAGMA synchronous = FULL")
        self._transaction("BEGIN IMMEDIATE", self._prepare)

    def _begin_write_ahead_log(self, db: sqlite3.Connection) -> None:
        """Turns the write-ahead log on; SQLite does not wait by itself when two processes do so at once."""
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(_WAL_RETRY_SECONDS)
            else:
                if mode != "wal":
                    raise StoreUnavailable(
                        f"{self._path} cannot have a write-ahead log (a network drive?): it is in mode {mode}"
                    )
                return

    def _prepare(self, db: sqlite3.Connection) -> None:
        """Makes the tables in a new file and refuses a file that is not ours."""
        application, version = scalar(db, "PRAGMA application_id"), scalar(db, "PRAGMA user_version")
        if scalar(db, "SELECT count(*) FROM sqlite_master") == 0 and application in (0, _APPLICATION_ID):
            for statement in (Path(__file__).parent / "schema.sql").read_text("utf-8").split(";\n"):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        elif application != _APPLICATION_ID:
            raise StoreUnavailable(
                f"{self._path} is another program's database: name another path in ARMT_STORE_URL"
            )
        elif version != _SCHEMA_VERSION:
            raise StoreUnavailable(
                f"{self._path} is of version {version} and this server reads version {_SCHEMA_VERSION}: "
                "use the server that wrote it, or another path"
            )

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    @contextmanager
    def _told_in_our_words(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError):
            raise  # our own mistake, not the store's state
        except sqlite3.DatabaseError as error:
            code = _code(error)
            if code == sqlite3.SQLITE_FULL:
                raise StoreFull(f"no room left for {self._path}: delete sessions or free the disk") from error
            raise StoreUnavailable(
                f"{self._path}: {error}: {_ADVICE.get(code, 'look at the file and its disk')}"
            ) from error
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: {error.strerror}: its folder cannot be made") from error


def scalar(db: sqlite3.Connection, sql: str, *values: object) -> Any:
    """The first column of the first row, None without a row."""
    row = db.execute(sql, values).fetchone()
    return None if row is None else row[0]


def _code(error: sqlite3.Error) -> int:
    """The primary result code; the extended ones keep it in the low byte."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
