"""``docker pull``: from a reference to an unpacked image with a name.

The order, each step distrusting the one before:

1. find an endpoint that answers (mirrors first) and fetch the manifest: at most 4 MiB, its digest
   compared with everything that claims to know it;
2. of an index, choose the manifest for the platform and fetch that, by digest and size;
3. fetch the image config; as many diff ids as layers, or the image is refused;
4. layers whose snapshot and blob are here "already exist"; the others are fetched three at a
   time, verified while they arrive, and unpacked as soon as each is there, in any order: layers
   don't depend on each other until they are stacked;
5. all layers there: adopt them as snapshots from the lowest up, then give the image its names.

A pull that fails for a lie leaves nothing; one that was cut off leaves what was verified or can
be resumed, for a day.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from cutaway.errors import CutawayError, InvalidParameter, Unavailable
from cutaway.images.cancellation import run_cancellable
from cutaway.images.content import (
    MAX_DOCUMENT_BYTES,
    Cancelled,
    VerificationFailed,
)
from cutaway.images.image import Image
from cutaway.images.layers.errors import Cancelled as UnpackingCancelled
from cutaway.images.progress import Progress, ProgressCallback, ignore_progress
from cutaway.images.registry.credentials import Credentials
from cutaway.images.registry.download import fetch_blob, may_resume
from cutaway.images.registry.refusal import (
    NoMatchingManifest,
    RegistryRefusal,
    translate_pull,
)
from cutaway.images.registry.repository import FetchedManifest, Repository
from cutaway.images.registry.settings import RegistrySettings
from cutaway.images.registry.source import Source
from cutaway.images.registry.transport import Transport
from cutaway.images.store import ImageStore
from cutaway.oci import (
    CONFIG_TYPES,
    LAYER_TYPES,
    Descriptor,
    Digest,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    Reference,
    parse_image_config,
)
from cutaway.oci.hashing import chain_ids

_UNPACKERS = 2


class PlatformMismatch(NoMatchingManifest):
    """The one image of that name is for another platform than asked for."""


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
class PullRequest:
    """What to pull, for whom, and who listens.

    Attributes:
        reference: with a tag or a digest.
        platform: None takes this machine's.
        credentials: None is anonymous.
        settings: registries and time limits.
        progress: called with Docker's JSON objects, from one thread at a time.
        is_cancelled: asked ten times a second, from several threads.
        explain: told each request and decision as a line, for ``pull --explain``.
    """

    reference: Reference
    platform: Platform | None = None
    credentials: Credentials | None = None
    settings: RegistrySettings = field(default_factory=RegistrySettings)
    progress: ProgressCallback = ignore_progress
    is_cancelled: Callable[[], bool] = lambda: False
    explain: Callable[[str], None] | None = None


def pull(store: ImageStore, snapshots: LayerSnapshots, request: PullRequest) -> Image:
    """Pull one image, unpack it, and give it its name.

    Returns:
        The image; ``Status:`` has told whether it is new.

    Raises:
        PullDenied, ManifestNotFound, NoMatchingManifest, PlatformMismatch: NotFound, in Docker's
            words. Unauthorized: wrong credentials.
        VerificationFailed, InvalidParameter, System: the registry lied or is broken.
        TransportFailure, Unavailable: it can't be reached, or kept failing.
        Cancelled: within a second.
    """
    transport = Transport(request.settings, request.explain)
    try:
        return run_cancellable(
            lambda: _Pull(store, snapshots, transport, request).run(),
            is_cancelled=request.is_cancelled,
            stop=transport.close,
            name="pull",
        )
    except RegistryRefusal as refusal:
        raise translate_pull(refusal, request.reference.with_default_tag()) from refusal
    finally:
        transport.close()


def list_remote_tags(request: PullRequest) -> list[str]:
    """Return the tags of a repository, for ``pull --all-tags``.

    Raises:
        PullDenied, ManifestNotFound, TransportFailure, Cancelled: as ``pull``.
    """
    transport = Transport(request.settings, request.explain)

    def work() -> list[str]:
        source = Source(transport, request.reference, request.credentials, request.is_cancelled)
        for repository in source.repositories():
            try:
                return list(repository.list_tags())
            except CutawayError:
                if not repository.endpoint.is_mirror:
                    raise
        return []

    try:
        return run_cancellable(
            work, is_cancelled=request.is_cancelled, stop=transport.close, name="tags"
        )
    except RegistryRefusal as refusal:
        raise translate_pull(refusal, request.reference) from refusal
    finally:
        transport.close()


def machine_platform() -> Platform:
    """Return this machine's platform."""
    return Platform.of_machine(os.uname().machine)


