"""Vertices to file systems: each done at most once, as soon as its inputs are there.

Guarantees:
1. A vertex nobody asked for is never touched.
2. Two vertices of a build with the same cache key are done once.
3. A result is a chain of committed snapshots whose layers are in the content store; nothing else
   of a step is kept, whether it succeeds, fails or is cancelled.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from cutaway.build.graph import (
    BaseImage,
    CopyFiles,
    MakeDirectory,
    RunCommand,
    Scratch,
    Vertex,
)
from cutaway.build.solve.blocking import run_to_end
from cutaway.build.solve.cache import (
    CacheRecord,
    CacheStore,
    Layer,
    StepKey,
    explain_miss,
    step_key,
)
from cutaway.build.solve.claims import Claims
from cutaway.build.solve.origins import Origin, OriginStore
from cutaway.build.solve.progress import VertexLog, VertexState
from cutaway.build.solve.work import Step, StepWork
from cutaway.errors import CutawayError
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
        trusted_chains: only results that are among these hit (``--cache-from`` of images); None
            trusts all that was built here.
        claims: caches of elsewhere that this build names, asked when nothing was done here.
        explain: say of a miss what is different from the last time.
        describe: names a vertex for cache records.
    """

    use_cache: bool = True
    trusted_chains: frozenset[str] | None = None
    claims: tuple[Claims, ...] = ()
    explain: bool = False
    describe: Callable[[Vertex], str]


