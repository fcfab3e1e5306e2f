"""The store: one transaction or nothing, and a damaged file moved aside."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cutaway.engine.ids import NameInUse
from cutaway.engine.schema import SchemaTooNew
from cutaway.engine.store import ContainerRow, Store
from cutaway.network import Change

ROW = ContainerRow("a" * 64, "web", b"{}", b"{}")


def test_what_was_committed_is_there_after_reopening(tmp_path: Path) -> None:
    path = str(tmp_path / "engine.db")
    store = Store(path)
    with store.change() as change:
        change.insert_container(ROW)
        change.put_document("volume", "v", b"1")
        change.add_event(5, b"e")
    # The process dies without closing: the log alone must do.
    again = Store(path)
    assert again.containers() == [ROW]
    assert again.documents("volume") == [("v", b"1")]
    assert again.events(0, 10) == [b"e"]
    assert (tmp_path / "engine.db").stat().st_mode & 0o777 == 0o600


def test_an_error_in_the_block_undoes_everything(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "engine.db"))

    def fail() -> None:
        with store.change() as change:
            change.insert_container(ROW)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert store.containers() == []


def test_a_nested_change_is_part_of_the_outer_one(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "engine.db"))

    def fail() -> None:
        with store.change():
            with store.change() as inner:
                inner.insert_container(ROW)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert store.containers() == []


def test_a_name_is_given_once(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "engine.db"))
    with store.change() as change:
        change.insert_container(ROW)
    with pytest.raises(NameInUse) as caught, store.change() as change:
        change.insert_container(ContainerRow("b" * 64, "web", b"", b""))
    assert str(caught.value) == (
        f'Conflict. The container name "/web" is already in use by container "{"a" * 64}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )


def test_a_damaged_database_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "engine.db"
    store = Store(str(path))
    with store.change() as change:
        change.insert_container(ROW)
    store.close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(bytes(data))
    again = Store(str(path))
    assert again.moved_aside is not None
    assert Path(again.moved_aside).exists()
    assert again.containers() == []


def test_garbage_in_place_of_a_database_does_not_stop_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "engine.db"
    path.write_bytes(b"this is no database" * 1000)
    assert Store(str(path)).containers() == []


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    import sqlite3

    path = str(tmp_path / "engine.db")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SchemaTooNew, match="written by a newer cutaway"):
        Store(path)


def test_flush_serves_many_waiters_and_later_ones_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        with ThreadPoolExecutor(2) as executor:
            store = Store(str(tmp_path / "engine.db"), executor)
            await asyncio.gather(*(store.flush() for _ in range(20)))
            await store.flush()
            await store.checkpoint()
            store.close()

    asyncio.run(scenario())


def test_network_records(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "engine.db"))
    store.write_network_records([Change("network", "n", {"a": 1}), Change("endpoint", "e", {})])
    store.write_network_records([Change("endpoint", "e", None)])
    assert store.load_network_records() == [("network", "n", {"a": 1})]
