"""The engine about itself: version, info, disk usage, events, login. Fits ``SystemBackend``."""

import os
import platform
import re
import time
from collections.abc import AsyncIterator
from typing import Any

from cutaway import __version__
from cutaway.engine.building.service import BuildService
from cutaway.engine.core import Core
from cutaway.engine.events import Event
from cutaway.engine.images import ImageService, make_credentials
from cutaway.engine.images.registries import proxies, registry_settings
from cutaway.engine.lifecycle import Status
from cutaway.engine.showing import listing
from cutaway.engine.showing.inspection import STORAGE_DRIVER
from cutaway.engine.system.machine import architecture
from cutaway.engine.units import format_time
from cutaway.engine.validate.host import LOG_DRIVERS
from cutaway.engine.volumes.service import describe_volume
from cutaway.errors import Unauthorized
from cutaway.images.registry.login import login
from cutaway.model import (
    AddressPool,
    AuthConfig,
    AuthResponse,
    Commit,
    ComponentVersion,
    ContainerListOptions,
    DiskUsage,
    EventActor,
    EventMessage,
    EventsOptions,
    FirewallInfo,
    ImageListOptions,
    IndexInfo,
    PluginsInfo,
    ProductPlatform,
    RegistryServiceConfig,
    RegistryTrust,
    RuntimeInfo,
    SystemInfo,
    SystemVersion,
    Volume,
    VolumeUsage,
)
from cutaway.network.network import BUILT_IN_DRIVERS

GIT_COMMIT = ""
_OFFICIAL = "docker.io"
_DRIVER_STATUS = (
    ("Backing Filesystem", "extfs"),
    ("Supports d_type", "true"),
    ("Using metacopy", "false"),
    ("Native Overlay Diff", "true"),
    ("userxattr", "false"),
)


def _plugins(core: Core) -> PluginsInfo:
    """Return what is built in, and the plugins that were asked so far or that a network has."""
    networks = {*BUILT_IN_DRIVERS, *core.plugins.active("NetworkDriver")}
    networks |= {network.driver for network in core.network.networks() if network.is_plugged}
    return PluginsInfo(
        volume=("local", *core.plugins.active("VolumeDriver")),
        network=tuple(sorted(networks)),
        log=tuple(sorted(LOG_DRIVERS)),
    )


class SystemService:
    """What the engine says of itself and of this machine."""

    def __init__(
        self,
        core: Core,
        images: ImageService,
        engine_id: str,
        *,
        builds: BuildService,
    ) -> None:
        self._core = core
        self._images = images
        self._engine_id = engine_id
        self._builds = builds

    async def version(self) -> SystemVersion:
        """Tell the engine's version."""
        python = platform.python_version()
        return SystemVersion(
            platform=ProductPlatform(name="cutaway"),
            components=(
                ComponentVersion(
                    name="Engine",
                    version=__version__,
                    details={"Arch": architecture(), "Os": "linux", "PythonVersion": python},
                ),
                ComponentVersion(name="runtime", version=__version__, details={}),
            ),
            version=__version__,
            git_commit=GIT_COMMIT,
            go_version=f"python{python}",
            os="linux",
            arch=architecture(),
            kernel_version=os.uname().release,
            experimental=self._core.settings.experimental,
        )

    async def info(self) -> SystemInfo:
        """Tell about this machine and this engine."""
        core, settings = self._core, self._core.settings
        proxy = proxies(settings)
        states = [container.state.status for container in core.containers]
        running = sum(s in (Status.RUNNING, Status.RESTARTING) for s in states)
        paused = sum(s is Status.PAUSED for s in states)
        unified = core.machine.unified_cgroups
        return SystemInfo(
            id=self._engine_id,
            containers=len(states),
            containers_running=running,
            containers_paused=paused,
            containers_stopped=len(states) - running - paused,
            images=len(core.images.list()),
            driver=STORAGE_DRIVER,
            driver_status=_DRIVER_STATUS,
            plugins=_plugins(core),
            **_cgroup_support(),
            ipv4_forwarding=_reads("/proc/sys/net/ipv4/ip_forward", "1"),
            debug=settings.debug,
            n_fd=len(os.listdir("/proc/self/fd")),
            n_goroutines=len(core.tasks),
            system_time=format_time(time.time_ns()),
            logging_driver=settings.log_driver,
            cgroup_driver="cgroupfs",
            cgroup_version="2" if unified else "1",
            n_events_listener=core.bus.listener_count,
            kernel_version=os.uname().release,
            operating_system=_os_release().get("PRETTY_NAME", "Linux"),
            os_version=_os_release().get("VERSION_ID", ""),
            architecture=os.uname().machine,
            registry_config=self._describe_registries(),
            n_cpu=core.machine.cpu_count,
            mem_total=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            docker_root_dir=settings.data_root,
            http_proxy=_masked(proxy.get("http", "")),
            https_proxy=_masked(proxy.get("https", "")),
            no_proxy=proxy.get("no", ""),
            name=core.machine.hostname,
            labels=settings.labels,
            experimental_build=settings.experimental,
            server_version=__version__,
            runtimes=self._describe_runtimes(),
            default_runtime=settings.default_runtime,
            init_binary="cutaway-init",
            containerd_commit=Commit(id=""),
            runc_commit=Commit(id=""),
            init_commit=Commit(id=""),
            security_options=_security_options(settings.seccomp_profile, unified=unified),
            default_address_pools=tuple(
                AddressPool(base=str(pool.base), size=pool.size)
                for pool in core.network.settings.default_address_pools
            ),
            firewall_backend=FirewallInfo(driver="nftables"),
        )

    def _describe_registries(self) -> RegistryServiceConfig:
        settings = self._core.settings
        cidrs = tuple(r for r in settings.insecure_registries if "/" in r)
        indexes = {
            name: IndexInfo(name=name, secure=False)
            for name in settings.insecure_registries
            if "/" not in name
        }
        indexes[_OFFICIAL] = IndexInfo(
            name=_OFFICIAL, mirrors=settings.registry_mirrors, secure=True, official=True
        )
        return RegistryServiceConfig(
            insecure_registry_cidrs=("127.0.0.0/8", *cidrs),
            index_configs=indexes,
            mirrors=settings.registry_mirrors,
        )

    def _describe_runtimes(self) -> dict[str, RuntimeInfo]:
        runtimes = {"cutaway": RuntimeInfo(path="cutaway"), "runc": RuntimeInfo(path="runc")}
        for name, runtime in self._core.settings.runtimes.items():
            runtimes[name] = RuntimeInfo(path=runtime.path, runtime_args=runtime.arguments or None)
        return runtimes

    async def disk_usage(self, kinds: frozenset[str]) -> DiskUsage:
        """Measure the kinds asked for; all, when none is named."""
        core = self._core
        wanted = kinds or frozenset({"container", "image", "volume", "build-cache"})
        images = containers = volumes = None
        layers_size = 0
        if "image" in wanted:
            options = ImageListOptions(all=True, shared_size=True, containers=True)
            images = tuple(await self._images.list(options))
            layers_size = await core.in_thread(self._layers_size)
        if "container" in wanted:
            everything = ContainerListOptions(all=True, size=True)
            containers = tuple(await listing.list_containers(core, everything))
        if "volume" in wanted:
            volumes = await core.in_thread(self._measure_volumes)
        return DiskUsage(
            layers_size=layers_size,
            images=images,
            containers=containers,
            volumes=volumes,
            build_cache=await self._builds.usage() if "build-cache" in wanted else None,
        )

    def _layers_size(self) -> int:
        chains = {chain for image in self._core.images.list() for chain in image.chain_ids}
        return sum(
            self._core.snapshots.usage(chain).size_bytes
            for chain in chains
            if chain in self._core.snapshots
        )

    def _measure_volumes(self) -> tuple[Volume, ...]:
        volumes = self._core.volumes
        return tuple(
            describe_volume(
                volume,
                VolumeUsage(
                    size=volumes.usage_bytes(volume.name), ref_count=len(volumes.users(volume.name))
                ),
            )
            for volume in volumes.volumes()
        )

    async def events(self, options: EventsOptions) -> AsyncIterator[EventMessage]:
        """Tell kept events, then new ones."""
        subscription = self._core.bus.subscribe(
            since_ns=options.since_ns, until_ns=options.until_ns, filters=options.filters
        )
        return _messages(subscription)

    async def login(self, auth: AuthConfig, *, trust: RegistryTrust | None = None) -> AuthResponse:
        """Try credentials at their registry."""
        credentials = make_credentials(auth)
        if credentials is None:
            raise Unauthorized("Error: Password Required")
        settings = registry_settings(self._core.settings, trust)
        await self._core.in_thread(login, credentials, settings)
        return AuthResponse(status="Login Succeeded")


