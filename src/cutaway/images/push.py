"""``docker push``: the layers a registry lacks, the config, then the manifest under its tag.

A manifest is sent as it is stored, so that an image pulled from one registry and pushed to another
keeps its digest; for a name that stands for a whole index, every member is sent, then the index.
Only an image with uncompressed layers (built here, or of an old ``docker save``) is compressed on
the way, which makes another manifest; isal writes the same bytes each time, so the second push
finds its layers there.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from cutaway.errors import InvalidParameter, NotFound
from cutaway.images.cancellation import Cancelled, run_cancellable
from cutaway.images.image import Image, ImageDamaged
from cutaway.images.layer_blob import compress_layer
from cutaway.images.progress import Progress, ProgressCallback, ignore_progress
from cutaway.images.registry.credentials import Credentials
from cutaway.images.registry.referrers import push_manifest
from cutaway.images.registry.refusal import translate_push
from cutaway.images.registry.repository import Repository
from cutaway.images.registry.settings import RegistrySettings
from cutaway.images.registry.source import connect, open_transport
from cutaway.images.registry.transport import Transport
from cutaway.images.registry.upload import BlobUpload, Outcome
from cutaway.images.store import ImageStore
from cutaway.images.variants import find_variant
from cutaway.images.whole_index import read_index, read_members
from cutaway.oci import (
    FOREIGN_LAYER_TYPES,
    Descriptor,
    Digest,
    Manifest,
    Reference,
    encode_document,
)

_MAX_MOUNT_CANDIDATES = 3


@dataclass(slots=True)
class PushRequest:
    """What to push, for whom, and who listens.

    Attributes:
        reference: its tag, ``latest`` if it has none.
        platform: of a name that stands for a whole index, send this image only.
        all_tags: push every tag of the repository that this machine has.
        credentials: None is anonymous.
        settings: registries and time limits.
        progress: called with Docker's JSON objects, from one thread at a time.
        is_cancelled: asked ten times a second, from several threads.
        explain: told each request and decision as a line.
        chunk_bytes: send blobs in pieces of this size; 0 decides by size.
    """

    reference: Reference
    platform: str = ""
    all_tags: bool = False
    credentials: Credentials | None = None
    settings: RegistrySettings = field(default_factory=RegistrySettings)
    progress: ProgressCallback = ignore_progress
    is_cancelled: Callable[[], bool] = lambda: False
    explain: Callable[[str], None] | None = None
    chunk_bytes: int = 0


def push(store: ImageStore, request: PushRequest) -> dict[str, Digest]:
    """Push one image, or every tag of a repository; what is not here is an error at once.

    Returns:
        The manifest's digest by tag.

    Raises:
        NotFound: there is no such tag here.
        InvalidParameter: a digest was asked to be pushed.
        Unauthorized, Forbidden: the registry's words.
        TransportFailure, Unavailable: it can't be reached, or kept failing.
        Cancelled: within a second.
    """
    opened = open_transport(request.settings, request.explain, translate=translate_push)
    with opened as transport:
        return run_cancellable(
            _Push(store, transport, request).run,
            is_cancelled=request.is_cancelled,
            stop=transport.close,
            name="push",
        )


def _select(store: ImageStore, request: PushRequest) -> dict[Reference, Image]:
    """Return the images to push by their tags."""
    wanted = request.reference
    if wanted.digest is not None:
        raise InvalidParameter("cannot push a digest reference")
    local = {n: image for image in store.list() for n in image.names if n.name == wanted.name}
    if not local:
        raise NotFound(f"An image does not exist locally with the tag: {wanted.familiar_name}")
    tags = sorted(local, key=str) if request.all_tags else [wanted.with_default_tag()]
    chosen: dict[Reference, Image] = {}
    for tag in tags:
        image = local.get(tag)
        if image is None:
            raise NotFound(f"tag does not exist: {tag.familiar}")
        if image.damage:
            raise ImageDamaged(image.id, image.damage)
        chosen[tag] = find_variant(store, image, tag.familiar, request.platform)
    return chosen


class _Push:
    """One push to one repository."""

    def __init__(self, store: ImageStore, transport: Transport, request: PushRequest) -> None:
        self.store = store
        self.transport = transport
        self.request = request
        self.progress = Progress(request.progress)
        self._failed = threading.Event()
        self._made: list[Digest] = []  # compressed for this push only

    def run(self) -> dict[str, Digest]:
        name = self.request.reference
        try:
            with self.store.lease():
                images = _select(self.store, self.request)
                self.progress.message(f"The push refers to repository [{name.name}]")
                repository = connect(
                    self.transport,
                    self.request.credentials,
                    name,
                    "pull,push",
                    is_cancelled=self._is_stopped,
                )
                return {
                    tag.tag or "": self._push_one(repository, tag, image)
                    for tag, image in images.items()
                }
        finally:
            self.store.discard_unneeded(self._made)

    def _push_one(self, repository: Repository, reference: Reference, image: Image) -> Digest:
        candidates = self._mount_candidates(reference)
        repository.may_mount_from(tuple({p: None for paths in candidates.values() for p in paths}))
        index = self.store.index_of(reference)
        if index is not None and not self.request.platform:
            data, media_type = self._push_index(repository, index, candidates), index.media_type
        else:
            data, media_type = self._push_image(repository, image, candidates)
        self._check_not_stopped()
        tag = reference.tag or ""
        push_manifest(repository, tag, data, media_type)
        digest = self.store.content.write_blob(data)
        self.store.register(image.manifest, (), (reference.with_digest(digest),), by="push")
        self.progress.message(f"{tag}: digest: {digest} size: {len(data)}")
        self.progress.auxiliary({"Tag": tag, "Digest": str(digest), "Size": len(data)})
        return digest

    def _push_index(
        self, repository: Repository, index: Descriptor, candidates: dict[Digest, tuple[str, ...]]
    ) -> bytes:
        """Send every member of a whole index as it is; return the index."""
        content = self.store.content
        for descriptor, manifest in read_members(content, read_index(content, index.digest)):
            layers = {layer.digest: (layer, layer.digest.short) for layer in manifest.layers}
            self._push_parts(repository, manifest, layers, candidates, as_is=True)
            data = content.read(descriptor.digest)
            push_manifest(repository, descriptor.digest, data, descriptor.media_type)
        return content.read(index.digest)

    def _push_image(
        self, repository: Repository, image: Image, candidates: dict[Digest, tuple[str, ...]]
    ) -> tuple[bytes, str]:
        manifest = self.store.read_manifest(image)
        diff_ids = image.config.rootfs.diff_ids
        # The same layer may occur twice; it is sent once.
        layers = {
            layer.digest: (layer, diff_id.short)
            for layer, diff_id in zip(manifest.layers, diff_ids, strict=True)
        }
        sent = self._push_parts(repository, manifest, layers, candidates)
        return self._manifest(image, manifest, sent)

    def _push_parts(
        self,
        repository: Repository,
        manifest: Manifest,
        layers: dict[Digest, tuple[Descriptor, str]],
        candidates: dict[Digest, tuple[str, ...]],
        *,
        as_is: bool = False,
    ) -> dict[Digest, Descriptor]:
        for _, item in reversed(layers.values()):
            self.progress.message("Preparing", item)
        sent = self._push_layers(repository, layers, candidates, as_is=as_is)
        self._upload(repository, manifest.config, lambda offset: None).run(
            candidates.get(manifest.config.digest, ())
        )
        return sent

    def _push_layers(
        self,
        repository: Repository,
        layers: dict[Digest, tuple[Descriptor, str]],
        candidates: dict[Digest, tuple[str, ...]],
        *,
        as_is: bool,
    ) -> dict[Digest, Descriptor]:
        def send(layer: Descriptor, item: str) -> Descriptor:
            try:
                return self._push_layer(repository, layer, item, candidates, as_is=as_is)
            except BaseException:
                self._failed.set()
                self.transport.close()
                raise

        with ThreadPoolExecutor(self.request.settings.max_uploads, "push") as pool:
            order = reversed(layers.items())
            futures = {digest: pool.submit(send, *layer) for digest, layer in order}
        errors = [e for f in futures.values() if (e := f.exception()) is not None]
        causes = [e for e in errors if not isinstance(e, Cancelled)]
        if errors:
            raise (causes or errors)[0]
        return {digest: future.result() for digest, future in futures.items()}

    def _push_layer(
        self,
        repository: Repository,
        layer: Descriptor,
        item: str,
        candidates: dict[Digest, tuple[str, ...]],
        *,
        as_is: bool,
    ) -> Descriptor:
        self._check_not_stopped()
        if layer.media_type in FOREIGN_LAYER_TYPES and layer.digest not in self.store.content:
            self.progress.message("Skipped foreign layer", item)
            return layer
        sent = layer if as_is else self._compressed(layer)

        def report(offset: int) -> None:
            self.progress.count("Pushing", item, offset, sent.size)

        upload = self._upload(repository, sent, report).run(candidates.get(sent.digest, ()))
        if upload.outcome is Outcome.EXISTED:
            self.progress.message("Layer already exists", item)
        elif upload.outcome is Outcome.MOUNTED:
            self.progress.message(f"Mounted from {upload.mounted_from}", item)
        else:
            self.progress.message("Pushed", item)
        return sent

    def _upload(
        self, repository: Repository, descriptor: Descriptor, report: Callable[[int], None]
    ) -> BlobUpload:
        return BlobUpload(
            repository,
            self.store.content,
            descriptor,
            on_bytes=report,
            is_cancelled=self._is_stopped,
            chunk_bytes=self.request.chunk_bytes,
        )

    def _mount_candidates(self, reference: Reference) -> dict[Digest, tuple[str, ...]]:
        """Return, for each blob, other repositories of the registry that should have it."""
        found: dict[Digest, list[str]] = {}
        for image in self.store.list():
            paths = {
                known.path: None
                for known in image.repo_digests
                if known.domain == reference.domain and known.path != reference.path
            }
            if not paths or image.damage:
                continue
            for digest in (image.id, *(layer.digest for layer in image.layers)):
                found.setdefault(digest, []).extend(paths)
        return {d: tuple(dict.fromkeys(p))[:_MAX_MOUNT_CANDIDATES] for d, p in found.items()}

    def _manifest(
        self, image: Image, manifest: Manifest, sent: dict[Digest, Descriptor]
    ) -> tuple[bytes, str]:
        if all(digest == as_sent.digest for digest, as_sent in sent.items()):
            return self.store.content.read(image.manifest.digest), image.manifest.media_type
        compressed = replace(
            manifest, layers=tuple(sent[layer.digest] for layer in manifest.layers)
        )
        return encode_document(compressed.to_json()), image.manifest.media_type

    def _compressed(self, layer: Descriptor) -> Descriptor:
        sent = compress_layer(self.store.content, layer, check=self._check_not_stopped)
        if sent != layer:
            self._made.append(sent.digest)
        return sent

    def _check_not_stopped(self) -> None:
        if self._is_stopped():
            raise Cancelled

    def _is_stopped(self) -> bool:
        return self._failed.is_set() or self.request.is_cancelled()
