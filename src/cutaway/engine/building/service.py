"""The build use cases: a request and a context in, a story out. Fits ``api``'s ``BuildBackend``."""

import asyncio
import json
import os
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import msgspec

from cutaway.build.classic import failure
from cutaway.build.dockerfile.dockerignore import IgnoreRules, parse_dockerignore
from cutaway.build.dockerfile.frontend import BuildOptions
from cutaway.build.errors import BuildError
from cutaway.build.graph import Git
from cutaway.build.service import Builder, BuildJob
from cutaway.build.solve.cache import CacheRecord, Layer
from cutaway.build.solve.fetch import fetch_git, fetch_url
from cutaway.build.solve.origins import OriginStore
from cutaway.engine.building.run import BuildExecutor
from cutaway.engine.core import Core
from cutaway.engine.images import ImageService
from cutaway.engine.units import parse_time_ns
from cutaway.errors import CutawayError, InvalidParameter, NotFound
from cutaway.errors import NotImplemented as Unsupported
from cutaway.images.assemble import this_platform
from cutaway.images.image import Image
from cutaway.images.resolve import INSIDE_NO_LINKS
from cutaway.images.trees.squash import squash_layers
from cutaway.images.trees.tree import Tree, get_archive
from cutaway.linux import openat2
from cutaway.model import (
    AuthConfig,
    BuildCache,
    BuildPruneOptions,
    BuildPruneReport,
    BuildRequest,
    ByteStream,
    Filters,
    ProgressMessage,
    PullOptions,
)
from cutaway.oci import Digest, Platform, Reference

CACHE_KIND = "build-cache"
DEFAULT_DOCKERFILE = "Dockerfile"
_MAX_DOCKERFILE_BYTES = 1 << 20
_GIT_SUFFIXES = (".git",)


