"""The build cache in the engine's database, what it takes, and making it smaller."""

import json
import logging
import shutil
import threading
import time
from collections.abc import Iterable

from cutaway.build.solve.cache import CacheRecord
from cutaway.build.solve.cache_mounts import CacheMount, CacheMounts
from cutaway.engine.core import Core
from cutaway.engine.units import parse_time_ns
from cutaway.model import BuildCache, BuildPruneOptions, BuildPruneReport, Filters
from cutaway.oci import Digest

log = logging.getLogger(__name__)
CACHE_KIND = "build-cache"


class StoredCache:
    """The build cache in the engine's database; fits ``build.solve.cache.CacheStore``.

    Reads come from memory. The database is the loop's: writes are gathered, and the loop makes one
    transaction of what has gathered since its last turn. ``_lock`` guards ``_unwritten``.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._lock = threading.Lock()
        self._records: dict[str, CacheRecord] = {}
        self._unwritten: dict[str, CacheRecord | None] = {}
        unreadable: list[str] = []
        for key, document in core.store.documents(CACHE_KIND):
            try:
                self._records[key] = CacheRecord.from_json(json.loads(document))
            except (KeyError, TypeError, ValueError):
                unreadable.append(key)  # of an older engine: the step is done again
        self._write(dict.fromkeys(unreadable))

    def find(self, key: str) -> CacheRecord | None:
        """Return the record of a key."""
        return self._records.get(key)

    def put(self, record: CacheRecord) -> None:
        """Add or replace a record."""
        self._records[record.key] = record
        self._write({record.key: record})

    def records(self) -> list[CacheRecord]:
        """Return all records."""
        return list(self._records.values())

    def remove(self, keys: Iterable[str]) -> None:
        """Forget records."""
        gone = [key for key in keys if key in self._records]
        for key in gone:
            del self._records[key]
        self._write(dict.fromkeys(gone))

    def needed(self) -> tuple[Iterable[Digest], Iterable[str]]:
        """Return the blobs and chains that records need; the image store keeps them."""
        records = [record for record in self.records() if record.layer is not None]
        blobs = [r.layer.descriptor.digest for r in records if r.layer is not None]
        return blobs, [record.chain_id for record in records]

    def _write(self, changes: dict[str, CacheRecord | None]) -> None:
        with self._lock:
            is_first = not self._unwritten
            self._unwritten.update(changes)
        if changes and is_first:
            self._core.loop.call_soon_threadsafe(self._flush)

    def _flush(self) -> None:
        with self._lock:
            changes, self._unwritten = self._unwritten, {}
        with self._core.store.change() as transaction:
            for key, record in changes.items():
                if record is None:
                    transaction.delete_document(CACHE_KIND, key)
                else:
                    document = json.dumps(record.to_json()).encode()
                    transaction.put_document(CACHE_KIND, key, document)


class CacheKeeper:
    """What the build cache takes, told and made smaller.

    Args:
        core: the engine.
        records: of steps.
        mounts: directories of ``RUN --mount=type=cache``.
    """

    def __init__(self, core: Core, records: StoredCache, mounts: CacheMounts) -> None:
        self._core = core
        self._records = records
        self._mounts = mounts

    def usage(self) -> tuple[BuildCache, ...]:
        """Return every record and kept directory as ``system df`` tells them."""
        shared = self._shared_chains()
        steps = (
            _describe_step(record, shared)
            for record in self._records.records()
            if record.layer is not None
        )
        return (*steps, *(_describe_mount(mount) for mount in self._mounts.list()))

    def _shared_chains(self) -> set[str]:
        return {str(chain) for image in self._core.images.list() for chain in image.chain_ids}

    async def prune(self, options: BuildPruneOptions, filters: Filters) -> BuildPruneReport:
        """Remove what was not used for a while, until the rest is small enough; see ``choose``."""
        usage = await self._core.in_thread(self.usage)
        free = shutil.disk_usage(self._core.settings.data_root).free
        chosen = choose(usage, options, filters, free_bytes=free, now_ns=time.time_ns())
        ids = {item.id for item in chosen}
        wanted = [record for record in self._records.records() if record.key[:25] in ids]
        blobs = [r.layer.descriptor.digest for r in wanted if r.layer is not None]
        self._records.remove([record.key for record in wanted])
        if options.all and not filters:
            self._records.remove([r.key for r in self._records.records() if r.layer is None])
        await self._core.in_thread(self._free, blobs, ids)
        self._core.empty_trash_soon()
        reclaimed = sum(item.size for item in chosen if not item.shared)
        self._core.bus.publish("builder", "prune", "", {"reclaimed": str(reclaimed)})
        return BuildPruneReport(
            caches_deleted=tuple(item.id for item in chosen), space_reclaimed=reclaimed
        )

    def _free(self, blobs: list[Digest], ids: set[str]) -> None:
        self._core.images.discard_unneeded(blobs)
        self._core.images.collect_garbage()
        self._mounts.remove([m.name for m in self._mounts.list() if m.name[:25] in ids])


def choose(
    usage: Iterable[BuildCache],
    options: BuildPruneOptions,
    filters: Filters,
    *,
    free_bytes: int,
    now_ns: int,
) -> list[BuildCache]:
    """Return what a prune removes, the longest unused first.

    Without ``all``, what an image shares stays: removing it would free nothing. Sizes stop the
    removal: once no more than ``max_used_space`` is kept and ``min_free_space`` of the disk is
    free, and before less than ``reserved_space`` is left.
    """
    limits = [parse_time_ns(text, now_ns=now_ns) // 10**9 for text in filters.get("until", ())]
    latest = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(min(limits))) if limits else ""
    chosen = []
    items = sorted(usage, key=lambda item: item.last_used_at or "")
    total = sum(item.size for item in items)
    for item in items:
        if item.in_use or (item.shared and not options.all) or not _passes(item, filters, latest):
            continue
        if _is_enough(options, kept_bytes=total, free_bytes=free_bytes):
            break
        if options.reserved_space and total - item.size < options.reserved_space:
            break
        chosen.append(item)
        total -= item.size
        free_bytes += 0 if item.shared else item.size
    return chosen


def _is_enough(options: BuildPruneOptions, *, kept_bytes: int, free_bytes: int) -> bool:
    """Tell whether the targets of a prune are met; one without any removes all it may."""
    if not (options.max_used_space or options.min_free_space):
        return False
    is_small = not options.max_used_space or kept_bytes <= options.max_used_space
    return is_small and free_bytes >= options.min_free_space


def _passes(item: BuildCache, filters: Filters, latest: str) -> bool:
    if latest and (item.last_used_at or "") > latest:
        return False
    facts = {
        "shared": str(item.shared).lower(),
        "private": str(not item.shared).lower(),
        "inuse": str(item.in_use).lower(),
        "type": item.type,
        "description": item.description,
    }
    for name, value in facts.items():
        wanted = filters.get(name, ())
        known = ("true", "1", "") if value == "true" else (value,)
        if wanted and not any(text.lower() in known or text == value for text in wanted):
            return False
    ids = filters.get("id", ())
    return not ids or any(item.id.startswith(text) for text in ids)


def _describe_step(record: CacheRecord, shared: set[str]) -> BuildCache:
    return BuildCache(
        id=record.key[:25],
        type="regular",
        description=_description(record),
        in_use=False,
        shared=record.chain_id in shared,
        size=record.size_bytes,
        created_at=_time(record.created_s),
        last_used_at=_time(record.last_used_s),
        usage_count=record.use_count,
    )


def _description(record: CacheRecord) -> str:
    return f"{record.description} (says {record.origin})" if record.origin else record.description


def _describe_mount(mount: CacheMount) -> BuildCache:
    return BuildCache(
        id=mount.name[:25],
        type="exec.cachemount",
        description=f"cached mount {mount.identifier}",
        in_use=mount.in_use,
        shared=False,
        size=mount.size_bytes,
        created_at=_time(mount.created_s),
        last_used_at=_time(mount.last_used_s),
        usage_count=0,
    )


def _time(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