def _masked(proxy: str) -> str:
    """Hide a name and a password in a proxy's address, as dockerd does."""
    return re.sub(r"//[^/@]*@", "//xxxxx:xxxxx@", proxy)


async def _messages(events: AsyncIterator[Event]) -> AsyncIterator[EventMessage]:
    async for event in events:
        yield describe_event(event)


def describe_event(event: Event) -> EventMessage:
    """Return an event in Docker's words, the fields of old clients included."""
    old = event.type in ("container", "image")
    return EventMessage(
        status=event.action if old else "",
        id=event.id if old else "",
        origin=event.attributes.get("image", "") if event.type == "container" else "",
        type=event.type,
        action=event.action,
        actor=EventActor(id=event.id, attributes=event.attributes),
        scope="local",
        time=event.time_ns // 1_000_000_000,
        time_nano=event.time_ns,
    )


def _cgroup_support() -> dict[str, Any]:
    """Say which limits this kernel has, under the names of ``SystemInfo``'s fields."""
    unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    if unified:
        with open("/sys/fs/cgroup/cgroup.controllers", encoding="ascii") as file:
            found = set(file.read().split())
        cpu, memory = "cpu" in found, "memory" in found
        cpuset, pids, swap = "cpuset" in found, "pids" in found, memory
    else:
        root = "/sys/fs/cgroup"
        cpu = os.path.exists(f"{root}/cpu/cpu.shares")
        memory = os.path.exists(f"{root}/memory/memory.limit_in_bytes")
        swap = os.path.exists(f"{root}/memory/memory.memsw.limit_in_bytes")
        cpuset = os.path.exists(f"{root}/cpuset/cpuset.cpus")
        pids = os.path.exists(f"{root}/pids")
    quota = cpu and (unified or os.path.exists("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))
    return {
        "memory_limit": memory,
        "swap_limit": swap,
        "cpu_cfs_period": quota,
        "cpu_cfs_quota": quota,
        "cpu_shares": cpu,
        "cpu_set": cpuset,
        "pids_limit": pids,
        "oom_kill_disable": memory and not unified,
    }


def _security_options(profile: str, *, unified: bool) -> tuple[str, ...]:
    options = (f"name=seccomp,profile={profile}",)
    return (*options, "name=cgroupns") if unified else options


def _reads(path: str, expected: str) -> bool:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip() == expected
    except OSError:
        return False


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}