class StoredCache:
    """The build cache in the engine's database; fits ``build.cache.CacheStore``.

    The database is the loop's: reads come from memory, writes are sent to the loop.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._records: dict[str, CacheRecord] = {}
        for key, document in core.store.documents(CACHE_KIND):
            self._records[key] = CacheRecord.from_json(json.loads(document))

    def find(self, key: str) -> CacheRecord | None:
        """Return the record of a key."""
        return self._records.get(key)

    def put(self, record: CacheRecord) -> None:
        """Add or replace a record."""
        self._records[record.key] = record
        self._write(record.key, json.dumps(record.to_json()).encode())

    def touch(self, key: str, now_s: int) -> None:
        """Count one use."""
        record = self._records.get(key)
        if record is not None:
            document = record.to_json()
            document |= {"last_used_s": now_s, "use_count": record.use_count + 1}
            self.put(CacheRecord.from_json(document))

    def records(self) -> list[CacheRecord]:
        """Return all records."""
        return list(self._records.values())

    def remove(self, keys: Iterable[str]) -> None:
        """Forget records."""
        for key in keys:
            if self._records.pop(key, None) is not None:
                self._write(key, None)

    def needed(self) -> tuple[Iterable[Digest], Iterable[str]]:
        """Return the blobs and chains that records need; the image store keeps them."""
        records = self.records()
        blobs = [r.layer.descriptor.digest for r in records if r.layer is not None]
        return blobs, [r.chain_id for r in records if r.chain_id]

    def _write(self, key: str, document: bytes | None) -> None:
        def change() -> None:
            with self._core.store.change() as transaction:
                if document is None:
                    transaction.delete_document(CACHE_KIND, key)
                else:
                    transaction.put_document(CACHE_KIND, key, document)

        self._core.loop.call_soon_threadsafe(change)


class BuildService:
    """The build operations of one engine."""

    def __init__(self, core: Core, images: ImageService) -> None:
        self._core = core
        self._images = images
        self.cache = StoredCache(core)
        core.images.keepers.append(self.cache.needed)
        self._running: dict[str, asyncio.Task[Any]] = {}

    async def build(
        self, request: BuildRequest, context: ByteStream
    ) -> AsyncIterator[ProgressMessage]:
        """Build an image from a tar context, telling the progress in Docker's words."""
        job = self._plan(request)
        return self._messages(request, job, context)

    def _plan(self, request: BuildRequest) -> Callable[[str], BuildJob]:
        """Check the request; returns what makes the job of a Dockerfile's text."""
        if request.version == "2":
            raise Unsupported(
                "BuildKit's protocol is not supported: set DOCKER_BUILDKIT=0 to use the classic "
                "builder, or use `cutaway build`"
            )
        if request.outputs:
            raise Unsupported("build outputs are BuildKit's: images are the only result here")
        platform = parse_platform(request.platform)
        tags = tuple(Reference.parse(tag).with_default_tag() for tag in request.tags if tag)
        options = BuildOptions(
            target=request.target,
            build_args=request.build_args,
            labels=request.labels,
            platform=platform,
            network=request.network_mode or "default",
        )

        def job(dockerfile: str) -> BuildJob:
            return BuildJob(
                dockerfile=dockerfile,
                options=options,
                tags=tags,
                pull=request.pull_parent,
                use_cache=not request.no_cache,
                quiet=request.quiet,
                squash=request.squash,
                explain=request.explain,
                limits=_limits(request),
                extra_hosts=request.extra_hosts,
            )

        return job

    async def _messages(
        self, request: BuildRequest, job: Callable[[str], BuildJob], context: ByteStream
    ) -> AsyncIterator[ProgressMessage]:
        origins = OriginStore(self._core.snapshots)
        task = asyncio.current_task()
        if request.build_id and task is not None:
            self._running[request.build_id] = task
        try:
            try:
                origins.context_key, text = await self._read_context(request, context, origins)
            except CutawayError as error:
                yield msgspec.convert(failure(error), ProgressMessage)
                return
            async for message in self._builder(request).build(job(text), origins):
                yield msgspec.convert(message, ProgressMessage)
        finally:
            self._running.pop(request.build_id, None)
            await self._core.in_thread(origins.close)
            self._core.empty_trash_soon()

    def _builder(self, request: BuildRequest) -> Builder:
        async def resolve(name: str, platform: Platform, always: bool) -> Image:
            return await self._resolve(name, platform, always, request.auth_configs)

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
            executor=BuildExecutor(self._core),
            resolve=resolve,
            squash=squash,
        )

    async def _resolve(
        self, name: str, platform: Platform, always: bool, auths: dict[str, AuthConfig]
    ) -> Image:
        reference = Reference.parse(name)
        if not always:
            try:
                image = self._core.images.resolve(name)
                if platform.normalized().matches(image.platform):
                    return image
            except NotFound:
                pass
        tag = reference.digest or reference.tag or "latest"
        options = PullOptions(
            image=reference.familiar_name,
            tag=str(tag),
            platform=str(platform),
            auth=_auth_for(reference, auths),
        )
        async for message in await self._images.pull(options):
            if message.error:
                raise BuildError(message.error)
        return self._core.images.resolve(name)

    async def _read_context(
        self, request: BuildRequest, context: ByteStream, origins: OriginStore
    ) -> tuple[str, str]:
        """Unpack what the client sent; returns (snapshot key, the Dockerfile's text)."""
        if request.remote:
            key, text = await self._core.in_thread(self._fetch, request.remote, origins)
            if text is not None:
                return key, text
        else:
            with tempfile.TemporaryFile() as file:
                async for chunk in context:
                    file.write(chunk)
                file.flush()
                file.seek(0)
                key = await self._core.in_thread(origins.add_archive, file.fileno())
        name = request.dockerfile or DEFAULT_DOCKERFILE
        return key, await self._core.in_thread(self._take_dockerfile, key, name)

    def _take_dockerfile(self, key: str, name: str) -> str:
        """Read the Dockerfile, and take it out of the context if ``.dockerignore`` says so.

        Clients send both files also when they are ignored: the engine needs them.
        """
        text = self._read_file(key, name)
        if text is None:
            raise InvalidParameter(f"Cannot locate specified Dockerfile: {name}")
        ignore = self._read_file(key, ".dockerignore")
        if ignore is not None:
            rules = IgnoreRules(parse_dockerignore(ignore))
            for path in (name.lstrip("/"), ".dockerignore"):
                if rules.ignores(path):
                    remove_file(self._core.snapshots.directory(key), path)
        return text

    def _fetch(self, remote: str, origins: OriginStore) -> tuple[str, str | None]:
        address, _, fragment = remote.partition("#")
        if address.startswith(("git://", "git@")) or address.endswith(_GIT_SUFFIXES):
            ref, _, subdirectory = fragment.partition(":")
            with fetch_git(Git(address, ref, subdirectory)) as archive:
                return origins.add_archive(archive.fileno()), None
        if not address.startswith(("http://", "https://")):
            raise InvalidParameter(f"remote context is neither a URL nor a git address: {remote}")
        with fetch_url(remote) as fetched:
            head = fetched.file.read(512)
            fetched.file.seek(0)
            if _is_text(head):
                return "", fetched.file.read(_MAX_DOCKERFILE_BYTES).decode("utf-8", "replace")
            return origins.add_archive(fetched.file.fileno()), None

    def _read_file(self, key: str, name: str) -> str | None:
        tree = Tree.stopped(self._core.snapshots, key)
        try:
            with get_archive(tree, f"/{name.lstrip('/')}") as archive:
                pipe = os.fdopen(os.dup(archive.fd), "rb")
                with pipe, tarfile.open(fileobj=pipe, mode="r|") as tar:
                    entry = tar.next()
                    file = tar.extractfile(entry) if entry is not None else None
                    if entry is None or file is None:
                        return None
                    if entry.size > _MAX_DOCKERFILE_BYTES:
                        raise InvalidParameter(f"{name} is larger than 1 MiB")
                    return file.read().decode("utf-8", "replace")
        except NotFound:
            return None

    async def prune(self, options: BuildPruneOptions, filters: Filters) -> BuildPruneReport:
        """Forget records: those unused for a while, or by size, or all."""
        records = sorted(self.cache.records(), key=lambda record: record.last_used_s)
        before_s = [parse_time_ns(t, now_ns=time.time_ns()) // 10**9
                    for t in filters.get("until", ())]  # fmt: skip
        wanted = filters.get("id", ())
        chosen = []
        total = sum(record.size_bytes for record in records)
        for record in records:
            if before_s and record.last_used_s > min(before_s):
                continue
            if wanted and not any(record.key.startswith(text) for text in wanted):
                continue
            if options.max_used_space and total <= options.max_used_space:
                break
            if options.reserved_space and total - record.size_bytes < options.reserved_space:
                break
            chosen.append(record)
            total -= record.size_bytes
        self.cache.remove([record.key for record in chosen])
        await self._core.in_thread(self._core.images.collect_garbage)
        self._core.empty_trash_soon()
        reclaimed = sum(record.size_bytes for record in chosen)
        self._core.bus.publish("builder", "prune", "", {"reclaimed": str(reclaimed)})
        return BuildPruneReport(
            caches_deleted=tuple(record.key for record in chosen), space_reclaimed=reclaimed
        )

    def usage(self) -> tuple[BuildCache, ...]:
        """Return the records as ``system df`` tells them."""
        return tuple(
            BuildCache(
                id=record.key[:25],
                type="regular",
                description=record.description,
                in_use=False,
                shared=False,
                size=record.size_bytes,
                created_at=_time(record.created_s),
                last_used_at=_time(record.last_used_s),
                usage_count=record.use_count,
            )
            for record in self.cache.records()
        )

    async def cancel(self, build_id: str) -> None:
        """End a build."""
        task = self._running.get(build_id)
        if task is not None:
            task.cancel()


