"""Looking after images: when a tag moved, and whether what is kept is still what its names say."""

from typing import Any

import msgspec

from cutaway.engine.images.sharing import ImageSharing
from cutaway.engine.images.transport import Progress
from cutaway.engine.system.disk_parts import measure_parts
from cutaway.engine.threads import Outflow
from cutaway.images.check import CheckReport, check_images
from cutaway.model import DamagedBlob, DiskPart, ImageCheck, TagMove
from cutaway.oci import Reference

_TELL_EVERY_BYTES = 8 << 20


class ImageCare(ImageSharing):
    """The part of the image use cases that keeps images well."""

    async def tag_history(self, name: str) -> list[TagMove]:
        """List the moves of a tag, oldest first."""
        reference = Reference.parse(name).with_default_tag()
        moves = await self._core.in_thread(self._core.images.history.read, reference)
        return [
            TagMove(at=move.at, old=str(move.old or ""), new=str(move.new or ""), by=move.by)
            for move in moves
        ]

    async def disk_parts(self) -> list[DiskPart]:
        """Say where the bytes below the data root are, so that they add up to ``du``."""
        root, snapshots = self._core.settings.data_root, self._core.snapshots
        parts = await self._core.in_thread(measure_parts, root, snapshots)
        return [DiskPart(what=p.what, path=p.path, size=p.size_bytes) for p in parts]

    async def check(self) -> Progress:
        """Read every blob again; the last message's ``aux`` is an ``ImageCheck``."""
        store = self._core.images

        def work(flow: "Outflow[dict[str, Any]]") -> None:
            total = sum(size for _, size, _ in store.content.list_blobs())
            told = 0

            def tell(checked: int) -> None:
                nonlocal told
                if checked - told >= _TELL_EVERY_BYTES:
                    told = checked
                    detail = {"current": checked, "total": total}
                    flow.put({"status": "Checking", "id": "images", "progressDetail": detail})

            flow.put({"aux": msgspec.to_builtins(_describe(check_images(store, tell)))})

        return await self._progress(work)


def _describe(report: CheckReport) -> ImageCheck:
    return ImageCheck(
        checked=report.checked,
        checked_bytes=report.checked_bytes,
        damaged=tuple(
            DamagedBlob(
                digest=str(blob.digest),
                size=blob.size_bytes,
                quarantine=blob.quarantine,
                images=blob.images,
            )
            for blob in report.damaged
        ),
        missing=tuple(
            DamagedBlob(digest=str(digest), images=images) for digest, images in report.missing
        ),
        not_unpacked=report.not_unpacked,
    )
