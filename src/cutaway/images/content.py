"""The content store: blobs by digest in an OCI image layout, verified while they are written.

    ROOT/oci-layout             {"imageLayoutVersion": "1.0.0"}
    ROOT/index.json             which manifests have names: ``index.py``
    ROOT/blobs/sha256/HEX       read-only, complete, verified
    ROOT/ingest/sha256-HEX      a blob being fetched; kept when interrupted, to be resumed
    ROOT/ingest/new-…           a blob whose digest is not known yet; swept at start

A blob appears under ``blobs`` only whole: written beside it, size and digest compared, fsynced,
renamed, and the directory fsynced. Threads may use the store at once; one process owns it.

Lock order: an ingest's per-digest lock, then ``ContentStore._lock``.
"""

import contextlib
import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from cutaway import files
from cutaway.errors import CutawayError, InvalidParameter, NotFound, System
from cutaway.images.cancellation import Cancelled
from cutaway.images.layers.disk_guard import free_space_floor
from cutaway.oci import Descriptor, Digest
from cutaway.oci.hashing import digest_of

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
_READ_BYTES = 1024 * 1024
_SPACE_CHECK_BYTES = 64 * 1024 * 1024
_UNCACHED_BYTES = 4 * 1024 * 1024
_FREE_SOME = "free some, for example by 'image prune -a'"


