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

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cutaway.errors import CutawayError, InvalidParameter, Unavailable
from cutaway.images.assemble import this_platform
from cutaway.images.cancellation import Cancelled, run_cancellable
from cutaway.images.content import (
    MAX_DOCUMENT_BYTES,
    VerificationFailed,
)
from cutaway.images.image import Image
from cutaway.images.progress import Progress, ProgressCallback, ignore_progress
from cutaway.images.registry.credentials import Credentials
from cutaway.images.registry.download import may_resume
from cutaway.images.registry.refusal import (
    NoMatchingManifest,
    translate_pull,
)
from cutaway.images.registry.repository import FetchedManifest, Repository
from cutaway.images.registry.settings import RegistrySettings
from cutaway.images.registry.source import Source, open_transport
from cutaway.images.registry.transport import Transport
from cutaway.images.store import ImageStore
from cutaway.images.transfer import Layer, LayerSnapshots, Transfer
from cutaway.oci import (
    CONFIG_TYPES,
    LAYER_TYPES,
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    Reference,
    parse_image_config,
)
from cutaway.oci.hashing import chain_ids


class PlatformMismatch(NoMatchingManifest):
    """The one image of that name is for another platform than asked for."""


@dataclass(slots=True)
class PullRequest:
    """What to pull, for whom, and who listens.

    Attributes:
        reference: with a tag or a digest.
        platform: None takes this machine's.
        all_platforms: of an index, keep the images of every platform.
        credentials: None is anonymous.
        settings: registries and time limits.
        progress: called with Docker's JSON objects, from one thread at a time.
        is_cancelled: asked ten times a second, from several threads.
        explain: told each request and decision as a line, for ``pull --explain``.
    """

    reference: Reference
    platform: Platform | None = None
    all_platforms: bool = False
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
    reference = request.reference.with_default_tag()
    with _opened(request, reference) as transport:
        return run_cancellable(
            lambda: _Pull(store, snapshots, transport, request).run(),
            is_cancelled=request.is_cancelled,
            stop=transport.close,
            name="pull",
        )


def list_remote_tags(request: PullRequest) -> list[str]:
    """Return the tags of a repository, for ``pull --all-tags``.

    Raises:
        PullDenied, ManifestNotFound, TransportFailure, Cancelled: as ``pull``.
    """

    def list_tags(transport: Transport) -> list[str]:
        source = Source(transport, request.reference, request.credentials, request.is_cancelled)
        for repository in source.repositories():
            try:
                return list(repository.list_tags())
            except CutawayError:
                if not repository.endpoint.is_mirror:
                    raise
        return []

    with _opened(request, request.reference) as transport:
        return run_cancellable(
            lambda: list_tags(transport),
            is_cancelled=request.is_cancelled,
            stop=transport.close,
            name="tags",
        )


def _opened(request: PullRequest, reference: Reference) -> AbstractContextManager[Transport]:
    return open_transport(
        request.settings,
        request.explain,
        translate=partial(translate_pull, reference=reference),
    )


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
        self.source = Source(transport, self.reference, request.credentials, request.is_cancelled)
        self.transfer = Transfer(
            store,
            snapshots,
            self.source,
            progress=self.progress,
            is_cancelled=request.is_cancelled,
        )

    def run(self) -> Image:
        try:
            with self.store.lease() as pin:
                return self._run(pin)
        except CutawayError as error:
            if not may_resume(error):
                self.transfer.forget()
            raise
        finally:
            self.transfer.clean_up()

    def _run(self, pin: Callable[[Any], None]) -> Image:
        tag = self.reference.digest or self.reference.tag or ""
        repository, top = self._find_manifest()
        self.progress.title(f"Pulling from {self.reference.path}", tag)
        chosen, manifest = self._choose(repository, top)
        config = self._fetch_config(repository, manifest)
        pin(chain_ids(config.rootfs.diff_ids))
        layers = self._layers(manifest, config)
        old = self.store.find_name(self.reference)
        self.transfer.fetch_layers(repository, layers)
        is_whole = self.request.all_platforms and isinstance(top.document, Index)
        if isinstance(top.document, Index) and is_whole:
            self._fetch_others(repository, top.document, chosen.descriptor)
        for fetched in {top.descriptor.digest: top, chosen.descriptor.digest: chosen}.values():
            self.store.content.write_document(fetched.data, fetched.descriptor.digest)
        image = self._commit(layers, top.descriptor, chosen.descriptor, is_whole=is_whole)
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

    def _choose(
        self, repository: Repository, top: FetchedManifest
    ) -> tuple[FetchedManifest, Manifest]:
        if isinstance(top.document, Manifest):
            return top, top.document
        platform = self.request.platform or this_platform()
        descriptor = top.document.select(platform)
        if descriptor is None and self.request.all_platforms:
            descriptor = next(iter(top.document.manifests), None)
        if descriptor is None:
            raise NoMatchingManifest(
                f"no matching manifest for {platform} in the manifest list entries"
            )
        self.transport.explain(f"chose {descriptor.digest} for {descriptor.platform}")
        return self._fetch_member(repository, descriptor)

    def _fetch_member(
        self, repository: Repository, descriptor: Descriptor
    ) -> tuple[FetchedManifest, Manifest]:
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
        return chosen, chosen.document

    def _fetch_others(self, repository: Repository, index: Index, chosen: Descriptor) -> None:
        """Bring the blobs of an index's other members; they stay packed."""
        for descriptor in index.manifests:
            if descriptor.digest == chosen.digest:
                continue
            self.transport.explain(f"keeping {descriptor.digest} for {descriptor.platform}")
            fetched, manifest = self._fetch_member(repository, descriptor)
            self.transfer.fetch_document(repository, manifest.config)
            self.transfer.fetch_packed(repository, manifest.layers)
            self.store.content.write_document(fetched.data, fetched.descriptor.digest)

    def _fetch_config(self, repository: Repository, manifest: Manifest) -> ImageConfig:
        descriptor = manifest.config
        if descriptor.media_type not in CONFIG_TYPES:
            raise InvalidParameter(
                f"{self.reference.familiar} is no container image: its config is of the type "
                f'"{descriptor.media_type}"'
            )
        if descriptor.size > MAX_DOCUMENT_BYTES:
            raise VerificationFailed(f"image config {descriptor.digest} is larger than 4 MiB")
        self.transfer.fetch_document(repository, descriptor)
        config = parse_image_config(self.store.content.read(descriptor.digest))
        if len(config.rootfs.diff_ids) != len(manifest.layers):
            raise InvalidParameter(
                f"invalid rootfs in image configuration: {len(manifest.layers)} layers in the "
                f"manifest, {len(config.rootfs.diff_ids)} in the config"
            )
        asked = self.request.platform
        if asked is not None and config.platform not in asked.runnable():
            raise PlatformMismatch(
                f"image with reference {self.reference.familiar} was found but its platform "
                f"({config.platform}) does not match the specified platform ({asked})"
            )
        return config

    def _layers(self, manifest: Manifest, config: ImageConfig) -> list[Layer]:
        layers: list[Layer] = []
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
            layers.append(Layer(descriptor, diff_id, chain_id, parent, is_unpacked))
            parent = chain_id
        return layers

    def _commit(
        self, layers: list[Layer], top: Descriptor, chosen: Descriptor, *, is_whole: bool
    ) -> Image:
        names = (self.reference,) if self.reference.digest is None else ()
        with self.store.committing():
            self.transfer.adopt(layers)
            return self.store.register(
                chosen,
                names,
                (self.reference.with_digest(top.digest),),
                index=top if is_whole else None,
                by="pull",
            )
