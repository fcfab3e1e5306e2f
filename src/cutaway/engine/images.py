"""The image use cases: names, transport, history. Fits ``api``'s ``ImageBackend``."""

import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from cutaway.engine.core import Core
from cutaway.engine.distribution import inspect_remote
from cutaway.engine.image_views import (
    created_ns,
    describe_history,
    describe_image,
    inspect_image,
    select_images,
)
from cutaway.engine.threads import Inflow, Outflow, flow_out
from cutaway.engine.units import parse_time_ns
from cutaway.errors import CutawayError, NotFound
from cutaway.errors import NotImplemented as Unsupported
from cutaway.images.archives.import_tar import import_tar
from cutaway.images.archives.load import load_images
from cutaway.images.archives.save import save_images
from cutaway.images.host.image import build_host_image
from cutaway.images.image import Image
from cutaway.images.pull import PullRequest, list_remote_tags, pull
from cutaway.images.push import PushRequest, push
from cutaway.images.registry.credentials import Credentials, credentials_from_json
from cutaway.images.registry.settings import RegistrySettings
from cutaway.images.removal import ImageUser, Removed
from cutaway.model import (
    AttestationStatement,
    AuthConfig,
    ByteStream,
    DistributionInspect,
    Filters,
    ImageDeleteItem,
    ImageHistoryItem,
    ImageInspect,
    ImageListOptions,
    ImagePruneReport,
    ImageSearchResult,
    ImageSummary,
    ImportOptions,
    ProgressMessage,
    PullOptions,
    PushOptions,
)
from cutaway.oci import Digest, Platform, Reference

log = logging.getLogger(__name__)
HOST_IMAGE = "host"
Progress = AsyncIterator[ProgressMessage]