@dataclass(slots=True)
class _Layer:
    """One layer on its way."""

    descriptor: Descriptor
    diff_id: Digest
    chain_id: Digest
    parent: Digest | None
    is_unpacked: bool
    unpacked: Any = None

    @property
    def item(self) -> str:
        return self.descriptor.digest.short


class _Pull:
    """One pull; ``run`` is called once."""

    def __init__(
        self,
        store: ImageStore,
        snapshots: LayerSnapshots,
        transport: Transport,
        request: PullRequest,
    ) -> None:
        self.store = store
        self.snapshots = snapshots
        self.transport = transport
        self.request = request
        self.reference = request.reference.with_default_tag()
        self.progress = Progress(request.progress)
        self.source = Source(transport, self.reference, request.credentials, self._is_stopped)
        self._failed = threading.Event()
        self._lock = threading.Lock()
        self._fetched: list[Digest] = []  # guarded by _lock: blobs this pull brought
        self._wanted: list[Digest] = []
        self._unpacked: list[Any] = []  # guarded by _lock: not adopted yet

    def run(self) -> Image:
        try:
            with self.store.lease() as pin:
                return self._run(pin)
        except CutawayError as error:
            if not may_resume(error):
                self._forget()
            raise

    def _run(self, pin: Callable[[Any], None]) -> Image:
        tag = self.reference.digest or self.reference.tag or ""
        repository, top = self._find_manifest()
        self.progress.title(f"Pulling from {self.reference.path}", tag)
        chosen = self._choose(repository, top)
        manifest = chosen.document
        assert isinstance(manifest, Manifest)  # noqa: S101 - _choose returns nothing else
        config = self._fetch_config(repository, manifest)
        layers = self._layers(manifest, config)
        pin(layer.chain_id for layer in layers)
        old = self.store.find_name(self.reference)
        self._fetch_layers(repository, layers)
        for fetched in {top.descriptor.digest: top, chosen.descriptor.digest: chosen}.values():
            self.store.content.write_document(fetched.data, fetched.descriptor.digest)
        image = self._commit(layers, top.descriptor, chosen.descriptor)
        is_same = old is not None and old.id == image.id
        self.progress.message(f"Digest: {top.descriptor.digest}")
        what = "Image is up to date" if is_same else "Downloaded newer image"
        self.progress.message(f"Status: {what} for {self.reference.familiar}")
        return image

    def _find_manifest(self) -> tuple[Repository, FetchedManifest]:
        wanted = self.reference.digest or self.reference.tag or ""
        for repository in self.source.repositories():
            try:
                return repository, repository.fetch_manifest(wanted)
            except Cancelled:
                raise
            except CutawayError as error:
                if not repository.endpoint.is_mirror:
                    raise
                self.transport.explain(f"mirror {repository.endpoint.url} skipped: {error}")
        raise Unavailable(f"no endpoint serves {self.reference.name}")

    def _choose(self, repository: Repository, top: FetchedManifest) -> FetchedManifest:
        if isinstance(top.document, Manifest):
            return top
        platform = self.request.platform or machine_platform()
        descriptor = top.document.select(platform)
        if descriptor is None:
            raise NoMatchingManifest(
                f"no matching manifest for {platform} in the manifest list entries"
            )
        self.transport.explain(f"chose {descriptor.digest} for {descriptor.platform}")
        if descriptor.size > MAX_DOCUMENT_BYTES:
            raise VerificationFailed(f"manifest {descriptor.digest} is larger than 4 MiB")
        chosen = repository.fetch_manifest(descriptor.digest, descriptor.media_type)
        if chosen.descriptor.size != descriptor.size:
            raise VerificationFailed(
                f"manifest {descriptor.digest} has {chosen.descriptor.size} bytes, its "
                f"descriptor says {descriptor.size}"
            )
        if isinstance(chosen.document, Index):
            raise InvalidParameter(f"manifest {descriptor.digest} is an index in an index")
        return chosen

    def _fetch_config(self, repository: Repository, manifest: Manifest) -> ImageConfig:
        descriptor = manifest.config
        if descriptor.media_type not in CONFIG_TYPES:
            raise InvalidParameter(
                f"{self.reference.familiar} is no container image: its config is of the type "
                f'"{descriptor.media_type}"'
            )
        if descriptor.size > MAX_DOCUMENT_BYTES:
            raise VerificationFailed(f"image config {descriptor.digest} is larger than 4 MiB")
        self._fetch(repository, descriptor, lambda offset: None)
        config = parse_image_config(self.store.content.read(descriptor.digest))
        if len(config.rootfs.diff_ids) != len(manifest.layers):
            raise InvalidParameter(
                f"invalid rootfs in image configuration: {len(manifest.layers)} layers in the "
                f"manifest, {len(config.rootfs.diff_ids)} in the config"
            )
        asked = self.request.platform
        if asked is not None and config.platform not in _comparable(asked):
            raise PlatformMismatch(
                f"image with reference {self.reference.familiar} was found but its platform "
                f"({config.platform}) does not match the specified platform ({asked})"
            )
        return config

    def _layers(self, manifest: Manifest, config: ImageConfig) -> list[_Layer]:
        self._wanted = [manifest.config.digest]
        layers: list[_Layer] = []
        parent = None
        chain = chain_ids(config.rootfs.diff_ids)
        for descriptor, diff_id, chain_id in zip(
            manifest.layers, config.rootfs.diff_ids, chain, strict=True
        ):
            if descriptor.media_type not in LAYER_TYPES:
                raise InvalidParameter(
                    f'layer {descriptor.digest}: unsupported media type "{descriptor.media_type}"'
                )
            is_unpacked = chain_id in self.snapshots
            layers.append(_Layer(descriptor, diff_id, chain_id, parent, is_unpacked))
            self._wanted.append(descriptor.digest)
            parent = chain_id
        return layers

    def _fetch_layers(self, repository: Repository, layers: list[_Layer]) -> None:
        missing = []
        for layer in layers:
            is_here = self._is_sound(layer.descriptor)
            if layer.is_unpacked and is_here:
                self.progress.message("Already exists", layer.item)
            else:
                self.progress.message("Pulling fs layer", layer.item)
                missing.append(layer)
        if not missing:
            return
        unpackings: list[Future[None]] = []
        with (
            ThreadPoolExecutor(_UNPACKERS, "unpack") as unpackers,
            ThreadPoolExecutor(self.request.settings.max_downloads, "fetch") as fetchers,
        ):

            def bring(layer: _Layer) -> None:
                self._fetch_layer(repository, layer)
                unpackings.append(unpackers.submit(self._guard, self._unpack, repository, layer))

            fetches = [fetchers.submit(self._guard, bring, layer) for layer in missing]
            errors = [f.exception() for f in fetches]
        errors += [f.exception() for f in unpackings]
        self._raise_first(errors)

    def _guard(self, work: Callable[..., None], *arguments: Any) -> None:
        # The first failure stops the other threads at once.
        try:
            if self._is_stopped():
                raise Cancelled
            work(*arguments)
        except BaseException:
            self._failed.set()
            self.transport.close()
            raise

    def _raise_first(self, errors: list[BaseException | None]) -> None:
        found = [error for error in errors if error is not None]
        if not found:
            return
        with self._lock:
            for unpacked in self._unpacked:
                self.snapshots.discard(unpacked)
        # Those that only stopped because another failed explain nothing.
        causes = [e for e in found if not isinstance(e, Cancelled)]
        raise (causes or found)[0]

    def _fetch_layer(self, repository: Repository, layer: _Layer) -> None:
        total = layer.descriptor.size

        def report(offset: int) -> None:
            self.progress.count("Downloading", layer.item, offset, total)

        self._fetch(repository, layer.descriptor, report)
        self.progress.message("Verifying Checksum", layer.item)
        self.progress.message("Download complete", layer.item)

    def _unpack(self, repository: Repository, layer: _Layer) -> None:
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
        self.progress.message("Pull complete", layer.item)

    def _unpack_blob(self, layer: _Layer) -> Any:
        total = layer.descriptor.size

        def report(offset: int) -> None:
            self.progress.count("Extracting", layer.item, offset, total)

        fd = self.store.content.open_fd(layer.descriptor.digest)
        try:
            unpacked = self.snapshots.unpack(
                fd, diff_id=layer.diff_id, progress=report, is_cancelled=self._is_stopped
            )
        except UnpackingCancelled:
            raise Cancelled from None
        finally:
            os.close(fd)
        report(total)
        return unpacked

    def _heal(self, repository: Repository, layer: _Layer) -> None:
        content = self.store.content
        if content.verify(layer.descriptor.digest):
            layer.unpacked = self._unpack_blob(layer)  # sound: the second failure is the answer
            return
        content.quarantine(layer.descriptor.digest)
        self._fetch_layer(repository, layer)
        layer.unpacked = self._unpack_blob(layer)

    def _fetch(
        self, repository: Repository, descriptor: Descriptor, report: Callable[[int], None]
    ) -> None:
        self._is_sound(descriptor)
        if not repository.endpoint.is_mirror:
            self._fetch_from(repository, descriptor, report)
            return
        for candidate in self.source.repositories():
            try:
                self._fetch_from(candidate, descriptor, report)
                return
            except Cancelled:
                raise
            except CutawayError as error:
                if not candidate.endpoint.is_mirror:
                    raise
                self.transport.explain(f"mirror {candidate.endpoint.url}: {error}")

    def _fetch_from(
        self, repository: Repository, descriptor: Descriptor, report: Callable[[int], None]
    ) -> None:
        content = self.store.content
        if fetch_blob(repository, content, descriptor, report, self._is_stopped):
            with self._lock:
                self._fetched.append(descriptor.digest)

    def _is_sound(self, descriptor: Descriptor) -> bool:
        """Say whether a blob is here with the right length; set a damaged one aside."""
        content = self.store.content
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

    def _commit(self, layers: list[_Layer], top: Descriptor, chosen: Descriptor) -> Image:
        adopted = [(x.unpacked, x.chain_id, x.parent) for x in layers if x.unpacked is not None]
        names = (self.reference,) if self.reference.digest is None else ()
        with self.store.committing():
            self.snapshots.adopt(adopted)
            return self.store.register(
                chosen, names, (self.reference.with_digest(top.digest),), by="pull"
            )

    def _is_stopped(self) -> bool:
        return self._failed.is_set() or self.request.is_cancelled()

    def _forget(self) -> None:
        """After a lie or a final no: nothing that this pull brought stays on the disk."""
        for digest in self._wanted:
            self.store.content.discard_partial(digest)
        self.store.discard_unneeded(self._fetched)


def _comparable(platform: Platform) -> tuple[Platform, ...]:
    return platform.runnable()
