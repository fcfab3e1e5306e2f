"""What the machine grants a container: ``HostConfig`` and its parts.

Every field is honoured or refused with a sentence by the engine, never ignored. ``Resources`` is a
class of its own because ``docker update`` changes exactly these on a running container.

Source: Engine API ``HostConfig``, ``Resources``.
"""

from cutaway.model.base import Int64, Model, Uint16, Uint32, always, named
from cutaway.model.mount import Mount
from cutaway.model.port import PortMap


class LogConfig(Model):
    """Where a container's output is kept.

    Attributes:
        type: ``json-file local none journald syslog …``; empty: the engine's default.
        config: the driver's options, such as ``max-size``.
    """

    type: str = always("")
    config: dict[str, str] | None = always(None)


class RestartPolicy(Model):
    """When to start a container again after it exited.

    Attributes:
        name: ``no`` (or empty), ``always``, ``unless-stopped``, ``on-failure``.
        maximum_retry_count: for ``on-failure``; 0: without end.
    """

    name: str = always("")
    maximum_retry_count: Int64 = always(0)


class WeightDevice(Model):
    """A block device's share of I/O time: 10 to 1000."""

    path: str = always("")
    weight: Uint16 = always(0)


class ThrottleDevice(Model):
    """A block device's ceiling, in bytes or operations a second."""

    path: str = always("")
    rate: Int64 = always(0)


class DeviceMapping(Model):
    """A host device shown in a container (``--device``).

    Attributes:
        cgroup_permissions: some of ``r``, ``w``, ``m``.
    """

    path_on_host: str = always("")
    path_in_container: str = always("")
    cgroup_permissions: str = always("")


class DeviceRequest(Model):
    """A wish for devices that a driver picks (``--gpus``, CDI).

    Attributes:
        count: how many; -1: all.
        capabilities: an OR of ANDs, such as ``(("gpu", "nvidia"),)``.
    """

    driver: str = always("")
    count: Int64 = always(0)
    device_ids: tuple[str, ...] | None = always(None, name="DeviceIDs")
    capabilities: tuple[tuple[str, ...], ...] | None = always(None)
    options: dict[str, str] | None = always(None)


class Ulimit(Model):
    """One resource limit (setrlimit(2)) of a container's processes; -1: unlimited."""

    name: str = always("")
    hard: Int64 = always(0)
    soft: Int64 = always(0)


class Resources(Model):
    """Limits of a container: cgroup values, devices and rlimits. 0 or None: no limit.

    Attributes:
        cpu_shares: relative weight; 1024 is ordinary.
        memory: bytes, at least 6 MiB.
        nano_cpus: billionths of a CPU; excludes ``cpu_period`` and ``cpu_quota``.
        cgroup_parent: the cgroup below which the container's is made.
        blkio_weight: 10 to 1000.
        cpu_period: microseconds. cpu_quota: microseconds in each period.
        cpuset_cpus: such as ``0-2,7``.
        device_cgroup_rules: such as ``c 13:* rwm``.
        memory_swap: bytes of memory and swap together; -1: unlimited swap.
        memory_swappiness: 0 to 100; None or -1: the kernel's.
        pids_limit: None or 0 or -1: unlimited.
        kernel_memory, kernel_memory_tcp: of old clients; the kernel has no such limit any more.
        cpu_count, cpu_percent, io_maximum_iops, io_maximum_bandwidth: Windows only; refused.
    """

    cpu_shares: Int64 = always(0)
    memory: Int64 = always(0)
    nano_cpus: Int64 = always(0)
    cgroup_parent: str = always("")
    blkio_weight: Uint16 = always(0)
    blkio_weight_device: tuple[WeightDevice, ...] | None = always(None)
    blkio_device_read_bps: tuple[ThrottleDevice, ...] | None = always(None)
    blkio_device_write_bps: tuple[ThrottleDevice, ...] | None = always(None)
    blkio_device_read_iops: tuple[ThrottleDevice, ...] | None = always(
        None, name="BlkioDeviceReadIOps"
    )
    blkio_device_write_iops: tuple[ThrottleDevice, ...] | None = always(
        None, name="BlkioDeviceWriteIOps"
    )
    cpu_period: Int64 = always(0)
    cpu_quota: Int64 = always(0)
    cpu_realtime_period: Int64 = always(0)
    cpu_realtime_runtime: Int64 = always(0)
    cpuset_cpus: str = always("")
    cpuset_mems: str = always("")
    devices: tuple[DeviceMapping, ...] | None = always(None)
    device_cgroup_rules: tuple[str, ...] | None = always(None)
    device_requests: tuple[DeviceRequest, ...] | None = always(None)
    kernel_memory: Int64 = 0
    kernel_memory_tcp: Int64 = named(0, name="KernelMemoryTCP")
    memory_reservation: Int64 = always(0)
    memory_swap: Int64 = always(0)
    memory_swappiness: Int64 | None = always(None)
    oom_kill_disable: bool | None = always(None)
    pids_limit: Int64 | None = always(None)
    ulimits: tuple[Ulimit, ...] | None = always(None)
    cpu_count: Int64 = always(0)
    cpu_percent: Int64 = always(0)
    io_maximum_iops: Int64 = always(0, name="IOMaximumIOps")
    io_maximum_bandwidth: Int64 = always(0, name="IOMaximumBandwidth")


