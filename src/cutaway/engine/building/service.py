"""The build use cases: a request and a context in, a story out. Fits ``api``'s ``BuildBackend``."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

import msgspec

from cutaway.build.errors import BuildError
from cutaway.build.service import Builder, BuildJob, Tell
from cutaway.build.solve.blocking import run_to_end
from cutaway.build.solve.cache import Layer
from cutaway.build.solve.cache_mounts import CacheMounts
from cutaway.build.solve.origins import OriginStore
from cutaway.engine.building.cache import CacheKeeper, StoredCache
from cutaway.engine.building.cache_sources import (
    CacheSources,
    RegistryAccess,
    SourceReader,
    auth_for,
)
from cutaway.engine.building.context import read_context
from cutaway.engine.building.portable import CacheExchange
from cutaway.engine.building.requests import read_job
from cutaway.engine.building.run import BuildExecutor
from cutaway.engine.building.sessions import Sessions
from cutaway.engine.configuration.settings import BuildGc
from cutaway.engine.core import Core
from cutaway.engine.images import ImageService
from cutaway.engine.images.registries import registry_settings
from cutaway.engine.images.transport import make_credentials
from cutaway.errors import NotFound
from cutaway.images.image import Image
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
    Filters,
    ProgressMessage,
    PullOptions,
    RegistryTrust,
)
from cutaway.oci import Platform, Reference


class BuildService:
    """The build operations of one engine."""

    def __init__(self, core: Core, images: ImageService) -> None:
        self._core = core
        self._images = images
        self.cache = StoredCache(core)
        self.mounts = CacheMounts(f"{core.settings.data_root}/build-cache-mounts")
        self._keeper = CacheKeeper(core, self.cache, self.mounts)
        self._exchange = CacheExchange(core, self.cache, self.mounts)
        self._sessions = Sessions()
        core.images.keepers.append(self.cache.needed)
        self._running: dict[str, asyncio.Task[Any]] = {}

    async def build(
        self, request: BuildRequest, context: ByteStream
    ) -> AsyncIterator[ProgressMessage]:
        """Build an image from a tar context, telling the progress in Docker's words."""
        sources = CacheSources.parse(request.cache_from)
        job = read_job(request, self._sessions, self._core.machine)
        return self._messages(request, job, sources, body=context)

    async def _messages(
        self, request: BuildRequest, job: BuildJob, sources: CacheSources, *, body: ByteStream
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
                    self._source_reader().open, sources, request.auth_configs,
                    stack=connections, warn=warnings.append,
                )  # fmt: skip
                for warning in warnings:
                    yield ProgressMessage(stream=f"[Warning] {warning}\n")
                job = dataclasses.replace(
                    job,
                    dockerfile=context.dockerfile,
                    file=context.name,
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
                self._limit_cache_soon()

    def _limit_cache_soon(self) -> None:
        limits = self._core.settings.build_gc
        if limits != BuildGc():
            options = BuildPruneOptions(
                max_used_space=limits.max_used_bytes, min_free_space=limits.min_free_bytes
            )
            self._core.spawn(self._keeper.prune(options, {}), "making the build cache smaller")

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
        return RegistryAccess(registry_settings(self._core.settings, trust), make_credentials(auth))

    def _source_reader(self) -> SourceReader:
        settings = registry_settings(self._core.settings)
        return SourceReader(self.cache, self._core.images.content, settings)

    async def open_session(self, session: BuildSession) -> str:
        """Keep what a client lends to its next build; returns the session's id."""
        return self._sessions.open(session)

    async def cancel(self, build_id: str) -> None:
        """End a build."""
        task = self._running.get(build_id)
        if task is not None:
            task.cancel()
