"""A whole build: a Dockerfile and a context in, an image and its story out."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from cutaway.build.classic import tell_steps
from cutaway.build.dockerfile.frontend import (
    BuildOptions,
    BuildStep,
    ImageKey,
    ResolvedImage,
    StagePlan,
    evaluate,
    images_needed,
    images_of_triggers,
    missing_image,
    read_stages,
    unused_args,
)
from cutaway.build.dockerfile.parser import parse_dockerfile
from cutaway.build.dockerfile.stages import Stage, StageList
from cutaway.build.errors import Place, placed
from cutaway.build.graph import BaseImage, CopyFiles, MakeDirectory, RunCommand, Vertex
from cutaway.build.image_config import image_config, image_key, lineage
from cutaway.build.messages import Message, failure, stream
from cutaway.build.settings_cache import SettingsCache
from cutaway.build.solve.blocking import run_to_end
from cutaway.build.solve.cache import CacheRecord, CacheStore, Layer
from cutaway.build.solve.cache_mounts import CacheMounts
from cutaway.build.solve.claims import Claims
from cutaway.build.solve.command import CommandRunner, CommandSettings
from cutaway.build.solve.executor import Executor
from cutaway.build.solve.origins import OriginStore
from cutaway.build.solve.solver import Result, Solver, SolverOptions
from cutaway.build.solve.work import Pin, StepWork
from cutaway.build.story import tell_story
from cutaway.errors import CutawayError, NotFound
from cutaway.images.assemble import assemble_image
from cutaway.images.image import Image
from cutaway.images.snapshots import Snapshots
from cutaway.images.store import ImageStore
from cutaway.oci import Digest, ImageConfig, Platform, Reference

_HELD_MESSAGES = 1000
"""How much a quiet build remembers, to be told when it fails."""
Tell = Callable[[Message], None]
Resolve = Callable[[str, Platform, Tell], Awaitable[Image]]
"""Finds an image by name and platform, pulling it if need be and telling the pull's progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildJob:
    """One build as asked for.

    Attributes:
        dockerfile: its text.
        file: its name, for errors.
        options: target, arguments, labels, platform.
        tags: of the result.
        use_cache: False for ``--no-cache``.
        trusted_chains, claims: see ``SolverOptions``.
        tells_records: the last words name the cache records of the image's own steps (``min``)
            and of all that were needed (``max``), for a cache to be exported.
        quiet: only the result's id.
        explain: say why the cache hit or missed.
        as_story: tell steps as they happen instead of in the classic builder's words.
        squash: one layer on top of the base image.
        commands: what commands may use.
    """

    dockerfile: str
    file: str = "Dockerfile"
    options: BuildOptions
    tags: tuple[Reference, ...] = ()
    use_cache: bool = True
    trusted_chains: frozenset[str] | None = None
    claims: tuple[Claims, ...] = ()
    tells_records: bool = False
    quiet: bool = False
    explain: bool = False
    as_story: bool = False
    squash: bool = False
    commands: CommandSettings = field(default_factory=CommandSettings)


