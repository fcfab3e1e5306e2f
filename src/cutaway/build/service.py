"""A whole build: a Dockerfile and a context in, an image and its story out."""

import asyncio
import contextlib
import datetime
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from cutaway.build.classic import Message, failure, stream, tell_steps
from cutaway.build.dockerfile.frontend import (
    BuildOptions,
    BuildStep,
    ImageKey,
    ResolvedImage,
    StagePlan,
    evaluate,
    images_needed,
    images_of_triggers,
    read_stages,
    unused_args,
)
from cutaway.build.dockerfile.parser import parse_dockerfile
from cutaway.build.graph import BaseImage, CopyFiles, MakeDirectory, RunCommand, Vertex
from cutaway.build.solve.cache import CacheRecord, CacheStore, Layer
from cutaway.build.solve.executor import Executor
from cutaway.build.solve.origins import OriginStore
from cutaway.build.solve.solver import Result, Solver, SolverOptions
from cutaway.errors import CutawayError, NotFound
from cutaway.images.assemble import assemble_image
from cutaway.images.image import Image
from cutaway.images.snapshots import Snapshots
from cutaway.images.store import ImageStore
from cutaway.oci import Digest, History, ImageConfig, Platform, Reference, RootFS

Resolve = Callable[[str, Platform, bool], Awaitable[Image]]
"""Finds an image by (name, platform, always ask the registry), pulling it if it is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildJob:
    """One build as asked for.

    Attributes:
        dockerfile: its text.
        options: target, arguments, labels, platform.
        tags: of the result.
        pull: ask registries for newer base images.
        use_cache: False for ``--no-cache``.
        quiet: only the result's id.
        explain: say why the cache hit or missed.
        squash: one layer on top of the base image.
        limits, extra_hosts: of commands.
        secrets: content by id.
        allow_insecure: RUN --security=insecure is allowed.
    """

    dockerfile: str
    options: BuildOptions
    tags: tuple[Reference, ...] = ()
    pull: bool = False
    use_cache: bool = True
    quiet: bool = False
    explain: bool = False
    squash: bool = False
    limits: Mapping[str, object] = field(default_factory=dict)
    extra_hosts: tuple[str, ...] = ()
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    allow_insecure: bool = False


@dataclass(frozen=True, slots=True)
class Builder:
    """What builds need of their engine.

    Attributes:
        store, snapshots: take the results.
        cache: remembers steps.
        executor: runs commands.
        resolve: finds base images.
        squash: makes one layer of several, given (base's layers, all layers).
    """

    store: ImageStore
    snapshots: Snapshots
    cache: CacheStore
    executor: Executor
    resolve: Resolve
    squash: Callable[[tuple[Layer, ...], tuple[Layer, ...]], Layer]

    async def build(self, job: BuildJob, origins: OriginStore) -> AsyncIterator[Message]:
        """Build, telling the classic builder's story; a failure is its last message.

        Args:
            job: what to build.
            origins: holds the client's context; closed by the caller.
        """
        try:
            parsed = parse_dockerfile(job.dockerfile)
            plans = await self._plan(job)
            for warning in parsed.warnings:
                yield stream(f"[Warning] {warning}\n")
            with self.store.lease() as pin:
                pin(_chains(plans))
                async for message in self._solve(job, plans, origins):
                    yield message
            unused = unused_args(job.options, parsed)
            if unused:
                names = " ".join(unused)
                yield stream(f"[Warning] One or more build-args [{names}] were not consumed\n")
        except CutawayError as error:
            yield failure(error, getattr(error, "code", 0))

    async def _plan(self, job: BuildJob) -> tuple[StagePlan, ...]:
        stages, needed = read_stages(parse_dockerfile(job.dockerfile), job.options)
        images: dict[ImageKey, ResolvedImage] = {}
        wanted = images_needed(stages, needed)
        while wanted:
            resolved = await asyncio.gather(*(self._resolve(job, key) for key in wanted))
            images.update(zip(wanted, resolved, strict=True))
            triggers = [key for image in resolved for key in images_of_triggers(stages, image)]
            wanted = tuple(dict.fromkeys(key for key in triggers if key not in images))
        return evaluate(stages, needed, images, job.options)

    async def _resolve(self, job: BuildJob, key: ImageKey) -> ResolvedImage:
        name, platform = key
        wanted = Platform.parse(platform) if platform else job.options.platform
        image = await self.resolve(name, wanted, job.pull)
        return ResolvedImage(str(image.id), str(image.chain_id or ""), image.config)

    async def _solve(
        self, job: BuildJob, plans: tuple[StagePlan, ...], origins: OriginStore
    ) -> AsyncIterator[Message]:
        solver = Solver(
            self.store,
            self.cache,
            self.executor,
            origins,
            options=SolverOptions(
                use_cache=job.use_cache,
                limits=dict(job.limits),
                extra_hosts=job.extra_hosts,
                secrets=dict(job.secrets),
                allow_insecure=job.allow_insecure,
                describe=describe,
            ),
        )
        try:
            solving = solver.solve(plans[-1].last.vertex)
            if not job.quiet:
                async for message in tell_steps(solver, plans, explain=job.explain):
                    yield message
            result = await solving
            steps = lineage(plans)
            made = [await self._made_layer(solver, step) for step in steps]
            image = await asyncio.to_thread(self._finish, job, plans[-1], result, (steps, made))
            yield {"aux": {"ID": str(image.id)}}
            if job.quiet:
                yield stream(f"{image.id}\n")
                return
            yield stream(f"Successfully built {image.id.encoded[:12]}\n")
            for tag in job.tags:
                yield stream(f"Successfully tagged {tag.familiar}\n")
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await solver.cancel()

    @staticmethod
    async def _made_layer(solver: Solver, step: BuildStep) -> bool:
        vertex = step.vertex
        if not step.changes_files or not isinstance(vertex, CopyFiles | MakeDirectory | RunCommand):
            return False
        after, before = await solver.solve(vertex), await solver.solve(vertex.base)
        return len(after.layers) > len(before.layers)

    def _finish(
        self,
        job: BuildJob,
        plan: StagePlan,
        result: Result,
        steps: tuple[tuple[BuildStep, ...], list[bool]],
    ) -> Image:
        layers = result.layers
        base = plan.base
        base_count = len(base.config.rootfs.diff_ids) if base else 0
        if job.squash and len(layers) > base_count + 1:
            merged = self.squash(layers[:base_count], layers)
            layers = (*layers[:base_count], merged)
            made = [False] * len(steps[1])
            made[len(made) - 1 - steps[1][::-1].index(True)] = True
            steps = (steps[0], made)
        config = image_config(job, plan, layers, steps=steps)
        known = self._same_image(job, config)
        if known is not None:
            return known
        image = assemble_image(
            self.store,
            self.snapshots,
            config,
            tuple(layer.descriptor for layer in layers),
            names=job.tags,
            parent=Digest.parse(base.image_id) if base else None,
            by="build",
        )
        self._remember(config, image)
        return image

    def _same_image(self, job: BuildJob, config: ImageConfig) -> Image | None:
        """Return the image that an earlier build made of the same steps, times apart, now tagged.

        A build whose every step is cached gives the image it gave before, id and all.
        """
        record = self.cache.find(_image_key(config)) if job.use_cache else None
        if record is None:
            return None
        try:
            image = self.store.get(Digest.parse(record.description))
        except NotFound:
            return None
        for tag in job.tags:
            self.store.tag(image.id, tag, by="build")
        return image

    def _remember(self, config: ImageConfig, image: Image) -> None:
        now = int(time.time())
        record = CacheRecord(
            key=_image_key(config),
            base_chain_id="",
            chain_id="",
            layer=None,
            description=str(image.id),
            size_bytes=0,
            created_s=now,
            last_used_s=now,
            use_count=0,
        )
        self.cache.put(record)


def _chains(plans: tuple[StagePlan, ...]) -> tuple[str, ...]:
    return tuple(
        plan.base.chain_id for plan in plans if plan.base is not None and plan.base.chain_id
    )


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


def lineage(plans: tuple[StagePlan, ...]) -> tuple[BuildStep, ...]:
    """Return the steps that made the target, through the stages it is built on, FROMs apart."""
    by_index = {plan.stage.index: plan for plan in plans}
    plan: StagePlan | None = plans[-1]
    steps: tuple[BuildStep, ...] = ()
    while plan is not None:
        steps = (*plan.steps[1:], *steps)
        base_stage = plan.stage.base_stage
        plan = None if base_stage is None else by_index[base_stage]
    return steps


def image_config(
    job: BuildJob,
    plan: StagePlan,
    layers: tuple[Layer, ...],
    *,
    steps: tuple[tuple[BuildStep, ...], list[bool]],
) -> ImageConfig:
    """Return the config document of a finished stage.

    History has an entry for every instruction; those that added no layer say so, and the others
    fit the layers one to one (image-spec config.md "history").

    Args:
        job: what was asked for.
        plan: the target stage.
        layers: of the result, the base's first.
        steps: that made it, and for each whether it added a layer.
    """
    base = plan.base.config if plan.base else None
    created = _created(job.options.epoch)
    own = tuple(
        History(
            created=created,
            created_by=step.created_by,
            author=step.author,
            comment="cutaway.build.v1",
            empty_layer=not has_layer,
        )
        for step, has_layer in zip(*steps, strict=True)
    )
    platform = job.options.platform
    return ImageConfig(
        architecture=base.architecture if base else platform.architecture,
        os=base.os if base else platform.os,
        variant=base.variant if base else platform.variant,
        rootfs=RootFS("layers", tuple(layer.diff_id for layer in layers)),
        config=plan.last.config,
        history=(*(base.history if base else ()), *own),
        created=created,
        author=plan.last.author,
    )


def _image_key(config: ImageConfig) -> str:
    """Return the cache key of a whole image: a digest of its config without the times."""
    document = config.to_json()
    document.pop("created", None)
    for entry in document.get("history", ()):
        entry.pop("created", None)
    text = json.dumps(["image", document], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _created(epoch: int | None) -> str:
    moment = (
        datetime.datetime.now(datetime.UTC)
        if epoch is None
        else datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    )
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if epoch is None else "%Y-%m-%dT%H:%M:%SZ")