class ContentNotFound(NotFound):
    """No blob of that digest is in the store."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(f"content digest {digest}: not found")
        self.digest = digest


class VerificationFailed(System):
    """Bytes are not what their descriptor says: the sender lied, or the wire or disk erred."""


class ContentStore:
    """Blobs by digest. Opening it makes the layout; it never deletes a complete blob by itself."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._leases: list[set[Digest]] = []  # guarded by _lock
        self._writers: dict[Digest, threading.Lock] = {}  # guarded by _lock
        for name in ("", "blobs", "blobs/sha256", "blobs/sha512", "ingest"):
            os.makedirs(os.path.join(root, name), mode=0o700, exist_ok=True)
        layout = os.path.join(root, "oci-layout")
        if not os.path.exists(layout):
            files.write_json(layout, {"imageLayoutVersion": "1.0.0"}, mode=0o644)

    def path(self, digest: Digest) -> str:
        """Return the file name of a blob, whether it exists or not."""
        return os.path.join(self.root, "blobs", digest.algorithm, digest.encoded)

    def __contains__(self, digest: Digest) -> bool:
        """Say whether the blob is here; if so, open leases keep it."""
        with self._lock:
            if not os.path.exists(self.path(digest)):
                return False
            self._keep(digest)
        return True

    def size(self, digest: Digest) -> int:
        """Return a blob's length in bytes.

        Raises:
            ContentNotFound: it is not here.
        """
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            raise ContentNotFound(digest) from None

    def open_fd(self, digest: Digest) -> int:
        """Open a blob for reading and return a close-on-exec descriptor that the caller owns.

        Raises:
            ContentNotFound: it is not here.
        """
        try:
            return os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise ContentNotFound(digest) from None

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob as a buffered file that the caller closes.

        Raises:
            ContentNotFound: it is not here.
        """
        return os.fdopen(self.open_fd(digest), "rb")

    def read(self, digest: Digest, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
        """Return a small blob, verified again: a disk may have changed it.

        Raises:
            ContentNotFound: it is not here.
            VerificationFailed: it is not what its digest says.
            InvalidParameter: it is longer than ``limit`` bytes.
        """
        with self.open(digest) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise InvalidParameter(f"{digest}: larger than the {limit} bytes a document may have")
        if hashlib.new(digest.algorithm, data).hexdigest() != digest.encoded:
            raise VerificationFailed(f"blob {digest} is damaged: its content has another digest")
        return data

    def write_blob(self, data: bytes) -> Digest:
        """Store a small document and return its digest; storing it twice is harmless."""
        digest = digest_of(data)
        if digest not in self:
            with self.ingest() as ingest:
                ingest.write(data)
                ingest.commit()
        return digest

    def write_document(self, data: bytes, digest: Digest) -> None:
        """Store a document under a digest that was verified already, of any known algorithm.

        Raises:
            VerificationFailed: it is not what the digest says after all.
        """
        if digest in self:
            return
        expected = Descriptor("", digest, len(data))
        with self.exclusive(digest), self.ingest(expected) as ingest:
            ingest.restart()
            ingest.write(data)
            ingest.commit()

    def ingest(self, expected: Descriptor | None = None, *, is_read_soon: bool = True) -> "Ingest":
        """Start writing a blob; use as a context manager, which aborts unless committed.

        Args:
            expected: digest and size it must have. The partial file of an interrupted ingest of
                the same digest is taken up: ``Ingest.offset`` says how much is there. Hold
                ``exclusive(expected.digest)``. None: the digest is what the bytes give.
            is_read_soon: without, the bytes are on their way to the disk while more are written,
                and don't stay in memory that others could use.
        """
        return Ingest(self, expected, is_read_soon=is_read_soon)

    @contextlib.contextmanager
    def exclusive(
        self, digest: Digest, is_cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[None]:
        """Be the only one who fetches a blob; a second waits here and then finds it.

        Raises:
            Cancelled: while waiting.
        """
        with self._lock:
            writer = self._writers.setdefault(digest, threading.Lock())
        while not writer.acquire(timeout=0.2):
            if is_cancelled():
                raise Cancelled
        try:
            yield
        finally:
            writer.release()

    @contextlib.contextmanager
    def lease(self) -> Iterator[set[Digest]]:
        """Keep every blob written, or found to be here, until the block ends.

        A pull or a build holds a lease until its manifest is in the index. Leases are in memory:
        after a crash nothing is being written, and unreferenced blobs are rubbish.

        Yields:
            What it keeps so far.
        """
        kept: set[Digest] = set()
        with self._lock:
            self._leases.append(kept)
        try:
            yield kept
        finally:
            with self._lock:
                # By identity: two empty leases are equal.
                self._leases = [lease for lease in self._leases if lease is not kept]

    def list_blobs(self) -> Iterator[tuple[Digest, int, float]]:
        """Yield digest, size in bytes and modification time (seconds) of every blob."""
        for algorithm in ("sha256", "sha512"):
            with os.scandir(os.path.join(self.root, "blobs", algorithm)) as entries:
                for entry in entries:
                    try:
                        digest = Digest.parse(f"{algorithm}:{entry.name}")
                        stat = entry.stat(follow_symlinks=False)
                    except (InvalidParameter, FileNotFoundError):
                        continue
                    yield digest, stat.st_size, stat.st_mtime

    def remove(self, digests: Iterable[Digest]) -> int:
        """Delete blobs that no lease keeps, and return the bytes freed.

        The caller has found that no image needs them. An open file stays readable.
        """
        freed = 0
        with self._lock:
            kept = set[Digest]().union(*self._leases)
            for digest in digests:
                if digest in kept:
                    continue
                with contextlib.suppress(FileNotFoundError):
                    path = self.path(digest)
                    size = os.stat(path).st_size
                    os.unlink(path)
                    freed += size
        return freed

    def quarantine(self, digest: Digest) -> str:
        """Move a damaged blob out of the way, so that a pull fetches it anew; return its place."""
        directory = os.path.join(self.root, "quarantine")
        os.makedirs(directory, mode=0o700, exist_ok=True)
        target = os.path.join(directory, f"{digest.algorithm}-{digest.encoded}")
        os.rename(self.path(digest), target)
        return target

    def verify(self, digest: Digest) -> bool:
        """Read a whole blob and say whether it is what its digest says."""
        hasher = hashlib.new(digest.algorithm)
        with self.open(digest) as file:
            while chunk := file.read(_READ_BYTES):
                hasher.update(chunk)
        return hasher.hexdigest() == digest.encoded

    def sweep(self, *, partial_older_than: float | None = None) -> None:
        """Delete what writers that died have left; call before the store is used.

        Args:
            partial_older_than: partial fetches last written before this time (seconds since the
                epoch) are deleted too; None keeps all of them for resuming.
        """
        directory = os.path.join(self.root, "ingest")
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            stale = partial_older_than is not None and os.stat(path).st_mtime < partial_older_than
            if name.startswith("new-") or stale:
                os.unlink(path)

    def partial_size(self, digest: Digest) -> int:
        """Return how many bytes of an interrupted fetch are kept."""
        try:
            return os.stat(self._partial_path(digest)).st_size
        except FileNotFoundError:
            return 0

    def discard_partial(self, digest: Digest) -> None:
        """Delete the kept bytes of an interrupted fetch, if any."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._partial_path(digest))

    def _partial_path(self, digest: Digest) -> str:
        return os.path.join(self.root, "ingest", f"{digest.algorithm}-{digest.encoded}")

    def _keep(self, digest: Digest) -> None:
        for lease in self._leases:
            lease.add(digest)

    def _commit(self, temporary: str, digest: Digest) -> None:
        with self._lock:
            os.rename(temporary, self.path(digest))
            self._keep(digest)
        files.sync_directory(os.path.dirname(self.path(digest)))


