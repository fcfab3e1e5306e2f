"""The build use cases: a request and a context in, a story out. Fits ``api``'s ``BuildBackend``."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import msgspec

from cutaway.build.dockerfile.frontend import BuildOptions
from cutaway.build.errors import BuildError
from cutaway.build.service import Builder, BuildJob, Tell
from cutaway.build.solve.blocking import run_to_end
from cutaway.build.solve.cache import Layer
from cutaway.build.solve.cache_mounts import CacheMounts
from cutaway.build.solve.command import HOST_NETWORK, INSECURE, CommandSettings
from cutaway.build.solve.origins import OriginStore
from cutaway.engine.building.cache import CacheKeeper, StoredCache
from cutaway.engine.building.cache_sources import (
    CacheSources,
    RegistryAccess,
    SourceReader,
    auth_for,
)
from cutaway.engine.building.context import ReadContext, read_context
from cutaway.engine.building.portable import CacheExchange
from cutaway.engine.building.run import BuildExecutor
from cutaway.engine.building.sessions import Sessions
from cutaway.engine.core import Core
from cutaway.engine.images import ImageService
from cutaway.engine.images.transport import make_credentials
from cutaway.engine.images.trust import settings_with
from cutaway.engine.validate import validate_host_config
from cutaway.errors import InvalidParameter, NotFound
from cutaway.errors import NotImplemented as Unsupported
from cutaway.images.assemble import this_platform
from cutaway.images.image import Image
from cutaway.images.registry.settings import RegistrySettings
from cutaway.images.trees.squash import squash_layers
from cutaway.model import (
    AuthConfig,
    BuildCache,
    BuildPruneOptions,
    BuildPruneReport,
    BuildRequest,
    BuildSession,
    ByteStream,
    CacheReport,
    CacheSelection,
    ContainerConfig,
    Filters,
    HostConfig,
    ProgressMessage,
    PullOptions,
    RegistryTrust,
)
from cutaway.oci import Platform, Reference

_ENTITLEMENTS = (INSECURE, HOST_NETWORK)
MakeJob = Callable[[ReadContext], BuildJob]


class BuildService:
    """The build operations of one engine."""

    def __init__(self, core: Core, images: ImageService, registry: RegistrySettings) -> None:
        self._core = core
        self._images = images
        self._registry = registry
        self.cache = StoredCache(core)
        self.mounts = CacheMounts(f"{core.settings.data_root}/build-cache-mounts")
        self._keeper = CacheKeeper(core, self.cache, self.mounts)
        self._sources = SourceReader(self.cache, core.images.content, registry)
        self._exchange = CacheExchange(core, self.cache, self.mounts)
        self._sessions = Sessions()
        core.images.keepers.append(self.cache.needed)
        self._running: dict[str, asyncio.Task[Any]] = {}

    async def build(
        self, request: BuildRequest, context: ByteStream
    ) -> AsyncIterator[ProgressMessage]:
        """Build an image from a tar context, telling the progress in Docker's words."""
        make_job = self._plan(request)
        sources = CacheSources.parse(request.cache_from)
        return self._messages(request, make_job, sources, body=context)

    def _plan(self, request: BuildRequest) -> MakeJob:
        """Check the request; returns what makes the job of a context."""
        if request.version == "2":
            raise Unsupported(
                "BuildKit's protocol is not supported: set DOCKER_BUILDKIT=0 to use the classic "
                "builder, or use `cutaway build`"
            )
        check_outputs(request.outputs)
        for name in request.allow:
            if name not in _ENTITLEMENTS:
                raise InvalidParameter(
                    f"unknown entitlement {name}: it is one of {', '.join(_ENTITLEMENTS)}"
                )
        if request.on_error not in {"", "shell"}:
            raise InvalidParameter(f"unknown way to go on after an error: {request.on_error}")
        limits = _limits(request)
        self._check_limits(request, limits)
        lent = self._sessions.take(request.session_id)
        options = BuildOptions(
            target=request.target,
            build_args=request.build_args,
            labels=request.labels,
            platform=parse_platform(request.platform),
            network=request.network_mode or "default",
        )
        commands = CommandSettings(
            limits=limits,
            extra_hosts=request.extra_hosts,
            secrets=lent.secrets,
            agents=lent.agents,
            entitlements=frozenset(request.allow),
            offers_shell=request.on_error == "shell",
        )
        tags = tuple(Reference.parse(tag).with_default_tag() for tag in request.tags if tag)
        return partial(_job, request, options=options, commands=commands, tags=tags)

    def _check_limits(self, request: BuildRequest, limits: dict[str, Any]) -> None:
        """Refuse what no container of the build could be given."""
        asked = HostConfig(
            network_mode=request.network_mode or "default",
            extra_hosts=request.extra_hosts,
            **limits,
        )
        validate_host_config(ContainerConfig(), asked, self._core.machine)

    async def _messages(
        self, request: BuildRequest, make_job: MakeJob, sources: CacheSources, *, body: ByteStream
    ) -> AsyncIterator[ProgressMessage]:
        origins = OriginStore(self._core.snapshots)
        task = asyncio.current_task()
        if request.build_id and task is not None:
            self._running[request.build_id] = task
        try:
            context = await read_context(self._core, request, body, origins)
            origins.context_key = context.key
            with self._core.images.lease(), ExitStack() as connections:
                warnings: list[str] = []
                claims = await run_to_end(
                    self._sources.open, sources, request.auth_configs,
                    stack=connections, warn=warnings.append,
                )  # fmt: skip
                for warning in warnings:
                    yield ProgressMessage(stream=f"[Warning] {warning}\n")
                job = dataclasses.replace(
                    make_job(context),
                    trusted_chains=self._trusted(sources.images),
                    claims=claims,
                )
                async for message in self._builder(request).build(job, origins):
                    yield msgspec.convert(message, ProgressMessage)
        finally:
            self._running.pop(request.build_id, None)
            try:
                await run_to_end(origins.close)
            finally:
                self._core.empty_trash_soon()

    def _trusted(self, names: tuple[str, ...]) -> frozenset[str] | None:
        """Return the chains of images, whose steps may hit; None when no image is named.

        What an image's history claims is never looked at: only steps that were done here hit.
        """
        if not names:
            return None
        chains: set[str] = set()
        for name in names:
            try:
                chains.update(map(str, self._core.images.resolve(name).chain_ids))
            except NotFound:
                continue  # as Docker: an image that is not here has no steps
        return frozenset(chains)

    def _builder(self, request: BuildRequest) -> Builder:
        async def resolve(name: str, platform: Platform, tell: Tell) -> Image:
            return await self._resolve(request, name, platform, tell)

        def squash(base: tuple[Layer, ...], layers: tuple[Layer, ...]) -> Layer:
            above = [layer.descriptor for layer in layers[len(base) :]]
            descriptor, diff_id = squash_layers(
                self._core.images, above, keeps_whiteouts=bool(base)
            )
            return Layer(descriptor, diff_id)

        return Builder(
            store=self._core.images,
            snapshots=self._core.snapshots,
            cache=self.cache,
            cache_mounts=self.mounts,
            executor=BuildExecutor(self._core),
            resolve=resolve,
            squash=squash,
        )

    async def _resolve(
        self, request: BuildRequest, name: str, platform: Platform, tell: Tell
    ) -> Image:
        reference = Reference.parse(name)
        if not request.pull_parent:
            try:
                image = self._core.images.resolve(name)
                if platform.normalized().matches(image.platform):
                    return image
            except NotFound:
                pass
        options = PullOptions(
            image=reference.familiar_name,
            tag=str(reference.digest or reference.tag or "latest"),
            platform=str(platform),
            auth=auth_for(reference, request.auth_configs),
        )
        async for message in await self._images.pull(options):
            if message.error:
                raise BuildError(message.error)
            tell(msgspec.to_builtins(message))
        return self._core.images.resolve(name)

    async def prune(self, options: BuildPruneOptions, filters: Filters) -> BuildPruneReport:
        """Make the build cache smaller."""
        return await self._keeper.prune(options, filters)

    async def usage(self) -> tuple[BuildCache, ...]:
        """Return the build cache as ``system df`` tells it."""
        return await self._core.in_thread(self._keeper.usage)

    async def export_cache(self, selection: CacheSelection) -> ByteStream:
        """Return a part of the build cache as an archive."""
        return await self._exchange.export(selection)

    async def push_cache(
        self,
        name: str,
        selection: CacheSelection,
        *,
        auth: AuthConfig | None,
        trust: RegistryTrust | None,
    ) -> CacheReport:
        """Send a part of the build cache to a registry."""
        return await self._exchange.push(
            Reference.parse(name).with_default_tag(), selection, self._access(auth, trust)
        )

    async def import_cache(self, origin: str, body: ByteStream, *, mounts: bool) -> CacheReport:
        """Take a build cache in from an archive."""
        return await self._exchange.take(origin, body, mounts=mounts)

    async def pull_cache(
        self,
        name: str,
        *,
        mounts: bool,
        auth: AuthConfig | None,
        trust: RegistryTrust | None,
    ) -> CacheReport:
        """Take a build cache in from a registry."""
        return await self._exchange.pull(
            Reference.parse(name).with_default_tag(), self._access(auth, trust), mounts=mounts
        )

    def _access(self, auth: AuthConfig | None, trust: RegistryTrust | None) -> RegistryAccess:
        return RegistryAccess(settings_with(self._registry, trust), make_credentials(auth))

    async def open_session(self, session: BuildSession) -> str:
        """Keep what a client lends to its next build; returns the session's id."""
        return self._sessions.open(session)

    async def cancel(self, build_id: str) -> None:
        """End a build."""
        task = self._running.get(build_id)
        if task is not None:
            task.cancel()


