"""The blobs and layers of one pull on their way: fetched, verified, unpacked, several at once.

Blobs come from the mirror or registry that gave the manifest, or from the next one if it fails.
Each layer is unpacked as soon as its blob is verified, in any order. The first failure stops the
others; what is unpacked is thrown away unless it is adopted.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from cutaway.errors import CutawayError, InvalidParameter
from cutaway.images.cancellation import Cancelled
from cutaway.images.content import VerificationFailed
from cutaway.images.progress import Progress
from cutaway.images.registry.download import fetch_blob
from cutaway.images.registry.repository import Repository
from cutaway.images.registry.source import Source
from cutaway.images.store import ImageStore
from cutaway.oci import CONFIG_TYPES, Descriptor, Digest

_UNPACKERS = 2


class LayerSnapshots(Protocol):
    """What a pull needs of ``images.snapshots``."""

    def __contains__(self, name: object) -> bool:
        """Say whether this chain id is unpacked."""

    def unpack(
        self,
        blob_fd: int,
        *,
        diff_id: str | None,
        progress: Callable[[int], None] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> Any:
        """Unpack a layer into a private directory and verify its diff id."""

    def adopt(self, layers: Sequence[tuple[Any, str, str | None]]) -> None:
        """Make unpacked layers snapshots, lowest first."""

    def discard(self, unpacked: Any) -> None:
        """Throw an unpacked layer away."""


@dataclass(slots=True)
class Layer:
    """One layer on its way.

    Attributes:
        descriptor: of its blob.
        diff_id: that it must have unpacked.
        chain_id: the snapshot it becomes.
        parent: the snapshot below, or None.
        is_unpacked: the snapshot was there before.
        unpacked: what the snapshots' ``unpack`` returned.
    """

    descriptor: Descriptor
    diff_id: Digest
    chain_id: Digest
    parent: Digest | None
    is_unpacked: bool
    unpacked: Any = None

    @property
    def item(self) -> str:
        """Its short id in progress events."""
        return self.descriptor.digest.short


class Transfer:
    """Brings the parts of one image; used by one pull.

    Attributes:
        failed: set by the first failure.
    """

    def __init__(
        self,
        store: ImageStore,
        snapshots: LayerSnapshots,
        source: Source,
        *,
        progress: Progress,
        is_cancelled: Callable[[], bool],
    ) -> None:
        self.failed = threading.Event()
        self._content = store.content
        self._store = store
        self._snapshots = snapshots
        self._source = source
        self._transport = source.transport
        self._progress = progress
        self._is_cancelled = is_cancelled
        self._lock = threading.Lock()
        self._wanted: list[Digest] = []  # guarded by _lock: blobs this pull asked for
        self._fetched: list[Digest] = []  # guarded by _lock: of these, the ones it brought
        self._unpacked: list[Any] = []  # guarded by _lock: not adopted yet

    def is_stopped(self) -> bool:
        """Say whether the pull was cancelled or a part of it failed."""
        return self.failed.is_set() or self._is_cancelled()

    def fetch_document(self, repository: Repository, descriptor: Descriptor) -> None:
        """Bring the image config."""
        self._want(descriptor)
        self._is_sound(descriptor)
        self._fetch(repository, descriptor, lambda offset: None)

    def fetch_packed(self, repository: Repository, blobs: Sequence[Descriptor]) -> None:
        """Bring blobs that stay as they are: layers of an image for another platform.

        Raises:
            CutawayError: as ``fetch_layers``.
        """
        # Told as a layer that is unpacked already, nothing but its blob is brought.
        layers = [Layer(b, b.digest, b.digest, None, is_unpacked=True) for b in blobs]
        self.fetch_layers(repository, layers)

    def fetch_layers(self, repository: Repository, layers: Sequence[Layer]) -> None:
        """Bring and unpack all layers that aren't here; ``adopt`` makes them snapshots.

        Raises:
            CutawayError: the first failure that is no consequence of another.
        """
        missing = []
        for layer in layers:
            self._want(layer.descriptor)
            is_here = self._is_sound(layer.descriptor)
            if layer.is_unpacked and is_here:
                self._progress.message("Already exists", layer.item)
            else:
                self._progress.message("Pulling fs layer", layer.item)
                missing.append(layer)
        if not missing:
            return
        unpackings: list[Future[None]] = []
        with (
            ThreadPoolExecutor(_UNPACKERS, "unpack") as unpackers,
            ThreadPoolExecutor(self._transport.settings.max_downloads, "fetch") as fetchers,
        ):

            def bring(layer: Layer) -> None:
                self._fetch_layer(repository, layer)
                unpackings.append(unpackers.submit(self._guard, self._unpack, repository, layer))

            fetches = [fetchers.submit(self._guard, bring, layer) for layer in missing]
            errors = [f.exception() for f in fetches]
        errors += [f.exception() for f in unpackings]
        self._raise_first(errors)

    def _guard(self, work: Callable[..., None], *arguments: Any) -> None:
        # The first failure stops the other threads at once.
        try:
            if self.is_stopped():
                raise Cancelled
            work(*arguments)
        except BaseException:
            self.failed.set()
            self._transport.close()
            raise

    def _raise_first(self, errors: list[BaseException | None]) -> None:
        found = [error for error in errors if error is not None]
        if not found:
            return
        # Those that only stopped because another failed explain nothing.
        causes = [e for e in found if not isinstance(e, Cancelled)]
        raise (causes or found)[0]

    def _fetch_layer(self, repository: Repository, layer: Layer) -> None:
        total = layer.descriptor.size

        def report(offset: int) -> None:
            self._progress.count("Downloading", layer.item, offset, total)

        self._fetch(repository, layer.descriptor, report)
        self._progress.message("Verifying Checksum", layer.item)
        self._progress.message("Download complete", layer.item)

    def _unpack(self, repository: Repository, layer: Layer) -> None:
        if not layer.is_unpacked:
            try:
                layer.unpacked = self._unpack_blob(layer)
            except InvalidParameter:
                if layer.descriptor.digest in self._fetched:
                    raise
                # The blob was here before this pull and may have been damaged since: heal it.
                self._heal(repository, layer)
            with self._lock:
                self._unpacked.append(layer.unpacked)
        self._progress.message("Pull complete", layer.item)

    def _unpack_blob(self, layer: Layer) -> Any:
        total = layer.descriptor.size

        def report(offset: int) -> None:
            self._progress.count("Extracting", layer.item, offset, total)

        fd = self._content.open_fd(layer.descriptor.digest)
        try:
            unpacked = self._snapshots.unpack(
                fd, diff_id=layer.diff_id, progress=report, is_cancelled=self.is_stopped
            )
        finally:
            os.close(fd)
        report(total)
        return unpacked

    def _heal(self, repository: Repository, layer: Layer) -> None:
        content = self._content
        if content.verify(layer.descriptor.digest):
            layer.unpacked = self._unpack_blob(layer)  # sound: the second failure is the answer
            return
        content.quarantine(layer.descriptor.digest)
        self._fetch_layer(repository, layer)
        layer.unpacked = self._unpack_blob(layer)

    def _fetch(
        self, repository: Repository, descriptor: Descriptor, report: Callable[[int], None]
    ) -> None:
        if not repository.endpoint.is_mirror:
            self._fetch_from(repository, descriptor, report)
            return
        for candidate in self._source.repositories():
            try:
                self._fetch_from(candidate, descriptor, report)
                return
            except Cancelled:
                raise
            except CutawayError as error:
                if not candidate.endpoint.is_mirror:
                    raise
                self._transport.explain(f"mirror {candidate.endpoint.url}: {error}")

    def _want(self, descriptor: Descriptor) -> None:
        with self._lock:
            self._wanted.append(descriptor.digest)

    def _fetch_from(
        self, repository: Repository, descriptor: Descriptor, report: Callable[[int], None]
    ) -> None:
        content = self._content
        if fetch_blob(
            repository, content, descriptor, on_bytes=report, is_cancelled=self.is_stopped
        ):
            with self._lock:
                self._fetched.append(descriptor.digest)

    def _is_sound(self, descriptor: Descriptor) -> bool:
        """Say whether a blob is here with the right length; set a damaged one aside."""
        content = self._content
        if descriptor.digest not in content:
            return False
        if content.size(descriptor.digest) == descriptor.size:
            is_document = descriptor.media_type in CONFIG_TYPES
            if not is_document or content.verify(descriptor.digest):
                return True
        if content.verify(descriptor.digest):
            raise VerificationFailed(
                f"blob {descriptor.digest} has {content.size(descriptor.digest)} bytes, its "
                f"descriptor says {descriptor.size}"
            )
        content.quarantine(descriptor.digest)
        return False

    def adopt(self, layers: Sequence[Layer]) -> None:
        """Make what was unpacked snapshots, lowest first."""
        unpacked = [
            (x.unpacked, str(x.chain_id), str(x.parent) if x.parent else None)
            for x in layers
            if x.unpacked is not None
        ]
        self._snapshots.adopt(unpacked)
        with self._lock:
            self._unpacked.clear()

    def clean_up(self) -> None:
        """Throw away what was unpacked and not adopted."""
        with self._lock:
            left, self._unpacked = self._unpacked, []
        for unpacked in left:
            self._snapshots.discard(unpacked)

    def forget(self) -> None:
        """After a lie or a final no: nothing that this pull brought stays on the disk."""
        for digest in self._wanted:
            self._content.discard_partial(digest)
        self._store.discard_unneeded(self._fetched)