class Solver:
    """Solves the vertices of one build.

    Args:
        store: images, whose content and snapshots take the results.
        cache: records of earlier steps.
        origins: what is copied from.
        work: does steps.
        options: see ``SolverOptions``.
    """

    def __init__(
        self,
        store: ImageStore,
        cache: CacheStore,
        origins: OriginStore,
        work: StepWork,
        *,
        options: SolverOptions,
    ) -> None:
        self._store = store
        self._cache = cache
        self._origins = origins
        self._work = work
        self._options = options
        self._tasks: dict[int, asyncio.Task[Result]] = {}
        self._by_key: dict[str, asyncio.Task[CacheRecord]] = {}
        self._logs: dict[int, VertexLog] = {}
        self._vertices: list[Vertex] = []
        self._hits: dict[str, CacheRecord] = {}
        self._records: dict[int, CacheRecord] = {}

    def log(self, vertex: Vertex) -> VertexLog:
        """Return a vertex's log, also before it is worked on."""
        return self._logs.setdefault(id(vertex), VertexLog())

    def record(self, vertex: Vertex) -> CacheRecord | None:
        """Return the cache record of a step that has been solved."""
        return self._records.get(id(vertex))

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

    async def _step(self, vertex: Step, log: VertexLog) -> Result:
        base, sources = await self._inputs(vertex)
        log.start()
        digests = await self._work.input_digests(vertex, sources)
        key = step_key(vertex, "" if is_linked(vertex) else base.chain_id, digests)
        found = await self._find(key, base, vertex, log)
        if found is not None:
            log.has_layer = len(found.layers) > len(base.layers)
            log.chain_id = found.chain_id
            log.end(VertexState.CACHED)
            return found
        running = self._by_key.get(key.digest)
        if running is None:
            running = self._by_key[key.digest] = asyncio.create_task(
                self._perform(vertex, sources, key, log)
            )
        record = await asyncio.shield(running) if not running.done() else running.result()
        self._records[id(vertex)] = record
        log.has_layer = record.layer is not None
        result = await self._on_top(base, record.layer)
        log.chain_id = result.chain_id
        log.end(VertexState.DONE)
        return result

    async def _inputs(self, vertex: Step) -> tuple[Result, tuple[str, ...]]:
        """Solve the base and the sources at the same time; sources become snapshot names."""
        origins: list[Vertex] = []
        if isinstance(vertex, CopyFiles):
            origins = [source.origin for source in vertex.sources]
        elif isinstance(vertex, RunCommand):
            origins = [m.origin for m in vertex.mounts if m.origin is not None]
        if not origins:
            return await self.solve(vertex.base), ()
        sources = asyncio.gather(*(self._source(origin) for origin in origins))
        base, names = await asyncio.gather(self.solve(vertex.base), sources)
        return base, tuple(names)

    async def _source(self, origin: Vertex) -> str:
        if isinstance(origin, Scratch | BaseImage | CopyFiles | MakeDirectory | RunCommand):
            return (await self.solve(origin)).chain_id
        plain: Origin = origin
        return await self._origins.key_of(plain)

    async def _find(
        self, key: StepKey, base: Result, vertex: Vertex, log: VertexLog
    ) -> Result | None:
        """Look a step up in the cache; the log gets the reason why it hit or missed."""
        options = self._options
        if not options.use_cache:
            log.reason = "the cache is not used (--no-cache)"
            return None
        record = self._cache.find(key.digest)
        obstacle = self._obstacle(record)
        if record is not None and not obstacle:
            log.reason = "the same definition and inputs: built here before"
            self._hit(vertex, record)
            return await self._on_top(base, record.layer)
        claimed = await self._claimed(key, base, vertex, log)
        if claimed is None and not log.reason:
            log.reason = obstacle
            if options.explain and not obstacle:
                description = options.describe(vertex)
                log.reason = explain_miss(key, description, self._cache.records())
        return claimed

    def _obstacle(self, record: CacheRecord | None) -> str:
        """Say why a record of this engine must not hit; empty if it may."""
        if record is None:
            return ""
        if record.layer is not None and record.layer.descriptor.digest not in self._store.content:
            return "its layer is no longer on this machine"
        trusted = self._options.trusted_chains
        if trusted is not None and record.chain_id not in trusted:
            return "no image of --cache-from has the result of this step"
        return ""

    def _hit(self, vertex: Vertex, record: CacheRecord) -> None:
        self._records[id(vertex)] = self._hits[record.key] = record.used(int(time.time()))

    async def _claimed(
        self, key: StepKey, base: Result, vertex: Vertex, log: VertexLog
    ) -> Result | None:
        """Take a step's layer from a cache of elsewhere, if it is what the claim says."""
        for claims in self._options.claims:
            record = claims.find(key)
            if record is None:
                continue
            try:
                await run_to_end(claims.fetch, record)
                result = await self._on_top(base, record.layer)
            except CutawayError as error:
                log.reason = f"{claims.origin} claims to have it, but: {error}"
                continue
            log.reason = f"done elsewhere, says {claims.origin}"
            size = self._work.size_bytes(result.chain_id) if record.layer else 0
            record = replace(record, chain_id=result.chain_id, size_bytes=size)
            self._hit(vertex, record)
            return result
        return None

    async def _on_top(self, base: Result, layer: Layer | None) -> Result:
        if layer is None:
            return base
        chain_id = self._work.stacked(base.chain_id, layer)
        if chain_id is None:
            chain_id = await run_to_end(self._work.stack, base.chain_id, layer)
        return Result(chain_id, (*base.layers, layer))

    async def _perform(
        self, vertex: Step, sources: tuple[str, ...], key: StepKey, log: VertexLog
    ) -> CacheRecord:
        layer, chain_id, size = await self._work.perform(vertex, key.base_chain_id, sources, log)
        now = int(time.time())
        record = CacheRecord(
            key=key.digest,
            parts=key,
            chain_id=chain_id,
            layer=layer,
            description=self._options.describe(vertex),
            size_bytes=size,
            created_s=now,
            last_used_s=now,
        )
        self._cache.put(record)
        return record

    def remember_uses(self) -> None:
        """Count one use of every record that hit; called once, when the build has succeeded."""
        for record in self._hits.values():
            self._cache.put(record)


def is_linked(vertex: Vertex) -> bool:
    """Tell whether a copy is made as a layer of its own, whatever is below it.

    A user's or group's name has to be looked up below, so such a copy is not.
    """
    if not isinstance(vertex, CopyFiles) or not vertex.link:
        return False
    return all(part.isdecimal() for part in vertex.owner.split(":") if part)
