"""Vertices to file systems: each done at most once, as soon as its inputs are there.

Guarantees:
1. A vertex nobody asked for is never touched.
2. Two vertices with the same cache key are done once, also in builds at the same time.
3. A result is a chain of committed snapshots whose layers are in the content store; nothing else
   of a step is kept, whether it succeeds, fails or is cancelled.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from cutaway.build.graph import (
    BaseImage,
    CopyFiles,
    MakeDirectory,
    RunCommand,
    Scratch,
    Vertex,
)
from cutaway.build.solve.cache import CacheRecord, CacheStore, Layer, cache_key
from cutaway.build.solve.executor import Executor
from cutaway.build.solve.origins import Origin, OriginStore
from cutaway.build.solve.progress import VertexLog, VertexState
from cutaway.build.solve.work import StepWork
from cutaway.images.store import ImageStore


@dataclass(frozen=True, slots=True)
class Result:
    """A file system.

    Attributes:
        chain_id: its snapshot; empty for the empty one.
        layers: lowest first.
    """

    chain_id: str = ""
    layers: tuple[Layer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SolverOptions:
    """How a build is done.

    Attributes:
        use_cache: False for ``--no-cache``; results are still remembered.
        limits: HostConfig's resource fields for commands.
        extra_hosts: for commands.
        secrets: content by id.
        allow_insecure: RUN --security=insecure is allowed.
        describe: names a vertex for cache records.
    """

    use_cache: bool = True
    limits: dict[str, object]
    extra_hosts: tuple[str, ...] = ()
    secrets: dict[str, bytes]
    allow_insecure: bool = False
    describe: Callable[[Vertex], str]


class Solver:
    """Solves the vertices of one build.

    Args:
        store: images, whose content and snapshots take the results.
        cache: records of earlier steps.
        executor: runs commands.
        origins: what is copied from.
        options: see ``SolverOptions``.
    """

    def __init__(
        self,
        store: ImageStore,
        cache: CacheStore,
        executor: Executor,
        origins: OriginStore,
        *,
        options: SolverOptions,
    ) -> None:
        self._store = store
        self._cache = cache
        self._origins = origins
        self._options = options
        self._work = StepWork(
            store,
            executor,
            limits=options.limits,
            extra_hosts=options.extra_hosts,
            secrets=options.secrets,
            allow_insecure=options.allow_insecure,
        )
        self._tasks: dict[int, asyncio.Task[Result]] = {}
        self._by_key: dict[str, asyncio.Task[Result]] = {}
        self._logs: dict[int, VertexLog] = {}
        self._vertices: list[Vertex] = []

    def log(self, vertex: Vertex) -> VertexLog:
        """Return a vertex's log, also before it is worked on."""
        return self._logs.setdefault(id(vertex), VertexLog())

    def solve(self, vertex: Vertex) -> "asyncio.Task[Result]":
        """Return the task that gives a vertex's result; the same one for every call.

        Raises (from the task):
            BuildError: a step failed.
        """
        task = self._tasks.get(id(vertex))
        if task is None:
            self._vertices.append(vertex)  # keeps id() unique for the build's time
            task = self._tasks[id(vertex)] = asyncio.create_task(self._solve(vertex))
        return task

    async def cancel(self) -> None:
        """Stop everything under way and wait for its clean-up."""
        tasks = [*self._tasks.values(), *self._by_key.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _solve(self, vertex: Vertex) -> Result:
        if isinstance(vertex, Scratch):
            return Result()
        if isinstance(vertex, BaseImage):
            return await asyncio.to_thread(self._base, vertex)
        if not isinstance(vertex, CopyFiles | MakeDirectory | RunCommand):
            raise TypeError(f"{type(vertex).__name__} is copied from, not built on")
        log = self.log(vertex)
        try:
            return await self._step(vertex, log)
        except BaseException as error:
            if not log.is_ended:
                failure = error if isinstance(error, Exception) else None
                log.end(VertexState.FAILED, error=failure)
            raise

    def _base(self, vertex: BaseImage) -> Result:
        image = self._store.resolve(vertex.image_id)
        manifest = self._store.read_manifest(image)
        diff_ids = image.config.rootfs.diff_ids
        layers = zip(manifest.layers, diff_ids, strict=True)
        return Result(vertex.chain_id, tuple(Layer(blob, diff_id) for blob, diff_id in layers))

    async def _step(self, vertex: CopyFiles | MakeDirectory | RunCommand, log: VertexLog) -> Result:
        base, sources = await self._inputs(vertex)
        digests = await self._work.input_digests(vertex, sources)
        key = cache_key(vertex, base.chain_id, digests)
        log.start()
        found = await asyncio.to_thread(self._find, key, base, log)
        if found is not None:
            log.chain_id = found.chain_id
            log.end(VertexState.CACHED)
            return found
        running = self._by_key.get(key)
        if running is None:
            running = self._by_key[key] = asyncio.create_task(
                self._perform(vertex, base, sources, key=key, log=log)
            )
        result = await asyncio.shield(running) if not running.done() else running.result()
        log.chain_id = result.chain_id
        log.end(VertexState.DONE)
        return result

    async def _inputs(
        self, vertex: CopyFiles | MakeDirectory | RunCommand
    ) -> tuple[Result, tuple[str, ...]]:
        """Solve the base and the sources at the same time; sources become snapshot names."""
        origins: list[Vertex] = []
        if isinstance(vertex, CopyFiles):
            origins = [source.origin for source in vertex.sources]
        elif isinstance(vertex, RunCommand):
            origins = [m.origin for m in vertex.mounts if m.origin is not None]
        sources = asyncio.gather(*(self._source(origin) for origin in origins))
        base, names = await asyncio.gather(self.solve(vertex.base), sources)
        return base, tuple(names)

    async def _source(self, origin: Vertex) -> str:
        if isinstance(origin, Scratch | BaseImage | CopyFiles | MakeDirectory | RunCommand):
            return (await self.solve(origin)).chain_id
        plain: Origin = origin
        return await self._origins.key_of(plain)

    def _find(self, key: str, base: Result, log: VertexLog) -> Result | None:
        if not self._options.use_cache:
            log.reason = "the cache is not used (--no-cache)"
            return None
        record = self._cache.find(key)
        if record is None:
            log.reason = "no earlier step had this definition and these inputs"
            return None
        is_whole = record.layer is None or (
            record.layer.descriptor.digest in self._store.content
            and (not record.chain_id or record.chain_id in self._work.snapshots)
        )
        if not is_whole:
            log.reason = "its layer is no longer on this machine"
            return None
        self._cache.touch(key, int(time.time()))
        log.reason = "the same definition and inputs as before"
        if record.layer is None:
            return base
        return Result(record.chain_id, (*base.layers, record.layer))

    async def _perform(
        self,
        vertex: CopyFiles | MakeDirectory | RunCommand,
        base: Result,
        sources: tuple[str, ...],
        *,
        key: str,
        log: VertexLog,
    ) -> Result:
        layer, chain_id, size = await self._work.perform(vertex, base.chain_id, sources, log)
        now = int(time.time())
        record = CacheRecord(
            key=key,
            base_chain_id=base.chain_id,
            chain_id=chain_id,
            layer=layer,
            description=self._options.describe(vertex),
            size_bytes=size,
            created_s=now,
            last_used_s=now,
            use_count=0,
        )
        await asyncio.to_thread(self._cache.put, record)
        if layer is None:
            return base
        return Result(chain_id, (*base.layers, layer))
