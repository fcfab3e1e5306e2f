"""The tables of ``engine.db``, version by version.

``PRAGMA user_version`` says how far a database has come; opening it runs what is missing, each
version in one transaction. A newer database than this program knows is refused, never guessed at.
"""

import sqlite3

from cutaway.errors import System

VERSIONS: tuple[tuple[str, ...], ...] = (
    (
        # `document` is what was asked for and seldom changes; `state` changes with every event.
        """CREATE TABLE containers (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            document BLOB NOT NULL,
            state BLOB NOT NULL
        ) WITHOUT ROWID""",
        # Small documents of the other nouns: network, endpoint, sandbox, volume.
        """CREATE TABLE documents (
            kind TEXT NOT NULL,
            id TEXT NOT NULL,
            document BLOB NOT NULL,
            PRIMARY KEY (kind, id)
        ) WITHOUT ROWID""",
        """CREATE TABLE events (
            sequence INTEGER PRIMARY KEY,
            time_ns INTEGER NOT NULL,
            document BLOB NOT NULL
        )""",
        "CREATE INDEX events_by_time ON events (time_ns)",
    ),
)


class SchemaTooNew(System):
    """The database was written by a newer cutaway."""

    def __init__(self, path: str, found: int) -> None:
        super().__init__(
            f"{path} was written by a newer cutaway (schema {found}, this one knows "
            f"{len(VERSIONS)}): use that version, or another --data-root"
        )


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the database to the newest schema.

    Raises:
        SchemaTooNew: it is newer than this program.
        sqlite3.Error: the disk is full or the file damaged.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > len(VERSIONS):
        raise SchemaTooNew(path, found)
    for number, statements in enumerate(VERSIONS[found:], found + 1):
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