class ImageService:
    """The image operations of one engine."""

    def __init__(self, core: Core, registry: RegistrySettings) -> None:
        self._core = core
        self._registry = registry

    # Looking

    async def list(self, options: ImageListOptions) -> Sequence[ImageSummary]:
        """List images, newest first."""
        users = self._users()
        chosen = select_images(self._core.images, options, users)
        return await self._core.in_thread(
            lambda: [describe_image(self._core.images, image, options, users) for image in chosen]
        )

    async def inspect(
        self, reference: str, *, platform: str = "", manifests: bool = False
    ) -> ImageInspect:
        """Tell all about one."""
        image = self._core.images.find(reference)
        _check_platform(image, reference, platform)
        return await self._core.in_thread(
            inspect_image, self._core.images, self._core.snapshots, image, manifests=manifests
        )

    async def history(self, reference: str, *, platform: str = "") -> Sequence[ImageHistoryItem]:
        """List the steps that made it, newest first."""
        image = self._core.images.resolve(reference)
        _check_platform(image, reference, platform)
        return await self._core.in_thread(describe_history, self._core.images, image)

    def _users(self) -> tuple[ImageUser, ...]:
        return tuple(
            ImageUser(c.id, Digest(c.document.image_id), is_running=c.is_alive)
            for c in self._core.containers
        )

    # Naming and removing

    async def tag(self, reference: str, *, repo: str, tag: str) -> None:
        """Give it one more name."""
        name = Reference.parse(f"{repo}:{tag}" if tag else repo).with_default_tag()
        image = self._core.images.resolve(reference)
        await self._core.in_thread(self._core.images.tag, image.id, name)
        self._tell("tag", str(image.id), name.familiar)

    def _tell(self, action: str, identifier: str, name: str) -> None:
        attributes = {"name": name}
        try:
            labels = self._core.images.find(identifier).config.config.labels
            attributes = {**labels, **attributes}
        except CutawayError:
            log.debug("event %s of the image %s, which is gone", action, identifier)
        self._core.bus.publish("image", action, identifier, attributes)

    async def remove(
        self,
        reference: str,
        *,
        force: bool,
        prune_children: bool,
        platforms: Sequence[str] = (),
    ) -> Sequence[ImageDeleteItem]:
        """Take a name away, and the content when that was the last."""
        if platforms:
            raise Unsupported("removing single platforms of an image is not supported")
        removed = await self._core.in_thread(
            self._core.images.remove,
            reference,
            force=force,
            prune=prune_children,
            users=self._users(),
        )
        self._tell_removed(removed)
        self._core.empty_trash_soon()
        return [_deleted(item) for item in removed]

    def _tell_removed(self, removed: Sequence[Removed]) -> None:
        for item in removed:
            if item.image_id is not None:
                action = "untag" if item.untagged else "delete"
                name = item.untagged or str(item.image_id)
                self._core.bus.publish("image", action, str(item.image_id), {"name": name})

    async def prune(self, filters: Filters) -> ImagePruneReport:
        """Remove images without name, or with ``dangling=false`` all without container."""
        dangling = (filters.get("dangling") or ("true",))[0] in ("true", "1")
        until = [parse_time_ns(text, now_ns=time.time_ns()) for text in filters.get("until", ())]
        used = {str(user.image_id) for user in self._users()}
        before = sum(size for _, size, _ in self._core.images.content.list_blobs())
        items: list[ImageDeleteItem] = []
        for image in self._core.images.list():
            if str(image.id) in used or (dangling and not image.is_dangling):
                continue
            if not _passes_prune(image, filters, until):
                continue
            items += await self._remove_quietly(image)
        await self._core.in_thread(self._core.images.collect_garbage)
        self._core.empty_trash_soon()
        after = sum(size for _, size, _ in self._core.images.content.list_blobs())
        reclaimed = max(0, before - after)
        self._core.bus.publish("image", "prune", "", {"reclaimed": str(reclaimed)})
        return ImagePruneReport(images_deleted=tuple(items) or None, space_reclaimed=reclaimed)

    async def _remove_quietly(self, image: Image) -> Sequence[ImageDeleteItem]:
        items: list[ImageDeleteItem] = []
        for name in [n.familiar for n in image.names] or [str(image.id)]:
            try:
                items += await self.remove(name, force=False, prune_children=True)
            except CutawayError as error:
                log.debug("prune leaves %s: %s", name, error)
        return items

    # Transport

    async def pull(self, options: PullOptions) -> Progress:
        """Fetch it from its registry; ``host`` is made of this machine's programs instead."""
        name = _join(options.image, options.tag)
        if self._is_host(name):
            return await self.from_host(HOST_IMAGE, ())
        platform = Platform.parse(options.platform) if options.platform else None
        credentials = make_credentials(options.auth)

        def work(flow: "Outflow[dict[str, Any]]") -> None:
            template = PullRequest(
                reference=Reference.parse(name),
                platform=platform,
                credentials=credentials,
                settings=self._registry,
                progress=flow.put,
                is_cancelled=flow.is_cancelled,
            )
            tags = [options.tag] if options.tag else list_remote_tags(template)
            for tag in tags:
                reference = Reference.parse(_join(options.image, tag))
                request = PullRequest(
                    reference=reference,
                    platform=platform,
                    credentials=credentials,
                    settings=self._registry,
                    progress=flow.put,
                    is_cancelled=flow.is_cancelled,
                )
                image = pull(self._core.images, self._core.snapshots, request)
                self._tell_from_thread("pull", reference.familiar, image)

        return await self._progress(work)

    def _is_host(self, name: str) -> bool:
        reference = Reference.parse(name).with_default_tag()
        if reference.familiar != f"{HOST_IMAGE}:latest":
            return False
        return self._core.images.find_name(reference) is None

    def _tell_from_thread(self, action: str, name: str, image: Image) -> None:
        self._core.loop.call_soon_threadsafe(self._tell, action, str(image.id), name)

    async def _progress(self, work: Any) -> Progress:
        pieces: AsyncIterator[dict[str, Any]] = await flow_out(self._core.transfers, work)
        return _messages(pieces)

    async def push(self, options: PushOptions) -> Progress:
        """Send it to its registry."""
        reference = Reference.parse(_join(options.image, options.tag))
        references = (reference,) if options.tag else self._tags_of(reference)
        for one in references:
            image = self._core.images.find_name(one.with_default_tag())
            if image is None:
                raise NotFound(f"An image does not exist locally with the tag: {one.familiar_name}")
            _check_platform(image, one.familiar, options.platform)

        def work(flow: "Outflow[dict[str, Any]]") -> None:
            for one in references:
                request = PushRequest(
                    reference=one,
                    credentials=make_credentials(options.auth),
                    settings=self._registry,
                    progress=flow.put,
                    is_cancelled=flow.is_cancelled,
                )
                push(self._core.images, request)
                image = self._core.images.find(one.familiar)
                self._tell_from_thread("push", one.familiar, image)

        return await self._progress(work)

    def _tags_of(self, reference: Reference) -> tuple[Reference, ...]:
        found = tuple(
            name
            for image in self._core.images.list()
            for name in image.names
            if name.name == reference.name
        )
        if not found:
            raise NotFound(
                f"An image does not exist locally with the tag: {reference.familiar_name}"
            )
        return found

    async def save(self, names: Sequence[str], *, platforms: Sequence[str] = ()) -> ByteStream:
        """Read images as one tar."""
        for name in names:
            image = self._core.images.resolve(name)
            for platform in platforms:
                _check_platform(image, name, platform)
            self._tell("save", str(image.id), name)

        def work(flow: "Outflow[bytes]") -> None:
            save_images(self._core.images, names, lambda piece: flow.put(bytes(piece)))

        return await flow_out(self._core.transfers, work)

    async def load(
        self, body: ByteStream, *, quiet: bool, platforms: Sequence[str] = ()
    ) -> Progress:
        """Take images from a tar."""
        if platforms:
            raise Unsupported("loading single platforms of an archive is not supported")
        reader = Inflow(body)

        def work(flow: "Outflow[dict[str, Any]]") -> None:
            progress = None if quiet else flow.put
            with reader:
                loaded = load_images(
                    self._core.images, self._core.snapshots, reader.read, progress=progress
                )
            for one in loaded:
                name = one.reference.familiar if one.reference else str(one.image.id)
                told = f"Loaded image: {name}" if one.reference else f"Loaded image ID: {name}"
                flow.put({"stream": f"{told}\n"})
                self._tell_from_thread("load", name, one.image)

        # Docker answers 200 to every load and tells an error in the stream.
        return _messages(await flow_out(self._core.transfers, work, waits=False))

    async def import_tar(self, options: ImportOptions, body: ByteStream) -> Progress:
        """Make an image of one file system tar."""
        if options.source != "-":
            raise Unsupported("importing from a URL is not supported: pipe it into the command")
        reference = Reference.parse(_join(options.repo, options.tag)) if options.repo else None
        platform = Platform.parse(options.platform) if options.platform else None
        reader = Inflow(body)

        def work(flow: "Outflow[dict[str, Any]]") -> None:
            with reader:
                image = import_tar(
                    self._core.images,
                    self._core.snapshots,
                    reader.read,
                    reference=reference,
                    changes=options.changes,
                    message=options.message,
                    source=options.source,
                    platform=platform,
                )
            flow.put({"status": str(image.id)})
            name = reference.familiar if reference else str(image.id)
            self._tell_from_thread("import", name, image)

        return await self._progress(work)

    async def from_host(self, name: str, programs: Sequence[str]) -> Progress:
        """Make an image of this machine's own programs."""
        reference = Reference.parse(name).with_default_tag()

        def work(flow: "Outflow[dict[str, Any]]") -> None:
            flow.put({"status": f"Making {reference.familiar} of this machine's programs"})
            image = build_host_image(
                self._core.images,
                self._core.snapshots,
                name,
                programs=programs,
                progress=lambda line: flow.put({"status": line}),
            )
            flow.put({"aux": {"ID": str(image.id)}})
            flow.put({"status": f"Status: Made {reference.familiar}"})
            self._tell_from_thread("import", reference.familiar, image)

        return await self._progress(work)

    # Registries

    async def search(
        self, term: str, *, limit: int, filters: Filters, auth: AuthConfig | None
    ) -> Sequence[ImageSearchResult]:
        """Refuse: only Docker's own registry has a search, by an interface of its own."""
        raise Unsupported(f"searching registries for {term!r} is not supported")

    async def distribution(self, reference: str, *, auth: AuthConfig | None) -> DistributionInspect:
        """Ask a registry what a reference is."""
        return await self._core.in_thread(
            inspect_remote, Reference.parse(reference), make_credentials(auth), self._registry
        )

    async def attestations(
        self, reference: str, *, platform: str, types: Sequence[str], statement: bool
    ) -> Sequence[AttestationStatement]:
        """List attestations: pulls keep one manifest, and no attestation is one."""
        self._core.images.resolve(reference)
        return ()


