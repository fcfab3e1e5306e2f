"""The image use cases: looking, naming, removing. Fits ``api``'s ``ImageBackend``."""

import time
from collections.abc import Sequence

from cutaway.engine.images.care import ImageCare
from cutaway.engine.images.distribution import inspect_remote
from cutaway.engine.images.registries import registry_settings
from cutaway.engine.images.transport import log, make_credentials
from cutaway.engine.images.views import (
    created_ns,
    describe_history,
    describe_image,
    inspect_image,
    select_images,
)
from cutaway.engine.showing.listing import truth
from cutaway.engine.units import parse_time_ns
from cutaway.errors import CutawayError, InvalidParameter
from cutaway.errors import NotImplemented as Unsupported
from cutaway.images.image import Image
from cutaway.images.registry.search import search
from cutaway.images.removal import ImageUser, Removed
from cutaway.images.variants import find_variant
from cutaway.model import (
    AttestationStatement,
    AuthConfig,
    DistributionInspect,
    Filters,
    ImageDeleteItem,
    ImageHistoryItem,
    ImageInspect,
    ImageListOptions,
    ImagePruneReport,
    ImageSearchResult,
    ImageSummary,
    RegistryTrust,
)
from cutaway.oci import Digest, Reference


class ImageService(ImageCare):
    """The image operations of one engine."""

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
        named = self._core.images.find(reference)

        def look() -> ImageInspect:
            store = self._core.images
            image = find_variant(store, named, reference, platform)
            return inspect_image(store, self._core.snapshots, image, manifests=manifests)

        return await self._core.in_thread(look)

    async def history(self, reference: str, *, platform: str = "") -> Sequence[ImageHistoryItem]:
        """List the steps that made it, newest first."""
        image = self._core.images.resolve(reference)
        image = find_variant(self._core.images, image, reference, platform)
        return await self._core.in_thread(describe_history, self._core.images, image)

    def _users(self) -> tuple[ImageUser, ...]:
        return tuple(
            ImageUser(c.id, Digest(image_id), is_running=c.is_alive)
            for c in self._core.containers
            for image_id in (c.document.image_id, *c.document.mounted_images)
        )

    # Naming and removing

    async def tag(self, reference: str, *, repo: str, tag: str) -> None:
        """Give it one more name."""
        name = Reference.parse(f"{repo}:{tag}" if tag else repo).with_default_tag()
        image = self._core.images.resolve(reference)
        await self._core.in_thread(self._core.images.tag, image.id, name)
        self._tell("tag", str(image.id), name.familiar)

    async def remove(
        self,
        reference: str,
        *,
        force: bool,
        prune_children: bool,
        platforms: Sequence[str] = (),
    ) -> Sequence[ImageDeleteItem]:
        """Take a name away, and the content when that was the last."""
        self._check_platforms(reference, platforms)
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

    def _check_platforms(self, reference: str, platforms: Sequence[str]) -> None:
        """Refuse to remove less than the whole image, as dockerd without containerd's store does.

        Raises:
            NotFound: the image is for another platform.
            InvalidParameter, Unsupported: several platforms; one of several.
        """
        if not platforms:
            return
        if len(platforms) > 1:
            raise InvalidParameter("multiple platforms are not supported")
        image = self._core.images.find(reference)
        find_variant(self._core.images, image, reference, platforms[0])
        if image.index is not None:
            raise Unsupported(
                f"{reference} stands for an index: removing single platforms of one is not "
                f"supported; remove it whole, and pull it again with --platform"
            )

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

    # Registries

    async def search(
        self, term: str, *, limit: int, filters: Filters, auth: AuthConfig | None
    ) -> Sequence[ImageSearchResult]:
        """Ask Docker Hub, or the registry that the term begins with."""
        found = await self._core.in_thread(
            search, term, limit, make_credentials(auth), registry_settings(self._core.settings)
        )
        results = [
            ImageSearchResult(
                star_count=one.stars,
                is_official=one.is_official,
                name=one.name,
                is_automated=one.is_automated,
                description=one.description,
            )
            for one in found
        ]
        return [result for result in results if _passes_search(result, filters)]

    async def distribution(
        self, reference: str, *, auth: AuthConfig | None, trust: RegistryTrust | None = None
    ) -> DistributionInspect:
        """Ask a registry what a reference is."""
        return await self._core.in_thread(
            inspect_remote,
            Reference.parse(reference),
            make_credentials(auth),
            registry_settings(self._core.settings, trust),
        )

    async def attestations(
        self, reference: str, *, platform: str, types: Sequence[str], statement: bool
    ) -> Sequence[AttestationStatement]:
        """List attestations: pulls keep one manifest, and no attestation is one."""
        self._core.images.resolve(reference)
        return ()


def _deleted(item: Removed) -> ImageDeleteItem:
    return ImageDeleteItem(untagged=item.untagged or "", deleted=item.deleted or "")


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


def _passes_search(result: ImageSearchResult, filters: Filters) -> bool:
    for name, found in (("is-official", result.is_official), ("is-automated", result.is_automated)):
        if any(truth(name, value) is not found for value in filters.get(name, ())):
            return False
    return all(result.star_count >= _stars(value) for value in filters.get("stars", ()))


def _stars(text: str) -> int:
    if not text.isdecimal():
        raise InvalidParameter(f"invalid filter 'stars={text}'")
    return int(text[:9])