@dataclass(frozen=True, slots=True)
class Builder:
    """What builds need of their engine.

    Attributes:
        store, snapshots: take the results.
        cache: remembers steps.
        cache_mounts: directories of ``RUN --mount=type=cache``.
        executor: runs commands.
        resolve: finds base images.
        squash: makes one layer of several, given (base's layers, all layers).
    """

    store: ImageStore
    snapshots: Snapshots
    cache: CacheStore
    cache_mounts: CacheMounts
    executor: Executor
    resolve: Resolve
    squash: Callable[[tuple[Layer, ...], tuple[Layer, ...]], Layer]

    async def build(self, job: BuildJob, origins: OriginStore) -> AsyncIterator[Message]:
        """Build, telling the story; a failure on the way is its last message.

        Args:
            job: what to build.
            origins: holds the client's context; closed by the caller.

        Raises:
            DockerfileError, BuildError: nothing has begun: the Dockerfile can't be understood.
        """
        parsed = parse_dockerfile(job.dockerfile, job.file)
        stages = read_stages(parsed, job.options)
        for warning in parsed.warnings:
            yield stream(f"[Warning] {warning}\n")
        try:
            with self.store.lease() as pin:
                told: asyncio.Queue[Message | None] = asyncio.Queue()
                planning = asyncio.create_task(self._plan(job, stages, told.put_nowait))
                planning.add_done_callback(lambda _: told.put_nowait(None))
                try:
                    while (pulled := await told.get()) is not None:
                        yield pulled
                    plans = await planning
                finally:
                    planning.cancel()
                pin(plan.base.chain_id for plan in plans if plan.base and plan.base.chain_id)
                async for message in _Run(self, job, plans, pin).tell(origins):
                    yield message
            unused = unused_args(job.options, parsed)
            if unused:
                names = " ".join(unused)
                yield stream(f"[Warning] One or more build-args [{names}] were not consumed\n")
        except CutawayError as error:
            yield failure(error, getattr(error, "code", 0))

    async def _plan(
        self, job: BuildJob, read: tuple[StageList, tuple[Stage, ...]], tell: Tell
    ) -> tuple[StagePlan, ...]:
        stages, needed = read
        images: dict[ImageKey, ResolvedImage] = {}
        wanted: dict[ImageKey, Place | None] = {**images_needed(stages, needed)}

        async def resolve(key: ImageKey, place: Place | None) -> ResolvedImage:
            name, platform = key
            wanted = Platform.parse(platform) if platform else job.options.platform
            try:
                image = await self.resolve(name, wanted, _telling_pull(job, name, tell))
            except CutawayError as error:
                raise missing_image(stages, key, place, error) from None
            return ResolvedImage(str(image.id), str(image.chain_id or ""), image.config)

        while wanted:
            resolved = await asyncio.gather(*(resolve(*item) for item in wanted.items()))
            images.update(zip(wanted, resolved, strict=True))
            triggers = [key for image in resolved for key in images_of_triggers(stages, image)]
            wanted = dict.fromkeys(key for key in triggers if key not in images)
        return evaluate(stages, needed, images, job.options)


def _telling_pull(job: BuildJob, name: str, tell: Tell) -> Tell:
    """Return what passes a pull's progress on: as it is, or as part of a story."""
    if job.quiet:
        return lambda _: None
    if not job.as_story:
        return tell
    return lambda message: tell({"status": "pull", "id": name, "aux": message})


