"""How images relate: the difference of two, one squashed, what refers to one in its registry."""

from functools import partial
from typing import Any

import msgspec

from cutaway.engine.images.registries import registry_settings
from cutaway.engine.images.transport import ImageTransport, Progress, make_credentials
from cutaway.engine.threads import Outflow
from cutaway.images.comparison import compare_images
from cutaway.images.registry.referrers import fetch_referrers
from cutaway.images.registry.refusal import translate_pull
from cutaway.images.registry.source import connect, open_transport
from cutaway.images.squashing import SquashReport, squash_image
from cutaway.model import (
    AuthConfig,
    ComparedLayer,
    FileChange,
    ImageComparison,
    Referrers,
    RegistryTrust,
)
from cutaway.model import LostSharing as LostSharingModel
from cutaway.model import SquashReport as SquashReportModel
from cutaway.oci import Reference


class ImageSharing(ImageTransport):
    """The part of the image use cases that Docker does not have."""

    async def diff(self, old: str, new: str) -> ImageComparison:
        """Compare two images: layers, and files by layer."""
        store = self._core.images
        before, after = store.resolve(old), store.resolve(new)
        found = await self._core.in_thread(compare_images, self._core.snapshots, before, after)
        return ImageComparison(
            old_id=str(before.id),
            new_id=str(after.id),
            layers=tuple(
                ComparedLayer(
                    side=layer.side.value,
                    diff_id=str(layer.diff_id),
                    chain_id=str(layer.chain_id),
                    size=layer.size_bytes,
                    created_by=layer.created_by,
                )
                for layer in found.layers
            ),
            files=tuple(
                FileChange(
                    kind=change.kind,
                    path=change.path,
                    layer=str(change.layer),
                    old_size=change.old_bytes,
                    new_size=change.new_bytes,
                )
                for change in found.files
            ),
        )

    async def squash(self, reference: str, *, keep: str, name: str) -> Progress:
        """Make the layers above a base one; the last message's ``aux`` is the report.

        Args:
            reference: what to squash.
            keep: an image whose layers stay as they are; empty: none.
            name: of the new image; empty: the reference's own, if it is a tag.
        """
        store = self._core.images
        image, base = store.resolve(reference), store.resolve(keep) if keep else None
        target = _target(reference, name, {n.familiar for n in image.names})

        def work(flow: "Outflow[dict[str, Any]]") -> None:
            flow.put({"status": f"Squashing {reference}: {len(image.layers)} layers"})
            report = squash_image(store, self._core.snapshots, image, keep=base, name=target)
            flow.put({"aux": msgspec.to_builtins(_describe(report))})
            made = store.get(report.image_id)
            shown = target.familiar if target else str(made.id)
            self._tell_from_thread("squash", shown, made)

        return await self._progress(work)

    async def referrers(
        self,
        reference: str,
        *,
        artifact_type: str,
        auth: AuthConfig | None,
        trust: RegistryTrust | None,
    ) -> Referrers:
        """Ask a registry what refers to an image there: signatures, SBOMs."""
        name = Reference.parse(reference).with_default_tag()
        settings = registry_settings(self._core.settings, trust)

        def ask() -> Referrers:
            translate = partial(translate_pull, reference=name)
            with open_transport(settings, translate=translate) as transport:
                repository = connect(
                    transport, make_credentials(auth), name, "pull", is_cancelled=lambda: False
                )
                wanted = name.digest or name.tag or ""
                digest = repository.fetch_manifest(wanted).descriptor.digest
                index = fetch_referrers(repository, digest, artifact_type)
            found = tuple(descriptor.to_json() for descriptor in index.manifests)
            return Referrers(subject=str(digest), manifests=found)

        return await self._core.in_thread(ask)


def _target(reference: str, name: str, names: set[str]) -> Reference | None:
    """Return the tag that the squashed image gets: the one asked for, or that it was found by."""
    if name:
        return Reference.parse(name).with_default_tag()
    for known in names:
        if known in (reference, f"{reference}:latest"):
            return Reference.parse(known)
    return None


def _describe(report: SquashReport) -> SquashReportModel:
    return SquashReportModel(
        id=str(report.image_id),
        old_id=str(report.old_id),
        layers_before=report.layers_before,
        layers_after=report.layers_after,
        size_before=report.size_before_bytes,
        size_after=report.size_after_bytes,
        merged_steps=report.merged_steps,
        lost_sharing=tuple(
            LostSharingModel(name=lost.name, size=lost.size_bytes) for lost in report.lost_sharing
        ),
        pull_again=report.pull_again_bytes,
        lost_cache_steps=report.lost_cache_steps,
    )
