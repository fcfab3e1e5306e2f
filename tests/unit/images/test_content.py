"""The content store holds whole, verified blobs, or nothing."""

import hashlib
import json
import os
import threading
import time

import pytest

from cutaway.errors import InvalidParameter, System
from cutaway.images.cancellation import Cancelled
from cutaway.images.content import (
    ContentNotFound,
    ContentStore,
    VerificationFailed,
)
from cutaway.oci import Descriptor, Digest
from cutaway.oci.hashing import digest_of

DATA = b"some bytes" * 1000
DIGEST = digest_of(DATA)
EXPECTED = Descriptor("", DIGEST, len(DATA))


@pytest.fixture
def store(tmp_path):
    return ContentStore(str(tmp_path / "images"))


def ingest_directory(store) -> list[str]:
    return os.listdir(os.path.join(store.root, "ingest"))


def put(store, data: bytes) -> Digest:
    with store.ingest() as ingest:
        ingest.write(data)
        return ingest.commit()[0]


def test_a_new_store_is_an_image_layout(store):
    with open(f"{store.root}/oci-layout") as file:
        assert json.load(file) == {"imageLayoutVersion": "1.0.0"}
    assert os.path.isdir(f"{store.root}/blobs/sha256")


def test_a_blob_is_read_back_and_read_only(store):
    digest = put(store, DATA)

    assert digest == DIGEST
    assert digest in store
    assert store.size(digest) == len(DATA)
    assert store.read(digest) == DATA
    with store.open(digest) as file:
        assert file.read() == DATA
    assert os.stat(store.path(digest)).st_mode & 0o777 == 0o444
    assert ingest_directory(store) == []
    assert list(store.list_blobs()) == [(digest, len(DATA), os.stat(store.path(digest)).st_mtime)]


def test_a_blob_that_is_not_here(store):
    for access in (store.size, store.open, store.read, store.open_fd):
        with pytest.raises(ContentNotFound, match=f"content digest {DIGEST}: not found"):
            access(DIGEST)
    assert DIGEST not in store


def test_other_files_among_the_blobs_are_not_blobs(store):
    with open(f"{store.root}/blobs/sha256/README", "w"):
        pass
    assert list(store.list_blobs()) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (DATA[:-1], "has 9999 bytes, its descriptor says 10000"),
        (b"x" + DATA[1:], f"filesystem layer verification failed for digest {DIGEST}"),
        (b"", "has 0 bytes"),
    ],
)
def test_what_is_not_as_expected_is_not_kept(store, data, message):
    with store.ingest(EXPECTED) as ingest:
        ingest.write(data)
        with pytest.raises(VerificationFailed, match=message):
            ingest.commit()

    assert DIGEST not in store
    assert ingest_directory(store) == []


def test_what_is_longer_than_expected_is_not_even_written(store):
    with store.ingest(EXPECTED) as ingest:
        ingest.write(DATA)
        with pytest.raises(VerificationFailed, match="is longer than the 10000 bytes"):
            ingest.write(b"x")
    assert ingest_directory(store) == []


def test_an_ingest_that_is_left_is_aborted(store):
    with store.ingest() as ingest:
        ingest.write(DATA)
    assert ingest_directory(store) == []
    ingest.abort()


def test_a_suspended_ingest_is_taken_up(store):
    with store.ingest(EXPECTED) as ingest:
        ingest.write(DATA[:700])
        ingest.suspend()
    assert store.partial_size(DIGEST) == 700

    with store.ingest(EXPECTED) as ingest:
        assert ingest.offset == 700
        ingest.write(DATA[700:])
        assert ingest.commit() == (DIGEST, len(DATA))
    assert store.partial_size(DIGEST) == 0


def test_a_taken_up_ingest_can_start_again(store):
    with store.ingest(EXPECTED) as ingest:
        ingest.write(b"wrong")
        ingest.suspend()
    with store.ingest(EXPECTED) as ingest:
        ingest.restart()
        ingest.write(DATA)
        ingest.commit()
    assert store.read(DIGEST) == DATA


def test_sha512_blobs_have_their_own_directory(store):
    digest = Digest("sha512:" + hashlib.sha512(DATA).hexdigest())
    store.write_document(DATA, digest)
    store.write_document(DATA, digest)

    assert os.path.exists(f"{store.root}/blobs/sha512/{digest.encoded}")
    assert store.read(digest) == DATA
    with pytest.raises(VerificationFailed):
        store.write_document(b"other", Digest("sha512:" + "0" * 128))


def test_small_documents_are_stored_once(store):
    first = store.write_blob(b"{}")
    written = os.stat(store.path(first)).st_ino

    assert store.write_blob(b"{}") == first
    assert os.stat(store.path(first)).st_ino == written


def test_a_damaged_document_is_found_and_set_aside(store):
    digest = put(store, DATA)
    os.chmod(store.path(digest), 0o644)
    with open(store.path(digest), "r+b") as file:
        file.write(b"X")

    assert not store.verify(digest)
    with pytest.raises(VerificationFailed, match="is damaged"):
        store.read(digest)
    place = store.quarantine(digest)
    assert os.path.exists(place)
    assert digest not in store


def test_a_document_that_is_too_large_is_not_read(store):
    digest = put(store, DATA)
    with pytest.raises(InvalidParameter, match="larger than the 100 bytes"):
        store.read(digest, limit=100)
    assert store.verify(digest)


def test_removing_spares_what_a_lease_keeps(store):
    before = put(store, b"before")
    seen = put(store, b"seen")
    with store.lease():
        during = put(store, b"during")
        assert seen in store
        with store.lease():
            pass
        assert store.remove([before, seen, during]) == len(b"before")
    assert store.remove([before, seen, during]) == len(b"seen") + len(b"during")
    assert list(store.list_blobs()) == []


def test_the_sweep_keeps_partial_blobs_for_a_while(store):
    unknown = store.ingest()
    unknown.write(b"x")
    known = store.ingest(EXPECTED)
    known.write(b"x")
    known.suspend()

    store.sweep()
    assert ingest_directory(store) == [f"sha256-{DIGEST.encoded}"]
    store.sweep(partial_older_than=time.time() - 100)
    assert store.partial_size(DIGEST) == 1
    store.sweep(partial_older_than=time.time() + 100)
    assert ingest_directory(store) == []
    unknown.abort()

    store.discard_partial(DIGEST)


def test_one_blob_has_one_writer_at_a_time(store):
    order = []

    def second() -> None:
        with store.exclusive(DIGEST):
            order.append("second")

    with store.exclusive(DIGEST):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.05)
        order.append("first")
    thread.join()

    assert order == ["first", "second"]


def test_waiting_for_a_writer_can_be_cancelled(store):
    with (
        store.exclusive(DIGEST),
        pytest.raises(Cancelled, match="context canceled"),
        store.exclusive(DIGEST, lambda: True),
    ):
        raise AssertionError("the lock was taken twice")


def test_the_reserve_of_the_disk_is_not_used(store, monkeypatch):
    monkeypatch.setattr("cutaway.images.content.free_space_floor", lambda path: 2**62)
    with (
        store.ingest() as ingest,
        pytest.raises(System, match="no space left on device .*image prune"),
    ):
        ingest.write(b"x")
    assert ingest_directory(store) == []


def test_a_full_disk_is_told_in_the_kernels_words(store, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with store.ingest() as ingest:
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(System, match="no space left on device; free some"):
            ingest.write(b"x")
        monkeypatch.undo()
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(System, match="no space left on device; free some"):
            ingest.commit()
    assert ingest_directory(store) == []
