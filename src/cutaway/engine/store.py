"""What the engine must not forget: containers, networks, leases and events, in SQLite.

One connection, one writer at a time (a lock, held for about 0.1 ms: a change never waits for the
disk, so the event loop's thread may make it directly).
The write-ahead log is not synced at each commit: that already survives the death of the engine.
Where a lost write would matter after a power cut, the caller awaits ``flush``, which syncs the log
from another thread and serves many waiters with one fdatasync. A commit followed by that sync is
what SQLite does itself under ``synchronous=FULL``.

Whoever changes memory does so after the commit, so that a full disk never leaves memory and store
apart. The log has its room on the disk in advance, and asks for more when it is used up.
"""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from cutaway import linux
from cutaway.engine.ids import NameInUse
from cutaway.engine.schema import migrate
from cutaway.errors import System
from cutaway.network.store import Change, RecordKind

EVENTS_KEPT = 8192
_PRUNE_EVERY = 1024
_LOG_RESERVE_BYTES = 8 << 20
_ROOM_BYTES = 256 << 10  # more than any transaction writes


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """A container as stored: two JSON documents and the two columns that queries need."""

    id: str
    name: str
    document: bytes
    state: bytes


class StoreFull(System):
    """The disk has no room for the change; nothing was changed."""

    def __init__(self, path: str) -> None:
        super().__init__(f"cannot write {path}: no space left on device")


class Transaction:
    """The changes that happen together or not at all; made by ``Store.change``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def insert_container(self, row: ContainerRow) -> None:
        """Add a container.

        Raises:
            NameInUse: another one has the name.
        """
        try:
            self._connection.execute(
                "INSERT INTO containers VALUES (?, ?, ?, ?)",
                (row.id, row.name, row.document, row.state),
            )
        except sqlite3.IntegrityError:
            raise self._name_in_use(row.name) from None

    def _name_in_use(self, name: str) -> NameInUse:
        found = self._connection.execute("SELECT id FROM containers WHERE name = ?", (name,))
        return NameInUse(name, (found.fetchone() or ("",))[0])

    def set_container_state(self, identifier: str, state: bytes) -> None:
        """Replace what changes in a container's life."""
        self._connection.execute(
            "UPDATE containers SET state = ? WHERE id = ?", (state, identifier)
        )

    def set_container_document(self, identifier: str, document: bytes) -> None:
        """Replace what was asked of a container (``update``, ``rename`` and ``connect`` do)."""
        self._connection.execute(
            "UPDATE containers SET document = ? WHERE id = ?", (document, identifier)
        )

    def rename_container(self, identifier: str, name: str) -> None:
        """Give a container another name.

        Raises:
            NameInUse: another one has it.
        """
        try:
            self._connection.execute(
                "UPDATE containers SET name = ? WHERE id = ?", (name, identifier)
            )
        except sqlite3.IntegrityError:
            raise self._name_in_use(name) from None

    def delete_container(self, identifier: str) -> None:
        """Forget a container; harmless when it is forgotten already."""
        self._connection.execute("DELETE FROM containers WHERE id = ?", (identifier,))

    def put_document(self, kind: str, identifier: str, document: bytes) -> None:
        """Add or replace a document of some kind: ``network``, ``endpoint``, ``volume``."""
        self._connection.execute(
            "INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (kind, identifier, document)
        )

    def delete_document(self, kind: str, identifier: str) -> None:
        """Forget a document; harmless when it is forgotten already."""
        self._connection.execute(
            "DELETE FROM documents WHERE kind = ? AND id = ?", (kind, identifier)
        )

    def add_event(self, time_ns: int, document: bytes) -> int:
        """Append an event and return its sequence number; the oldest fall out at the end."""
        cursor = self._connection.execute(
            "INSERT INTO events (time_ns, document) VALUES (?, ?)", (time_ns, document)
        )
        sequence = cursor.lastrowid or 0
        if sequence % _PRUNE_EVERY == 0:
            self._connection.execute(
                "DELETE FROM events WHERE sequence <= ?", (sequence - EVENTS_KEPT,)
            )
        return sequence


