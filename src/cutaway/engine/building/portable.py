"""The build cache out of this engine and into it, as an archive or through a registry.

What may be believed of an imported cache, ``cutaway.build.portable`` says.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from cutaway.build.portable.document import (
    VERSION,
    PortableCache,
    PortableMount,
    PortableStep,
    claim_of,
    portable_steps,
)
from cutaway.build.portable.layout import (
    read_archive,
    read_manifest,
    write_archive,
    write_manifest,
)
from cutaway.build.portable.registry import fetch_layer, push_cache, read_cache
from cutaway.build.solve.cache import CacheRecord
from cutaway.build.solve.cache_mounts import CacheMounts
from cutaway.engine.building.cache import StoredCache
from cutaway.engine.building.cache_sources import RegistryAccess
from cutaway.engine.core import Core
from cutaway.engine.threads import Inflow, Outflow, flow_out
from cutaway.errors import InvalidParameter
from cutaway.images.layer_blob import LayerBlobWriter, compress_layer
from cutaway.images.trees.tree import Tree, get_archive, put_archive
from cutaway.model import ByteStream, CacheReport, CacheSelection
from cutaway.oci import Descriptor, Digest, Reference

_READ_BYTES = 1 << 20


class CacheExchange:
    """Exports and imports the build cache of one engine.

    Args:
        core: the engine.
        records: its cache.
        mounts: directories of ``RUN --mount=type=cache``.
    """

    def __init__(self, core: Core, records: StoredCache, mounts: CacheMounts) -> None:
        self._core = core
        self._records = records
        self._mounts = mounts
        self._content = core.images.content

    # Out

    async def export(self, selection: CacheSelection) -> ByteStream:
        """Return a part of the cache as the tar of an OCI image layout.

        Raises:
            InvalidParameter: there is nothing to export.
        """

        def work(flow: "Outflow[bytes]") -> None:
            with self._packed(selection) as (manifest, _):
                write_archive(self._content, manifest, lambda piece: flow.put(bytes(piece)))

        return await flow_out(self._core.transfers, work)

    async def push(
        self, reference: Reference, selection: CacheSelection, access: RegistryAccess
    ) -> CacheReport:
        """Send a part of the cache to a registry.

        Raises:
            InvalidParameter: there is nothing to send.
            TransportFailure, Unauthorized, …: as a push of an image.
        """

        def work() -> CacheReport:
            with (
                self._packed(selection) as (manifest, cache),
                access.repository(reference, push=True) as repository,
            ):
                push_cache(repository, reference, self._content, manifest)
            return _report(reference.familiar, cache, tuple(m.id for m in cache.mounts))

        return await self._core.loop.run_in_executor(self._core.transfers, work)

    @contextmanager
    def _packed(self, selection: CacheSelection) -> Iterator[tuple[Descriptor, PortableCache]]:
        """Have the manifest of a part of the cache, with all its blobs, until the block ends."""
        with self._core.images.lease(discards=True):
            steps = tuple(self._as_they_travel(portable_steps(self._chosen(selection.records))))
            mounts = tuple(self._pack_mounts()) if selection.mounts else ()
            if not (steps or mounts):
                raise InvalidParameter("the build cache is empty: there is nothing to export")
            cache = PortableCache(VERSION, steps, mounts)
            manifest = write_manifest(self._content, cache)
            yield manifest, cache
            document = read_manifest(self._content, manifest).config
        made = (manifest, document, *cache.layers)
        self._core.images.discard_unneeded([blob.digest for blob in made])

    def _as_they_travel(self, steps: Iterable[PortableStep]) -> Iterator[PortableStep]:
        """Yield steps with their layers compressed, each layer once."""
        compressed: dict[Digest, Descriptor] = {}
        for step in steps:
            if step.layer is None:
                yield step
                continue
            if step.layer.digest not in compressed:
                compressed[step.layer.digest] = compress_layer(self._content, step.layer)
            yield replace(step, layer=compressed[step.layer.digest])

    def _chosen(self, keys: tuple[str, ...] | None) -> list[CacheRecord]:
        """Return records whose layers are here; of None, those of steps that were done here."""
        if keys is None:
            found = [record for record in self._records.records() if not record.origin]
        else:
            found = [r for key in keys if (r := self._records.find(key)) is not None]
        return [r for r in found if r.layer is None or r.layer.descriptor.digest in self._content]

    def _pack_mounts(self) -> Iterator[PortableMount]:
        """Pack the directories that no command writes to at this moment."""
        snapshots = self._core.snapshots
        for mount in self._mounts.list():
            if mount.in_use:
                continue
            tree = Tree.of_directory(snapshots, self._mounts.directory(mount.name))
            with get_archive(tree, "/.") as stream, LayerBlobWriter(self._content) as writer:
                while chunk := os.read(stream.fd, _READ_BYTES):
                    writer.write(chunk)
                stream.finish()
                descriptor, _ = writer.commit()
            yield PortableMount(mount.identifier, descriptor)

    # In

    async def take(self, origin: str, body: ByteStream, *, mounts: bool) -> CacheReport:
        """Import a cache from the tar of an OCI image layout.

        Raises:
            BadLayer, InvalidParameter: it is no tar, or not of a cache.
            VerificationFailed: a blob is not what its name says.
        """
        if not origin:
            raise InvalidParameter("the cache has no name: say where it comes from")

        def work() -> CacheReport:
            with reader, self._core.images.lease(discards=True):
                cache, brought = read_archive(self._content, reader.read)
                report = self._adopt(origin, cache, mounts=mounts)
            self._core.images.discard_unneeded(brought)
            return report

        reader = Inflow(body)
        return await self._core.loop.run_in_executor(self._core.transfers, work)

    async def pull(
        self, reference: Reference, access: RegistryAccess, *, mounts: bool
    ) -> CacheReport:
        """Import a cache from a registry, its layers included.

        Raises:
            InvalidParameter: it is no cache.
            TransportFailure, VerificationFailed, NotFound, …: as a pull of an image.
        """

        def work() -> CacheReport:
            with (
                self._core.images.lease(discards=True),
                access.repository(reference) as repository,
            ):
                cache = read_cache(repository, reference)
                directories = cache.mounts if mounts else ()
                steps = [step.layer for step in cache.steps if step.layer is not None]
                for layer in (*steps, *(mount.layer for mount in directories)):
                    fetch_layer(repository, self._content, layer)
                report = self._adopt(reference.familiar, cache, mounts=mounts)
            self._core.images.discard_unneeded(mount.layer.digest for mount in directories)
            return report

        return await self._core.loop.run_in_executor(self._core.transfers, work)

    def _adopt(self, origin: str, cache: PortableCache, *, mounts: bool) -> CacheReport:
        """Keep what a cache claims under its origin, in place of what it claimed before."""
        claims = {claim.key: claim for claim in (claim_of(step, origin) for step in cache.steps)}
        known = (r.key for r in self._records.records() if r.origin == origin)
        self._records.remove([key for key in known if key not in claims])
        for claim in claims.values():
            self._records.put(claim)
        kept = [m.id for m in cache.mounts if mounts and self._mounts.adopt(m.id, self._fill(m))]
        return _report(origin, cache, tuple(kept))

    def _fill(self, mount: PortableMount) -> Callable[[str], None]:
        def fill(directory: str) -> None:
            fd = self._content.open_fd(mount.layer.digest)
            try:
                put_archive(Tree.of_directory(self._core.snapshots, directory), "/", fd)
            finally:
                os.close(fd)

        return fill


def _report(origin: str, cache: PortableCache, mounts: tuple[str, ...]) -> CacheReport:
    layers = {step.layer.digest: step.layer.size for step in cache.steps if step.layer is not None}
    return CacheReport(
        origin=origin,
        steps=len(cache.steps),
        layers=len(layers),
        size=sum(layers.values()),
        mounts=mounts,
        kept_mounts=tuple(m.id for m in cache.mounts if m.id not in mounts),
    )
