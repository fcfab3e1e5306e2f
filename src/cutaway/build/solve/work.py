"""Doing one step: a snapshot is prepared, changed, and committed as a layer or thrown away."""

import asyncio
import hashlib
import os
import threading
import uuid

from cutaway.build.dockerfile.dockerignore import compile_glob
from cutaway.build.errors import BuildError
from cutaway.build.graph import CopyFiles, MakeDirectory, MountSpec, RunCommand
from cutaway.build.solve.cache import Layer
from cutaway.build.solve.executor import ExecMount, Execution, Executor
from cutaway.build.solve.progress import VertexLog
from cutaway.images.layer_blob import LayerBlobWriter
from cutaway.images.snapshots import Snapshots
from cutaway.images.store import ImageStore
from cutaway.images.trees.copying import CopyRequest, copy_files, digest_files, make_directory
from cutaway.images.trees.tree import Tree, diff_layer
from cutaway.oci import Digest
from cutaway.oci.hashing import chain_ids, digest_of

WORKING_PREFIX = "build-"  # of the keys of snapshots that live only while a build does
_READ_BYTES = 1 << 20

Step = CopyFiles | MakeDirectory | RunCommand


class StepWork:
    """Does steps; what it makes is committed or removed before ``perform`` returns."""

    def __init__(
        self,
        store: ImageStore,
        executor: Executor,
        *,
        limits: dict[str, object],
        extra_hosts: tuple[str, ...],
        secrets: dict[str, bytes],
        allow_insecure: bool,
    ) -> None:
        self._store = store
        self._executor = executor
        self._limits = limits
        self._extra_hosts = extra_hosts
        self._secrets = secrets
        self._allow_insecure = allow_insecure
        self._locks: dict[str, asyncio.Lock] = {}

    @property
    def snapshots(self) -> Snapshots:
        """Where file systems are."""
        snapshots = self._store.snapshots
        assert isinstance(snapshots, Snapshots)
        return snapshots

    async def input_digests(self, vertex: Step, sources: tuple[str, ...]) -> tuple[str, ...]:
        """Return the digest of the content of every source of a step, in order.

        Raises:
            BuildError: a path that is not there.
        """
        if isinstance(vertex, CopyFiles):
            excludes = _regexes(vertex.exclude)
            wanted = [
                (source, (copy.pattern,), excludes, vertex.parents)
                for source, copy in zip(sources, vertex.sources, strict=True)
            ]
        elif isinstance(vertex, RunCommand):
            mounts = [m for m in vertex.mounts if m.origin is not None]
            wanted = [
                (source, (mount.source.strip("/"),), (), False)
                for source, mount in zip(sources, mounts, strict=True)
                if mount.kind == "bind"
            ]
        else:
            return ()
        keyword = "ADD" if isinstance(vertex, CopyFiles) and vertex.unpack else "COPY"
        return tuple(
            await asyncio.gather(
                *(
                    asyncio.to_thread(
                        digest_files,
                        self._tree(source),
                        patterns,
                        exclude_regexes=regexes,
                        keeps_parents=parents,
                        keyword=keyword,
                    )
                    for source, patterns, regexes, parents in wanted
                )
            )
        )

    def _tree(self, name: str) -> Tree:
        return Tree.of_snapshot(self.snapshots, name)

    async def perform(
        self, vertex: Step, base_chain_id: str, sources: tuple[str, ...], log: VertexLog
    ) -> tuple[Layer | None, str, int]:
        """Do a step.

        Returns:
            The layer (None if nothing changed), the result's chain id, the layer's unpacked size.

        Raises:
            BuildError: the command failed, or a source or user is missing.
        """
        key = f"{WORKING_PREFIX}{uuid.uuid4().hex}"
        await asyncio.to_thread(self.snapshots.prepare, key, base_chain_id or None)
        try:
            if isinstance(vertex, RunCommand):
                await self._run(vertex, key, sources, log)
            else:
                await asyncio.to_thread(self._change, vertex, key, sources)
            epoch = vertex.epoch
            return await asyncio.to_thread(self._commit, key, base_chain_id, epoch)
        finally:
            if key in self.snapshots:
                await asyncio.to_thread(self.snapshots.remove, key)

    def _change(
        self, vertex: CopyFiles | MakeDirectory, key: str, sources: tuple[str, ...]
    ) -> None:
        destination = Tree.stopped(self.snapshots, key)
        if isinstance(vertex, MakeDirectory):
            make_directory(destination, vertex.path, epoch=vertex.epoch)
            return
        for name, source in zip(sources, vertex.sources, strict=True):
            request = CopyRequest(
                patterns=(source.pattern,),
                destination=vertex.destination,
                owner=vertex.owner,
                mode=vertex.mode,
                unpack=vertex.unpack,
                keeps_parents=vertex.parents,
                exclude_regexes=_regexes(vertex.exclude),
                epoch=vertex.epoch,
                keyword="ADD" if vertex.unpack else "COPY",
            )
            copy_files(destination, self._tree(name), request)

    async def _run(
        self, vertex: RunCommand, key: str, sources: tuple[str, ...], log: VertexLog
    ) -> None:
        if vertex.security == "insecure" and not self._allow_insecure:
            raise BuildError(
                "security.insecure is not allowed: build with --allow security.insecure"
            )
        origins = dict(zip((id(m) for m in vertex.mounts if m.origin is not None), sources,
                           strict=True))  # fmt: skip
        locks = [
            self._lock(m) for m in vertex.mounts if m.kind == "cache" and m.sharing == "locked"
        ]
        views: list[str] = []
        env = [*vertex.env, *vertex.hidden_env]
        try:
            for lock in locks:
                await lock.acquire()
            mounts = []
            for mount in vertex.mounts:
                resolved = self._mount(mount, origins.get(id(mount)), views, env)
                if resolved is not None:
                    mounts.append(resolved)
            execution = Execution(
                snapshot_key=key,
                args=vertex.args,
                env=tuple(env),
                cwd=vertex.cwd,
                user=vertex.user,
                mounts=tuple(mounts),
                network=vertex.network,
                is_privileged=vertex.security == "insecure",
                extra_hosts=self._extra_hosts,
                limits=self._limits,
            )
            code = await self._executor.run(execution, started=log.run_in, output=log.write)
        finally:
            for lock in locks:
                if lock.locked():
                    lock.release()
            for view in views:
                self.snapshots.remove(view)
        if code:
            command = " ".join(vertex.args)
            raise BuildError(f"The command '{command}' returned a non-zero code: {code}", code=code)

    def _lock(self, mount: MountSpec) -> asyncio.Lock:
        return self._locks.setdefault(mount.identifier, asyncio.Lock())

    def _mount(
        self, mount: MountSpec, origin: str | None, views: list[str], env: list[str]
    ) -> ExecMount | None:
        if mount.kind == "tmpfs":
            return ExecMount("tmpfs", mount.target, size_bytes=mount.size_bytes)
        if mount.kind == "secret":
            return self._secret(mount, env)
        if mount.kind == "ssh":
            if mount.required:
                raise BuildError("no SSH agent was forwarded: build with --ssh default")
            return None
        if mount.kind == "cache":
            return ExecMount(
                "cache",
                mount.target,
                directory=self._cache_directory(mount),
                source=mount.source.strip("/"),
                read_only=mount.read_only,
                mode=0o755 if mount.mode is None else mount.mode,
                uid=mount.uid or 0,
                gid=mount.gid or 0,
            )
        key = f"{WORKING_PREFIX}view-{uuid.uuid4().hex}"
        prepare = self.snapshots.view if mount.read_only else self.snapshots.prepare
        if origin and self.snapshots.stat(origin).kind == "committed":
            tree = prepare(key, origin)
            views.append(key)
        elif origin:
            tree = self.snapshots.mounts(origin)
        else:
            tree = self.snapshots.prepare(key, None)
            views.append(key)
        return ExecMount(
            "bind",
            mount.target,
            tree=tree,
            source=mount.source.strip("/"),
            read_only=mount.read_only,
        )

    def _secret(self, mount: MountSpec, env: list[str]) -> ExecMount | None:
        identity = mount.identifier or mount.source or mount.target.rpartition("/")[2]
        content = self._secrets.get(identity)
        if content is None:
            if mount.required:
                raise BuildError(
                    f"secret {identity}: not found: build with --secret id={identity},…"
                )
            return None
        if mount.env:
            env.append(f"{mount.env}={content.decode('utf-8', 'surrogateescape')}")
        if not mount.target:
            return None
        return ExecMount(
            "file",
            mount.target,
            content=content,
            read_only=True,
            mode=0o400 if mount.mode is None else mount.mode,
            uid=mount.uid or 0,
            gid=mount.gid or 0,
        )

    def _cache_directory(self, mount: MountSpec) -> str:
        # The id is hashed: it can be any text and never a path (CVE-2024-23651's class).
        name = hashlib.sha256(mount.identifier.encode()).hexdigest()
        root = os.path.join(os.path.dirname(self.snapshots.root), "build-cache-mounts")
        if mount.sharing == "private":
            name = f"{name}-{uuid.uuid4().hex}"
        path = os.path.join(root, name)
        os.makedirs(path, mode=0o700, exist_ok=True)
        return path

    def _commit(
        self, key: str, base_chain_id: str, epoch: int | None
    ) -> tuple[Layer | None, str, int]:
        with os.scandir(self.snapshots.directory(key)) as entries:
            is_empty = next(entries, None) is None
        if is_empty:
            return None, base_chain_id, 0
        layer = self._write_layer(key, epoch)
        chain_id = str(_next_chain_id(base_chain_id, layer.diff_id))
        size = self.snapshots.usage(key).size_bytes
        with _commit_lock:
            if chain_id not in self.snapshots:
                self.snapshots.commit(chain_id, key)
        return layer, chain_id, size

    def _write_layer(self, key: str, epoch: int | None) -> Layer:
        with (
            diff_layer(self.snapshots, key, latest_mtime=epoch) as stream,
            LayerBlobWriter(self._store.content) as writer,
        ):
            while chunk := os.read(stream.fd, _READ_BYTES):
                writer.write(chunk)
            stream.finish()
            descriptor, diff_id = writer.commit()
        return Layer(descriptor, diff_id)


_commit_lock = threading.Lock()
"""Guards the test and the commit of one chain id: two builds may make the same layer."""


def _next_chain_id(base_chain_id: str, diff_id: Digest) -> Digest:
    """Source: image-spec config.md, "Layer ChainID"."""
    if not base_chain_id:
        return chain_ids((diff_id,))[0]
    return digest_of(f"{base_chain_id} {diff_id}".encode())


def _regexes(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(compile_glob(pattern.strip("/")).pattern for pattern in patterns)
