"""``/system/df`` at 1.52 and later: totals, with the lists only on request."""

from collections.abc import Sequence
from typing import Any

from cutaway import model
from cutaway.api.version import NEWEST
from cutaway.api.versions.answers import Document, adapt


def _usage(
    items: Sequence[Any], *, active: int, total: int, reclaimable: int, verbose: bool
) -> Document:
    usage: Document = {
        "ActiveCount": active,
        "TotalCount": len(items),
        "Reclaimable": reclaimable,
        "TotalSize": total,
    }
    if verbose:
        usage["Items"] = adapt(list(items), NEWEST)
    return usage


def _images(images: Sequence[model.ImageSummary], layers_size: int, *, verbose: bool) -> Document:
    active = sum(1 for image in images if image.containers > 0)
    in_use = sum(image.size - max(image.shared_size, 0) for image in images if image.containers > 0)
    return _usage(
        images,
        active=active,
        total=layers_size,
        reclaimable=max(layers_size - in_use, 0) if images else 0,
        verbose=verbose,
    )


def _containers(containers: Sequence[model.ContainerSummary], *, verbose: bool) -> Document:
    running = [c for c in containers if c.state in ("running", "paused", "restarting")]
    total = sum(c.size_rw or 0 for c in containers)
    return _usage(
        containers,
        active=len(running),
        total=total,
        reclaimable=total - sum(c.size_rw or 0 for c in running),
        verbose=verbose,
    )


def _volumes(volumes: Sequence[model.Volume], *, verbose: bool) -> Document:
    known = [v.usage_data for v in volumes if v.usage_data is not None]
    return _usage(
        volumes,
        active=sum(1 for usage in known if usage.ref_count > 0),
        total=sum(max(usage.size, 0) for usage in known),
        reclaimable=sum(max(usage.size, 0) for usage in known if usage.ref_count <= 0),
        verbose=verbose,
    )


def _cache(records: Sequence[model.BuildCache], *, verbose: bool) -> Document:
    return _usage(
        records,
        active=sum(1 for record in records if record.in_use),
        total=sum(record.size for record in records if not record.shared),
        reclaimable=sum(r.size for r in records if not r.in_use and not r.shared),
        verbose=verbose,
    )


def new_disk_usage(usage: model.DiskUsage, *, verbose: bool) -> Document:
    """Return disk usage as API 1.52 has it; kinds that were not asked for are left out."""
    document: Document = {}
    if usage.images is not None:
        document["ImageUsage"] = _images(usage.images, usage.layers_size, verbose=verbose)
    if usage.containers is not None:
        document["ContainerUsage"] = _containers(usage.containers, verbose=verbose)
    if usage.volumes is not None:
        document["VolumeUsage"] = _volumes(usage.volumes, verbose=verbose)
    if usage.build_cache is not None:
        document["BuildCacheUsage"] = _cache(usage.build_cache, verbose=verbose)
    return document
