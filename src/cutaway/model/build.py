"""Builds by the classic ``POST /build``, and the build cache.

Source: Engine API "ImageBuild", ``BuildCache``.
"""

from cutaway.model.base import Int64, Model, always
from cutaway.model.host import Ulimit
from cutaway.model.registry import AuthConfig


class BuildRequest(Model):
    """Everything that the query and headers of ``POST /build`` say.

    Attributes:
        tags: ``name:tag`` of the result.
        remote: a URL to build from instead of the body.
        remove, force_remove: there is nothing to keep: a step's container never outlives it, and
            what a failed step left is given away by ``on_error`` only.
        build_args: None as a value: take it from the Dockerfile's default.
        outputs: JSON list of exporters, as written.
        auth_configs: by registry host.
        version: ``1`` the classic builder, ``2`` BuildKit.
        explain: cutaway's own: say for each step why the cache hit or missed.
        story: cutaway's own: tell steps as they happen, not in the classic builder's words.
        on_error: cutaway's own: ``shell`` follows a failed command by a shell in its place.
        allow: cutaway's own: entitlements, ``security.insecure`` and ``network.host``.
        tell_records: cutaway's own: the last message names the cache records of the build, to be
            exported.
    """

    tags: tuple[str, ...] = ()
    dockerfile: str = ""
    remote: str = ""
    target: str = ""
    platform: str = ""
    quiet: bool = False
    no_cache: bool = False
    cache_from: tuple[str, ...] = ()
    pull_parent: bool = False
    remove: bool = True
    force_remove: bool = False
    squash: bool = False
    build_args: dict[str, str | None] = {}
    labels: dict[str, str] = {}
    network_mode: str = ""
    extra_hosts: tuple[str, ...] = ()
    memory: Int64 = 0
    memory_swap: Int64 = 0
    cpu_shares: Int64 = 0
    cpu_period: Int64 = 0
    cpu_quota: Int64 = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    cgroup_parent: str = ""
    shm_size: Int64 = 0
    ulimits: tuple[Ulimit, ...] = ()
    security_opt: tuple[str, ...] = ()
    isolation: str = ""
    session_id: str = ""
    build_id: str = ""
    outputs: str = ""
    version: str = "1"
    explain: bool = False
    story: bool = False
    on_error: str = ""
    allow: tuple[str, ...] = ()
    tell_records: bool = False
    auth_configs: dict[str, AuthConfig] = {}


class BuildSession(Model):
    """cutaway's own: what a client lends to a build.

    Attributes:
        secrets: content in base64 by id.
        agents: path of an SSH agent's socket on the engine's machine by id.
    """

    secrets: dict[str, str] = {}
    agents: dict[str, str] = {}


class CacheSelection(Model):
    """cutaway's own: what of the build cache is exported.

    Attributes:
        records: keys, as a build told them; None: every step that was done here.
        mounts: with the directories of ``RUN --mount=type=cache``.
    """

    records: tuple[str, ...] | None = None
    mounts: bool = False


class CacheReport(Model):
    """cutaway's own: what an import brought.

    Attributes:
        origin: builds use it with ``--cache-from`` this.
        steps, layers: how many.
        size: of the layers' blobs in bytes.
        mounts: ids of directories that are new here.
        kept_mounts: ids of directories that were here already and stay as they are.
    """

    origin: str = always("")
    steps: int = always(0)
    layers: int = always(0)
    size: int = always(0)
    mounts: tuple[str, ...] = always(())
    kept_mounts: tuple[str, ...] = always(())


class BuildCache(Model):
    """One record of the build cache.

    Attributes:
        type: ``internal frontend source.local source.git.checkout exec.cachemount regular``.
    """

    id: str = always("", name="ID")
    parents: tuple[str, ...] | None = None
    type: str = always("")
    description: str = always("")
    in_use: bool = always(False)
    shared: bool = always(False)
    size: Int64 = always(0)
    created_at: str = always("")
    last_used_at: str | None = always(None)
    usage_count: Int64 = always(0)


class BuildPruneOptions(Model):
    """How much of the build cache to keep; sizes in bytes, 0: nothing is reserved."""

    all: bool = False
    reserved_space: Int64 = 0
    max_used_space: Int64 = 0
    min_free_space: Int64 = 0


class BuildPruneReport(Model):
    """What ``docker builder prune`` removed, and the bytes that freed."""

    caches_deleted: tuple[str, ...] | None = always(None)
    space_reclaimed: Int64 = always(0)
