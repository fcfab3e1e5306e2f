"""Doing one step: a snapshot is prepared, changed, and committed as a layer or thrown away."""

import asyncio
import os
import threading
import uuid
from collections.abc import Callable, Iterable

from cutaway.build.dockerfile.dockerignore import compile_glob
from cutaway.build.graph import CopyFiles, MakeDirectory, RunCommand
from cutaway.build.solve.blocking import run_to_end
from cutaway.build.solve.cache import Layer
from cutaway.build.solve.command import WORKING_PREFIX, CommandRunner
from cutaway.build.solve.progress import VertexLog
from cutaway.images.layer_blob import LayerBlobWriter
from cutaway.images.snapshots import Kind, Snapshots
from cutaway.images.store import ImageStore
from cutaway.images.trees.copying import CopyRequest, copy_files, digest_files, make_directory
from cutaway.images.trees.linking import SharedFiles
from cutaway.images.trees.tree import Tree, diff_layer
from cutaway.oci import Digest
from cutaway.oci.hashing import chain_ids, digest_of

_READ_BYTES = 1 << 20

Step = CopyFiles | MakeDirectory | RunCommand
Pin = Callable[[Iterable[str]], None]
"""Keeps snapshots by chain id until the build has ended."""


class StepWork:
    """Does steps; what it makes is committed or removed before ``perform`` returns."""

    def __init__(self, store: ImageStore, commands: CommandRunner, pin: Pin) -> None:
        self._store = store
        self._commands = commands
        self._pin = pin

    @property
    def snapshots(self) -> Snapshots:
        """Where file systems are."""
        snapshots = self._store.snapshots
        assert isinstance(snapshots, Snapshots)
        return snapshots

    async def input_digests(self, vertex: Step, sources: tuple[str, ...]) -> tuple[str, ...]:
        """Return the digest of the content of every source of a step, in order.

        Raises:
            InvalidParameter: a path that is not there.
        """
        if isinstance(vertex, CopyFiles):
            excludes = _regexes(vertex.exclude)
            digesting = [
                run_to_end(
                    digest_files,
                    self._tree(name),
                    (source.pattern,),
                    exclude_regexes=excludes,
                    keeps_parents=vertex.parents,
                    skip_parents=source.skip,
                    keyword=_keyword(vertex),
                )
                for name, source in zip(sources, vertex.sources, strict=True)
            ]
        elif isinstance(vertex, RunCommand) and vertex.mounts:
            mounts = [m for m in vertex.mounts if m.origin is not None]
            digesting = [
                run_to_end(digest_files, self._tree(name), (mount.source.strip("/"),))
                for name, mount in zip(sources, mounts, strict=True)
                if mount.kind == "bind"
            ]
        else:
            return ()
        return tuple(await asyncio.gather(*digesting))

    def _tree(self, name: str) -> Tree:
        return Tree.of_snapshot(self.snapshots, name)

    async def perform(
        self, vertex: Step, base_chain_id: str, sources: tuple[str, ...], log: VertexLog
    ) -> tuple[Layer | None, str, int]:
        """Do a step.

        Returns:
            The layer (None if nothing changed), the result's chain id, the layer's unpacked size.

        Raises:
            InvalidParameter: the command failed, or a source or user is missing.
        """
        key = f"{WORKING_PREFIX}{uuid.uuid4().hex}"
        await run_to_end(self.snapshots.prepare, key, base_chain_id or None)
        try:
            if isinstance(vertex, RunCommand):
                await self._commands.run(vertex, key, sources, log)
            else:
                await run_to_end(self._change, vertex, key, sources)
            return await run_to_end(self._commit, key, base_chain_id, vertex.epoch)
        finally:
            if key in self.snapshots:
                await run_to_end(self.snapshots.remove, key)

    def _change(
        self, vertex: CopyFiles | MakeDirectory, key: str, sources: tuple[str, ...]
    ) -> None:
        destination = Tree.stopped(self.snapshots, key)
        if isinstance(vertex, MakeDirectory):
            make_directory(destination, vertex.path, owner=vertex.owner, epoch=vertex.epoch)
            return
        for name, source in zip(sources, vertex.sources, strict=True):
            request = CopyRequest(
                patterns=(source.pattern,),
                destination=vertex.destination,
                owner=vertex.owner,
                mode=vertex.mode,
                unpack=vertex.unpack,
                keeps_parents=vertex.parents,
                skip_parents=source.skip,
                exclude_regexes=_regexes(vertex.exclude),
                epoch=vertex.epoch,
                keyword=_keyword(vertex),
            )
            shared = self._shared(name, key)
            copy_files(destination, self._tree(name), request, shared=shared)

    def _shared(self, origin: str, key: str) -> SharedFiles | None:
        """Return where a copy may link: what the build made for itself is never written to."""
        if not origin or self.snapshots.stat(origin).kind is not Kind.ACTIVE:
            return None
        return SharedFiles(self.snapshots.directory(origin), self.snapshots.directory(key))

    def _commit(
        self, key: str, base_chain_id: str, epoch: int | None
    ) -> tuple[Layer | None, str, int]:
        with os.scandir(self.snapshots.directory(key)) as entries:
            is_empty = next(entries, None) is None
        if is_empty:
            return None, base_chain_id, 0
        layer = self._write_layer(key, epoch)
        chain_id = next_chain_id(base_chain_id, layer.diff_id)
        size = self.snapshots.usage(key).size_bytes
        self._pin((chain_id,))
        with _commit_lock:
            if chain_id not in self.snapshots:
                self.snapshots.commit(chain_id, key)
        return layer, chain_id, size

    def _write_layer(self, key: str, epoch: int | None) -> Layer:
        with (
            diff_layer(self.snapshots, key, latest_mtime=epoch) as stream,
            LayerBlobWriter(self._store.content, is_compressed=False, is_read_soon=False) as writer,
        ):
            while chunk := os.read(stream.fd, _READ_BYTES):
                writer.write(chunk)
            stream.finish()
            descriptor, diff_id = writer.commit()
        return Layer(descriptor, diff_id)

    def size_bytes(self, chain_id: str) -> int:
        """Return what a layer takes where it is unpacked."""
        return int(self.snapshots.usage(chain_id).size_bytes)

    def stacked(self, base_chain_id: str, layer: Layer) -> str | None:
        """Return the chain id of a layer on a file system if it is unpacked there."""
        chain_id = next_chain_id(base_chain_id, layer.diff_id)
        self._pin((chain_id,))
        return chain_id if chain_id in self.snapshots else None

    def stack(self, base_chain_id: str, layer: Layer) -> str:
        """Unpack a layer on a file system where it is not yet, and return its chain id.

        That is so for a linked copy, which was made on nothing.

        Raises:
            BadLayer: the blob is not what its diff id says.
        """
        chain_id = next_chain_id(base_chain_id, layer.diff_id)
        self._pin((chain_id,))
        fd = self._store.content.open_fd(layer.descriptor.digest)
        try:
            unpacked = self.snapshots.unpack(fd, diff_id=str(layer.diff_id))
        finally:
            os.close(fd)
        self.snapshots.adopt([(unpacked, chain_id, base_chain_id or None)])
        return chain_id


_commit_lock = threading.Lock()
"""Guards the test and the commit of one chain id: two builds may make the same layer."""


def next_chain_id(base_chain_id: str, diff_id: Digest) -> str:
    """Return the chain id of a layer on a file system.

    Source: image-spec config.md, "Layer ChainID".
    """
    if not base_chain_id:
        return str(chain_ids((diff_id,))[0])
    return str(digest_of(f"{base_chain_id} {diff_id}".encode()))


def _keyword(vertex: CopyFiles) -> str:
    return "ADD" if vertex.unpack else "COPY"


def _regexes(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Return what --exclude names as ``CopyRequest`` says it, with a ``!`` before exceptions."""
    regexes = []
    for pattern in patterns:
        glob = pattern.removeprefix("!")
        regex = f"(?:{compile_glob(glob.strip('/')).pattern})"
        regexes.append(regex if glob == pattern else f"!{regex}")
    return tuple(regexes)