class _Run:
    """One build whose plans are made: solved, told, and made an image."""

    def __init__(
        self, builder: Builder, job: BuildJob, plans: tuple[StagePlan, ...], pin: Pin
    ) -> None:
        self._builder = builder
        self._job = job
        self._plans = plans
        self._target = plans[-1]
        commands = CommandRunner(
            builder.snapshots, builder.executor, builder.cache_mounts, job.commands
        )
        self._work = StepWork(builder.store, commands, pin)

    def _solver(self, origins: OriginStore) -> Solver:
        job = self._job
        options = SolverOptions(
            use_cache=job.use_cache,
            trusted_chains=job.trusted_chains,
            claims=job.claims,
            explain=job.explain,
            describe=describe,
        )
        return Solver(
            self._builder.store, self._builder.cache, origins, self._work, options=options
        )

    async def tell(self, origins: OriginStore) -> AsyncIterator[Message]:
        """Solve and tell.

        Raises:
            CutawayError: a step failed.
        """
        solver = self._solver(origins)
        try:
            solving = solver.solve(self._target.last.vertex)
            held: deque[Message] = deque(maxlen=_HELD_MESSAGES)
            async for message in self._steps(solver):
                if self._job.quiet:
                    held.append(message)
                else:
                    yield message
            try:
                result = await solving
            except CutawayError as error:
                for message in held:
                    yield message
                raise placed(error, self._failed_place(solver)) from None
            made = [(step, await _has_layer(solver, step)) for step in lineage(self._plans)]
            image = await run_to_end(self._finish, result, made)
            solver.remember_uses()
            for message in self._last_words(image):
                yield message
            if self._job.tells_records:
                yield {"aux": {"CacheRecords": self._records(solver)}}
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await solver.cancel()

    def _steps(self, solver: Solver) -> AsyncIterator[Message]:
        job = self._job
        if job.as_story:
            return tell_story(solver, self._plans, job.dockerfile, explain=job.explain)
        settings = SettingsCache(
            self._builder.cache, use=job.use_cache, trusted_chains=job.trusted_chains
        )
        return tell_steps(solver, self._plans, settings, explain=job.explain)

    def _failed_place(self, solver: Solver) -> Place | None:
        failed = [
            (solver.log(step.vertex).ended_ns, step.place)
            for plan in self._plans
            for step in plan.steps
            if solver.log(step.vertex).error is not None
        ]
        return min(failed, key=lambda item: item[0])[1] if failed else None

    def _records(self, solver: Solver) -> dict[str, list[str]]:
        steps = [step for plan in self._plans for step in plan.steps]
        return {"min": _keys(solver, lineage(self._plans)), "max": _keys(solver, steps)}

    def _last_words(self, image: Image) -> list[Message]:
        words: list[Message] = [{"aux": {"ID": str(image.id)}}]
        if self._job.quiet:
            return [*words, stream(f"{image.id}\n")]
        words.append(stream(f"Successfully built {image.id.encoded[:12]}\n"))
        words += [stream(f"Successfully tagged {tag.familiar}\n") for tag in self._job.tags]
        return words

    def _finish(self, result: Result, made: list[tuple[BuildStep, bool]]) -> Image:
        builder, base = self._builder, self._target.base
        layers = result.layers
        base_count = len(base.config.rootfs.diff_ids) if base else 0
        if self._job.squash and len(layers) > base_count + 1:
            merged = builder.squash(layers[:base_count], layers)
            layers = (*layers[:base_count], merged)
            last = max(index for index, (_, has_layer) in enumerate(made) if has_layer)
            made = [(step, index == last) for index, (step, _) in enumerate(made)]
        config = image_config(self._job.options, self._target, layers, steps=made)
        return self._same_image(config) or self._new_image(config, layers)

    def _same_image(self, config: ImageConfig) -> Image | None:
        """Return the image that an earlier build made of the same steps, times apart, now tagged.

        A build whose every step is cached gives the image it gave before, id and all.
        """
        record = self._builder.cache.find(image_key(config)) if self._job.use_cache else None
        if record is None:
            return None
        try:
            image = self._builder.store.get(Digest.parse(record.description))
        except NotFound:
            return None
        for tag in self._job.tags:
            self._builder.store.tag(image.id, tag, by="build")
        return image

    def _new_image(self, config: ImageConfig, layers: tuple[Layer, ...]) -> Image:
        base = self._target.base
        image = assemble_image(
            self._builder.store,
            self._builder.snapshots,
            config,
            tuple(layer.descriptor for layer in layers),
            names=self._job.tags,
            parent=Digest.parse(base.image_id) if base else None,
            by="build",
        )
        now = int(time.time())
        self._builder.cache.put(
            CacheRecord(
                key=image_key(config), description=str(image.id), created_s=now, last_used_s=now
            )
        )
        return image


def _keys(solver: Solver, steps: Iterable[BuildStep]) -> list[str]:
    """Return the keys of the records that steps hit or made."""
    found = (solver.record(step.vertex) for step in steps)
    return sorted({record.key for record in found if record is not None})


async def _has_layer(solver: Solver, step: BuildStep) -> bool:
    vertex = step.vertex
    if not step.changes_files or not isinstance(vertex, CopyFiles | MakeDirectory | RunCommand):
        return False
    after, before = await solver.solve(vertex), await solver.solve(vertex.base)
    return len(after.layers) > len(before.layers)


def describe(vertex: Vertex) -> str:
    """Name a step for the cache's records."""
    if isinstance(vertex, RunCommand):
        return "RUN " + " ".join(vertex.args)
    if isinstance(vertex, CopyFiles):
        word = "ADD" if vertex.unpack else "COPY"
        return f"{word} {' '.join(s.pattern or '.' for s in vertex.sources)} {vertex.destination}"
    if isinstance(vertex, MakeDirectory):
        return f"WORKDIR {vertex.path}"
    return vertex.name if isinstance(vertex, BaseImage) else type(vertex).__name__