async def _messages(pieces: AsyncIterator[dict[str, Any]]) -> Progress:
    async for piece in pieces:
        yield msgspec.convert(piece, ProgressMessage)


def _join(image: str, tag: str) -> str:
    if not tag:
        return image
    return f"{image}@{tag}" if tag.startswith("sha256:") else f"{image}:{tag}"


def make_credentials(auth: AuthConfig | None) -> Credentials | None:
    """Return credentials as the registry client takes them; None for none."""
    if auth is None:
        return None
    return credentials_from_json(msgspec.to_builtins(auth))


def _deleted(item: Removed) -> ImageDeleteItem:
    return ImageDeleteItem(untagged=item.untagged or "", deleted=item.deleted or "")


def _check_platform(image: Image, reference: str, platform: str) -> None:
    if platform and not Platform.parse(platform).normalized().matches(image.platform):
        raise NotFound(
            f"image with reference {reference} was found but its platform ({image.platform}) "
            f"does not match the specified platform ({platform})"
        )


def _passes_prune(image: Image, filters: Filters, until: "list[int]") -> bool:
    labels = image.config.config.labels
    created = created_ns(image)
    if any(created > limit for limit in until):
        return False
    for wanted in filters.get("label", ()):
        key, separator, value = wanted.partition("=")
        if key not in labels or (separator and labels[key] != value):
            return False
    for unwanted in filters.get("label!", ()):
        key, separator, value = unwanted.partition("=")
        if key in labels and (not separator or labels[key] == value):
            return False
    return True