def _job(
    request: BuildRequest,
    context: ReadContext,
    *,
    options: BuildOptions,
    commands: CommandSettings,
    tags: tuple[Reference, ...],
) -> BuildJob:
    return BuildJob(
        dockerfile=context.dockerfile,
        file=context.name,
        options=options,
        tags=tags,
        use_cache=not request.no_cache,
        quiet=request.quiet,
        explain=request.explain,
        tells_records=request.tell_records,
        as_story=request.story,
        squash=request.squash,
        commands=commands,
    )


def check_outputs(text: str) -> None:
    """Refuse exporters: the image itself is the result, which clients can export.

    Raises:
        InvalidParameter: not JSON. NotImplemented: another exporter than the image.
    """
    if not text:
        return
    try:
        outputs = msgspec.json.decode(text.encode("utf-8", "surrogatepass"), type=list[Any])
        kinds = [str(output.get("Type", "")) for output in outputs]
    except (msgspec.DecodeError, AttributeError):
        raise InvalidParameter(f"invalid outputs: {text}") from None
    for kind in kinds:
        if kind not in {"image", "docker", "moby"}:
            raise Unsupported(
                f"the classic builder can't make the output {kind!r}: its result is an image, "
                "which `docker save` writes as an archive, and `docker export` a container of it"
            )


def parse_platform(text: str) -> Platform:
    """Read ``--platform``; empty is this machine's.

    Raises:
        InvalidParameter: in Docker's words.
    """
    return Platform.parse(text).normalized() if text else this_platform()


def _limits(request: BuildRequest) -> dict[str, Any]:
    names = (
        "memory", "memory_swap", "cpu_shares", "cpu_period", "cpu_quota", "cpuset_cpus",
        "cpuset_mems", "cgroup_parent", "shm_size", "ulimits", "security_opt", "isolation",
    )  # fmt: skip
    return {name: getattr(request, name) for name in names if getattr(request, name)}
