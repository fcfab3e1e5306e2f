"""The engine about itself: version, info, disk usage.

Source: Engine API ``SystemVersion``, ``SystemInfo``, "SystemDataUsage".
"""

from typing import Any

from cutaway.model.base import Int64, LowerModel, Model, always, named
from cutaway.model.build import BuildCache
from cutaway.model.container import ContainerSummary
from cutaway.model.image import ImageSummary
from cutaway.model.volume import Volume


class ProductPlatform(Model):
    """The product that a version belongs to."""

    name: str = always("")


class ComponentVersion(Model):
    """One part of the engine and its version; ``details`` values are strings."""

    name: str = always("")
    version: str = always("")
    details: dict[str, str] | None = None


class SystemVersion(Model):
    """The answer of ``GET /version``. The API fills in its own two version numbers.

    Attributes:
        version: the engine's release.
        go_version: kept for clients that print it; here the Python version.
        build_time: RFC 3339.
    """

    platform: ProductPlatform = always(ProductPlatform())
    components: tuple[ComponentVersion, ...] = always(())
    version: str = always("")
    api_version: str = always("")
    min_api_version: str = always("", name="MinAPIVersion")
    git_commit: str = always("")
    go_version: str = always("")
    os: str = always("linux")
    arch: str = always("")
    kernel_version: str = always("")
    experimental: bool = False
    build_time: str = ""


class PluginsInfo(Model):
    """Names of drivers by kind; None: none of that kind."""

    volume: tuple[str, ...] | None = always(None)
    network: tuple[str, ...] | None = always(None)
    authorization: tuple[str, ...] | None = always(None)
    log: tuple[str, ...] | None = always(None)


class IndexInfo(Model):
    """One registry as the engine is configured to treat it."""

    name: str = always("")
    mirrors: tuple[str, ...] = always(())
    secure: bool = always(False)
    official: bool = always(False)


class RegistryServiceConfig(Model):
    """How registries are reached."""

    insecure_registry_cidrs: tuple[str, ...] = always((), name="InsecureRegistryCIDRs")
    index_configs: dict[str, IndexInfo] = always({})
    mirrors: tuple[str, ...] = always(())


class RuntimeInfo(LowerModel):
    """An OCI runtime that ``--runtime`` can name."""

    path: str = ""
    runtime_args: tuple[str, ...] | None = named(None, name="runtimeArgs")
    status: dict[str, str] | None = None


class Commit(Model):
    """A component's version."""

    id: str = always("", name="ID")


class SwarmInfo(Model):
    """An engine outside every swarm."""

    node_id: str = always("", name="NodeID")
    node_addr: str = always("")
    local_node_state: str = always("inactive")
    control_available: bool = always(False)
    error: str = always("")
    remote_managers: tuple[Any, ...] | None = always(None)


class AddressPool(Model):
    """Where networks without a subnet of their own get one: ``base`` cut to ``size`` bits."""

    base: str = always("")
    size: Int64 = always(0)


class FirewallInfo(Model):
    """Which firewall the engine speaks to."""

    driver: str = always("")
    info: tuple[tuple[str, str], ...] | None = None


class SystemInfo(Model):
    """The answer of ``GET /info``: this machine and this engine.

    Attributes:
        driver: of the storage; ``driver_status`` its own words.
        n_fd, n_goroutines: open files and tasks of the engine.
        mem_total: bytes.
        security_options: such as ``name=seccomp,profile=builtin``.
        warnings: what this machine lacks, in Docker's words.
    """

    id: str = always("", name="ID")
    containers: Int64 = always(0)
    containers_running: Int64 = always(0)
    containers_paused: Int64 = always(0)
    containers_stopped: Int64 = always(0)
    images: Int64 = always(0)
    driver: str = always("")
    driver_status: tuple[tuple[str, str], ...] | None = always(None)
    system_status: tuple[tuple[str, str], ...] | None = None
    plugins: PluginsInfo = always(PluginsInfo())
    memory_limit: bool = always(False)
    swap_limit: bool = always(False)
    cpu_cfs_period: bool = always(False)
    cpu_cfs_quota: bool = always(False)
    cpu_shares: bool = always(False, name="CPUShares")
    cpu_set: bool = always(False, name="CPUSet")
    pids_limit: bool = always(False)
    ipv4_forwarding: bool = always(False, name="IPv4Forwarding")
    debug: bool = always(False)
    n_fd: Int64 = always(0)
    oom_kill_disable: bool = always(False)
    n_goroutines: Int64 = always(0)
    system_time: str = always("")
    logging_driver: str = always("")
    cgroup_driver: str = always("")
    cgroup_version: str = ""
    n_events_listener: Int64 = always(0)
    kernel_version: str = always("")
    operating_system: str = always("")
    os_version: str = always("", name="OSVersion")
    os_type: str = always("linux", name="OSType")
    architecture: str = always("")
    index_server_address: str = always("https://index.docker.io/v1/")
    registry_config: RegistryServiceConfig | None = always(None)
    n_cpu: Int64 = always(0, name="NCPU")
    mem_total: Int64 = always(0)
    generic_resources: tuple[Any, ...] | None = always(None)
    docker_root_dir: str = always("")
    http_proxy: str = always("")
    https_proxy: str = always("")
    no_proxy: str = always("")
    name: str = always("")
    labels: tuple[str, ...] = always(())
    experimental_build: bool = always(False)
    server_version: str = always("")
    runtimes: dict[str, RuntimeInfo] | None = always(None)
    default_runtime: str = always("")
    swarm: SwarmInfo = always(SwarmInfo())
    live_restore_enabled: bool = always(True)
    isolation: str = always("")
    init_binary: str = always("")
    containerd_commit: Commit = always(Commit())
    runc_commit: Commit = always(Commit())
    init_commit: Commit = always(Commit())
    security_options: tuple[str, ...] = always(())
    product_license: str = ""
    default_address_pools: tuple[AddressPool, ...] | None = None
    firewall_backend: FirewallInfo | None = None
    cdi_spec_dirs: tuple[str, ...] | None = always(None, name="CDISpecDirs")
    warnings: tuple[str, ...] | None = always(None)


class DiskUsage(Model):
    """What ``docker system df`` shows. Kinds that were not asked for are None.

    The API turns these lists into the totals that versions from 1.52 show, and keeps the lists
    for older ones and for ``verbose``.

    Attributes:
        layers_size: bytes of all unpacked layers, each counted once.
    """

    layers_size: Int64 = always(0)
    images: tuple[ImageSummary, ...] | None = always(None)
    containers: tuple[ContainerSummary, ...] | None = always(None)
    volumes: tuple[Volume, ...] | None = always(None)
    build_cache: tuple[BuildCache, ...] | None = always(None)