class Ingest:
    """One blob being written by one thread.

    Ends by ``commit`` (it is in the store), ``suspend`` (partial bytes kept for the next ingest of
    the digest) or ``abort`` (nothing kept); leaving the ``with`` block otherwise aborts.
    """

    def __init__(
        self, store: ContentStore, expected: Descriptor | None, *, is_read_soon: bool
    ) -> None:
        self._store = store
        self._expected = expected
        self._is_read_soon = is_read_soon
        self._path = _ingest_path(store, expected)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(self._path, flags, 0o600)
        self._hasher = hashlib.new(expected.digest.algorithm if expected else "sha256")
        self.offset = 0
        self._checked_at = -_SPACE_CHECK_BYTES
        self._uncached_at = 0
        self._take_up()

    def __enter__(self) -> "Ingest":
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append bytes.

        Raises:
            VerificationFailed: more bytes than the expected size.
            System: the disk is full, or less than its reserve would be left.
        """
        end = self.offset + len(chunk)
        if self._expected is not None and end > self._expected.size:
            raise VerificationFailed(
                f"blob {self._expected.digest} is longer than the {self._expected.size} bytes "
                "its descriptor says"
            )
        if end - self._checked_at >= _SPACE_CHECK_BYTES:
            check_free_space(self._store.root)
            self._checked_at = end
        self._hasher.update(chunk)
        view = memoryview(chunk)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise _write_failed(self._path, error) from error
        self.offset = end
        if not self._is_read_soon and end - self._uncached_at >= _UNCACHED_BYTES:
            # Starts writing what is dirty, and forgets what is on the disk.
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
            self._uncached_at = end

    def restart(self) -> None:
        """Forget the bytes written so far: the sender starts from the beginning."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._hasher = hashlib.new(self._hasher.name)
        self.offset = 0

    def commit(self) -> tuple[Digest, int]:
        """Verify, make durable, and move into the store.

        Returns:
            Digest and size. When the blob is there already, the new copy replaces it.

        Raises:
            VerificationFailed: too short, or another digest; nothing is kept.
            System: the disk is full.
        """
        try:
            found = self.verify()
            os.fchmod(self._fd, 0o444)
            os.fsync(self._fd)
            self._store._commit(self._path, found)
        except OSError as error:
            self.abort()
            raise _write_failed(self._path, error) from error
        except CutawayError:
            self.abort()
            raise
        self._close()
        return found, self.offset

    def suspend(self) -> None:
        """Stop, and keep the bytes for a later ingest of the same digest."""
        self._close()

    def abort(self) -> None:
        """Stop, and delete the bytes; harmless after an end."""
        if self._fd >= 0:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
            self._close()

    def verify(self) -> Digest:
        """Compare what was written with what was expected, and return its digest.

        Raises:
            VerificationFailed: too short, or another digest.
        """
        found = Digest(f"{self._hasher.name}:{self._hasher.hexdigest()}")
        expected = self._expected
        if expected is None:
            return found
        if self.offset != expected.size:
            raise VerificationFailed(
                f"blob {expected.digest} has {self.offset} bytes, its descriptor says "
                f"{expected.size}"
            )
        if found != expected.digest:
            raise VerificationFailed(
                f"filesystem layer verification failed for digest {expected.digest}: the content "
                f"received has the digest {found}"
            )
        return found

    def _take_up(self) -> None:
        # Bytes kept from an earlier try are hashed again: cheaper than fetching them.
        while chunk := os.read(self._fd, _READ_BYTES):
            self._hasher.update(chunk)
            self.offset += len(chunk)
        if self._expected is not None and self.offset > self._expected.size:
            self.restart()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def check_free_space(path: str) -> None:
    """Refuse to fill the disk's reserve: exits and removals must always be recorded.

    Raises:
        System: in the kernel's words, with what to do.
    """
    stat, floor = os.statvfs(path), free_space_floor(path)
    if stat.f_bavail * stat.f_frsize < floor:
        raise System(
            f"write {path}: no space left on device (less than {floor // (1024 * 1024)} MiB are "
            f"free, which are kept as a reserve); {_FREE_SOME}"
        )


def _ingest_path(store: ContentStore, expected: Descriptor | None) -> str:
    if expected is not None:
        return store._partial_path(expected.digest)
    return os.path.join(store.root, "ingest", f"new-{os.urandom(12).hex()}")


def _write_failed(path: str, error: OSError) -> System:
    if error.errno == errno.ENOSPC:
        return System(f"write {path}: no space left on device; {_FREE_SOME}")
    return System(f"write {path}: {error.strerror}")