class HostConfig(Resources):
    """Everything about a container that depends on the machine it runs on.

    Attributes:
        binds: short volume syntax, ``source:target[:options]``.
        container_id_file: where the *client* wrote the id; the engine only records it.
        network_mode: ``default bridge host none container:ID`` or a network's name.
        port_bindings: ``80/tcp`` to where it is published.
        auto_remove: remove the container and its anonymous volumes when it has exited.
        volumes_from: ``CONTAINER[:ro]``.
        console_size: height, width of the first terminal.
        annotations: passed to the OCI runtime.
        cap_add, cap_drop: with or without ``CAP_``; ``ALL``.
        cgroupns_mode: ``host``, ``private``; empty: private on cgroup v2, host otherwise.
        extra_hosts: ``name:address``; the address ``host-gateway`` is the bridge's.
        group_add: supplementary groups, by name or number.
        ipc_mode: ``none private shareable host container:ID``; empty: private.
        pid_mode: empty: its own; ``host``; ``container:ID``.
        uts_mode: empty: its own; ``host``. userns_mode: empty or ``host``.
        links: legacy, ``container:alias``.
        oom_score_adj: -1000 to 1000.
        security_opt: ``no-new-privileges seccomp=… apparmor=… label=… systempaths=unconfined``.
        storage_opt: ``size`` where the file system has project quotas.
        tmpfs: container path to mount options.
        shm_size: bytes of /dev/shm; 0: 64 MiB.
        runtime: name of an OCI runtime; empty: the engine's default.
        isolation: Windows; empty or ``default`` here.
        masked_paths, readonly_paths: None: the default list; empty: none.
        init: run an init as PID 1; None: the engine's default.
        egress: not Docker's: ``none``, ``lan`` or ``allow=example.org:443,…``.
    """

    binds: tuple[str, ...] | None = always(None)
    container_id_file: str = always("", name="ContainerIDFile")
    log_config: LogConfig = always(LogConfig())
    network_mode: str = always("")
    port_bindings: PortMap | None = always(None)
    restart_policy: RestartPolicy = always(RestartPolicy())
    auto_remove: bool = always(False)
    volume_driver: str = always("")
    volumes_from: tuple[str, ...] | None = always(None)
    console_size: tuple[Uint32, Uint32] = always((0, 0))
    annotations: dict[str, str] | None = None
    cap_add: tuple[str, ...] | None = always(None)
    cap_drop: tuple[str, ...] | None = always(None)
    cgroupns_mode: str = always("")
    dns: tuple[str, ...] | None = always(None)
    dns_options: tuple[str, ...] | None = always(None)
    dns_search: tuple[str, ...] | None = always(None)
    extra_hosts: tuple[str, ...] | None = always(None)
    group_add: tuple[str, ...] | None = always(None)
    ipc_mode: str = always("")
    cgroup: str = always("")
    links: tuple[str, ...] | None = always(None)
    oom_score_adj: Int64 = always(0)
    pid_mode: str = always("")
    privileged: bool = always(False)
    publish_all_ports: bool = always(False)
    readonly_rootfs: bool = always(False)
    security_opt: tuple[str, ...] | None = always(None)
    storage_opt: dict[str, str] | None = None
    tmpfs: dict[str, str] | None = None
    uts_mode: str = always("", name="UTSMode")
    userns_mode: str = always("")
    shm_size: Int64 = always(0)
    sysctls: dict[str, str] | None = None
    runtime: str = ""
    isolation: str = always("")
    mounts: tuple[Mount, ...] | None = None
    masked_paths: tuple[str, ...] | None = always(None)
    readonly_paths: tuple[str, ...] | None = always(None)
    init: bool | None = None
    egress: str = ""


class UpdateConfig(Resources):
    """What ``docker update`` changes; a field at its default is left as it was."""

    restart_policy: RestartPolicy = RestartPolicy()


class ContainerUpdateResponse(Model):
    """What the engine has to say after an update."""

    warnings: tuple[str, ...] | None = always(None)