def remove_file(root: str, path: str) -> None:
    """Remove a file of a client's context; no link on the way is followed."""
    directory, _, leaf = path.rpartition("/")
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        fd = openat2(root_fd, directory or ".", flags, 0, INSIDE_NO_LINKS)
    finally:
        os.close(root_fd)
    try:
        os.unlink(leaf, dir_fd=fd)
    finally:
        os.close(fd)


def parse_platform(text: str) -> Platform:
    """Read ``--platform``; empty is this machine's.

    Raises:
        InvalidParameter: in Docker's words.
    """
    return Platform.parse(text).normalized() if text else this_platform()


def _limits(request: BuildRequest) -> dict[str, object]:
    names = (
        "memory", "memory_swap", "cpu_shares", "cpu_period", "cpu_quota", "cpuset_cpus",
        "cpuset_mems", "cgroup_parent", "shm_size", "ulimits", "security_opt", "isolation",
    )  # fmt: skip
    return {name: getattr(request, name) for name in names if getattr(request, name)}


def _auth_for(reference: Reference, auths: dict[str, AuthConfig]) -> AuthConfig | None:
    keys = [reference.domain, f"https://{reference.domain}", f"https://{reference.domain}/v1/"]
    if reference.domain == "docker.io":
        keys.append("https://index.docker.io/v1/")
    return next((auths[key] for key in keys if key in auths), None)


def _is_text(head: bytes) -> bool:
    return b"\0" not in head and not head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ"))


def _time(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