class Store:
    """The database of one engine."""

    def __init__(
        self,
        path: str,
        executor: Executor | None = None,
        *,
        make_room: Callable[[], bool] = lambda: False,
    ) -> None:
        """Open or make the database; a damaged one is moved aside and an empty one made.

        Args:
            path: the file; its directory must exist.
            executor: where ``flush`` and ``checkpoint`` wait for the disk.
            make_room: called when the disk is full; False when there is no more to give.

        Raises:
            SchemaTooNew: a newer cutaway wrote it.
        """
        self.path = path
        self.moved_aside: str | None = None
        self._executor = executor
        self._flush_waiters: list[asyncio.Future[None]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._lock = threading.RLock()  # guards the connection and `_transaction`
        self._transaction: Transaction | None = None
        self._make_room = make_room
        self._connection = self._open_or_replace()
        self._wal_fd = os.open(path + "-wal", os.O_RDWR | os.O_CLOEXEC)
        self._reserved_bytes = 0
        with suppress(OSError):
            linux.reserve_space(self._wal_fd, _LOG_RESERVE_BYTES)
            self._reserved_bytes = _LOG_RESERVE_BYTES

    def _open_or_replace(self) -> sqlite3.Connection:
        while True:
            try:
                return self._open()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) and "disk" in str(error):
                    if self._make_room():
                        continue
                    raise System(f"cannot open {self.path}: {error}") from error
                self.moved_aside = self._move_aside()
                return self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA busy_timeout = 5000")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            # A checkpoint syncs the disk; it is done by `checkpoint`, off the loop's thread.
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            migrate(connection, self.path)
        except BaseException:
            connection.close()
            raise
        os.chmod(self.path, 0o600)
        # The first write makes the -wal file, so that `flush` has something to hold.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("PRAGMA application_id = 0x63757461")
        connection.execute("COMMIT")
        return connection

    def _move_aside(self) -> str:
        aside = f"{self.path}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(self.path + suffix):
                os.rename(self.path + suffix, aside + suffix)
        return aside

    @contextmanager
    def change(self) -> Iterator[Transaction]:
        """Make changes together: committed when the block ends, undone when it raises.

        A ``change`` inside another joins it, so that a use case and the parts it calls make one
        transaction.

        Raises:
            StoreFull: no space; nothing was changed.
        """
        with self._lock:
            if self._transaction is not None:
                yield self._transaction
            else:
                with self._begin() as transaction:
                    yield transaction

    @contextmanager
    def _begin(self) -> Iterator[Transaction]:
        self._require_room()
        self._execute("BEGIN IMMEDIATE")
        self._transaction = Transaction(self._connection)
        try:
            yield self._transaction
            self._execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._rollback()
            if "full" in str(error) or "disk I/O" in str(error):
                raise StoreFull(self.path) from error
            raise
        except BaseException:
            self._rollback()
            raise
        finally:
            self._transaction = None

    def _require_room(self) -> None:
        if self.log_bytes() + _ROOM_BYTES <= self._reserved_bytes:
            return
        disk = os.statvfs(self.path)
        if disk.f_bavail * disk.f_frsize < _ROOM_BYTES:
            self._make_room()

    def _execute(self, statement: str) -> None:
        self._connection.execute(statement)

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _query(self, statement: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def containers(self) -> list[ContainerRow]:
        """Return every container."""
        rows = self._query("SELECT id, name, document, state FROM containers")
        return [ContainerRow(*row) for row in rows]

    def documents(self, kind: str) -> list[tuple[str, bytes]]:
        """Return every document of a kind as ``(id, document)``."""
        return self._query("SELECT id, document FROM documents WHERE kind = ?", kind)

    def load_network_records(self) -> list[tuple[RecordKind, str, Mapping[str, Any]]]:
        """Return every record of the networks (``network.store``'s seam)."""
        kinds: tuple[RecordKind, ...] = ("network", "endpoint", "sandbox", "release")
        return [
            (kind, key, msgspec.json.decode(document))
            for kind in kinds
            for key, document in self.documents(kind)
        ]

    def write_network_records(self, changes: Sequence[Change]) -> None:
        """Write or delete records, all or none (``network.store``'s seam)."""
        with self.change() as transaction:
            for change in changes:
                if change.document is None:
                    transaction.delete_document(change.kind, change.key)
                else:
                    document = msgspec.json.encode(change.document)
                    transaction.put_document(change.kind, change.key, document)

    def events(self, since_ns: int, until_ns: int) -> list[bytes]:
        """Return the events in a span of time, both ends included, oldest first."""
        rows = self._query(
            "SELECT document FROM events WHERE time_ns BETWEEN ? AND ? ORDER BY sequence",
            since_ns,
            until_ns,
        )
        return [document for (document,) in rows]

    async def flush(self) -> None:
        """Wait until everything committed so far survives a power cut.

        Waiters that come while a sync runs share the next one: the running one may have begun
        before their commit.
        """
        self._flush_waiters.append(asyncio.get_running_loop().create_future())
        waiter = self._flush_waiters[-1]
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.ensure_future(self._flush_rounds())
        await waiter

    async def _flush_rounds(self) -> None:
        while self._flush_waiters:
            waiters, self._flush_waiters = self._flush_waiters, []
            failure: OSError | None = None
            try:
                await self._in_thread(self._sync_log)
            except OSError as error:
                failure = error
            for waiter in waiters:
                if waiter.done():
                    continue
                if failure is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(System(f"cannot sync {self.path}: {failure}"))

    async def _in_thread(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _sync_log(self) -> None:
        os.fdatasync(self._wal_fd)

    async def checkpoint(self) -> None:
        """Move the log into the database, from another thread on its own connection."""
        await self._in_thread(self._checkpoint)

    def _checkpoint(self) -> None:
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            connection.close()

    def log_bytes(self) -> int:
        """Return the size of the write-ahead log, which says when to call ``checkpoint``."""
        return os.fstat(self._wal_fd).st_size

    def close(self) -> None:
        """Put the log into the database and let go of the files."""
        os.close(self._wal_fd)
        with suppress(sqlite3.OperationalError):  # on a full disk the log stays, and is enough
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()
