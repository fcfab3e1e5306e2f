"""Images on their way in and out: registries, archives, this machine's programs."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, Any

import msgspec

from cutaway.build.errors import BuildError
from cutaway.build.solve.fetch import fetch_url
from cutaway.engine.core import Core
from cutaway.engine.images.registries import registry_settings
from cutaway.engine.threads import Inflow, Outflow, flow_out
from cutaway.errors import CutawayError, InvalidParameter, Unavailable
from cutaway.images.archives.import_tar import import_tar
from cutaway.images.archives.load import load_images
from cutaway.images.archives.save import save_images
from cutaway.images.host.image import build_host_image
from cutaway.images.image import Image
from cutaway.images.pull import PullRequest, list_remote_tags, pull
from cutaway.images.push import PushRequest, push
from cutaway.images.registry.credentials import Credentials, credentials_from_json
from cutaway.images.variants import find_variant
from cutaway.model import (
    AuthConfig,
    ByteStream,
    ImportOptions,
    ProgressMessage,
    PullOptions,
    PushOptions,
)
from cutaway.oci import Platform, Reference

log = logging.getLogger(__name__)
HOST_IMAGE = "host"
Progress = AsyncIterator[ProgressMessage]


class ImageTransport:
    """The half of the image use cases that moves images; ``ImageService`` is the whole.

    Each operation works in a thread and tells its progress; a client that leaves stops it.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    async def pull(self, options: PullOptions) -> Progress:
        """Fetch it from its registry; ``host`` is made of this machine's programs instead."""
        name = _join(options.image, options.tag)
        if self._is_host(name):
            return await self.from_host(HOST_IMAGE, ())
        credentials = make_credentials(options.auth)

        def work(flow: "Outflow[dict[str, Any]]") -> None:
            request = PullRequest(
                reference=Reference.parse(name),
                platform=Platform.parse(options.platform) if options.platform else None,
                all_platforms=options.all_platforms,
                credentials=credentials,
                settings=registry_settings(self._core.settings, options.trust),
                progress=flow.put,
                is_cancelled=flow.is_cancelled,
                explain=explainer(flow) if options.explain else None,
            )
            for tag in [options.tag] if options.tag else list_remote_tags(request):
                reference = Reference.parse(_join(options.image, tag))
                one = replace(request, reference=reference)
                image = pull(self._core.images, self._core.snapshots, one)
                self._tell_from_thread("pull", reference.familiar, image)

        return await self._progress(work)

    def _is_host(self, name: str) -> bool:
        reference = Reference.parse(name).with_default_tag()
        if reference.familiar != f"{HOST_IMAGE}:latest":
            return False
        return self._core.images.find_name(reference) is None

    def _tell_from_thread(self, action: str, name: str, image: Image) -> None:
        self._core.loop.call_soon_threadsafe(self._tell, action, str(image.id), name)

    async def _progress(
        self, work: "Callable[[Outflow[dict[str, Any]]], None]", *, waits: bool = True
    ) -> Progress:
        """Begin ``work`` in a thread; layers that it unpacked in vain are deleted after it."""

        def work_and_clean(flow: "Outflow[dict[str, Any]]") -> None:
            try:
                work(flow)
            finally:
                self._core.loop.call_soon_threadsafe(self._core.empty_trash_soon)

        pieces: AsyncIterator[dict[str, Any]] = await flow_out(
            self._core.transfers, work_and_clean, waits=waits
        )
        return _messages(pieces)

    async def push(self, options: PushOptions) -> Progress:
        """Send it to its registry."""
        reference = Reference.parse(_join(options.image, options.tag))

        def work(flow: "Outflow[dict[str, Any]]") -> None:
            request = PushRequest(
                reference=reference,
                platform=options.platform,
                all_tags=not options.tag,
                credentials=make_credentials(options.auth),
                settings=registry_settings(self._core.settings, options.trust),
                progress=flow.put,
                is_cancelled=flow.is_cancelled,
                explain=explainer(flow) if options.explain else None,
            )
            for tag in push(self._core.images, request):
                name = f"{reference.familiar_name}:{tag}"
                self._tell_from_thread("push", name, self._core.images.find(name))

        return await self._progress(work)

    async def save(self, names: Sequence[str], *, platforms: Sequence[str] = ()) -> ByteStream:
        """Read images as one tar."""
        for name in names:
            image = self._core.images.resolve(name)
            for platform in platforms:
                find_variant(self._core.images, image, name, platform)
            self._tell("save", str(image.id), name)

        def work(flow: "Outflow[bytes]") -> None:
            save_images(
                self._core.images,
                names,
                lambda piece: flow.put(bytes(piece)),
                platforms=platforms,
            )

        return await flow_out(self._core.transfers, work)

    async def load(
        self, body: ByteStream, *, quiet: bool, platforms: Sequence[str] = ()
    ) -> Progress:
        """Take images from a tar."""
        wanted = [Platform.parse(text) for text in platforms]
        reader = Inflow(body)

        def work(flow: "Outflow[dict[str, Any]]") -> None:
            progress = None if quiet else flow.put
            with reader:
                loaded = load_images(
                    self._core.images,
                    self._core.snapshots,
                    reader.read,
                    progress=progress,
                    platforms=wanted,
                )
            for one in loaded:
                name = one.reference.familiar if one.reference else str(one.image.id)
                flow.put({"stream": f"{one}\n"})
                self._tell_from_thread("load", name, one.image)

        # Docker answers 200 to every load and tells an error in the stream.
        return await self._progress(work, waits=False)

    async def import_tar(self, options: ImportOptions, body: ByteStream) -> Progress:
        """Make an image of one file system tar, sent or fetched from a URL."""
        reference = Reference.parse(_join(options.repo, options.tag)) if options.repo else None
        source = _import_source(options.source)
        reader = Inflow(body)

        def take(read: Callable[[int], bytes], flow: "Outflow[dict[str, Any]]") -> None:
            image = import_tar(
                self._core.images,
                self._core.snapshots,
                read,
                reference=reference,
                changes=options.changes,
                message=options.message,
                source=source,
                platform=Platform.parse(options.platform) if options.platform else None,
            )
            flow.put({"status": str(image.id)})
            name = reference.familiar if reference else str(image.id)
            self._tell_from_thread("import", name, image)

        def work(flow: "Outflow[dict[str, Any]]") -> None:
            with reader:
                if source == "-":
                    take(reader.read, flow)
                    return
                with _fetched(source) as file:
                    flow.put({"status": f"Importing {source}"})
                    take(file.read, flow)

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

    def _tell(self, action: str, identifier: str, name: str) -> None:
        attributes = {"name": name}
        try:
            labels = self._core.images.find(identifier).config.config.labels
            attributes = {**labels, **attributes}
        except CutawayError:
            log.debug("event %s of the image %s, which is gone", action, identifier)
        self._core.bus.publish("image", action, identifier, attributes)


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


def explainer(flow: "Outflow[dict[str, Any]]") -> Callable[[str], None]:
    """Return what tells each request and decision of the registry client, a line each."""
    return lambda line: flow.put({"stream": f"{line}\n"})


def _import_source(source: str) -> str:
    """Return ``-`` or a URL; a bare address is http, as Docker takes it.

    Raises:
        InvalidParameter: another scheme.
    """
    if source == "-":
        return source
    scheme, separator, _ = source.partition("://")
    if separator and scheme not in ("http", "https"):
        raise InvalidParameter(f"import from {source}: expected an http or https address")
    return source if separator else f"http://{source}"


@contextmanager
def _fetched(url: str) -> Iterator[IO[bytes]]:
    try:
        with fetch_url(url) as found:
            yield found.file
    except BuildError as error:
        raise Unavailable(str(error)) from error
