"""Every field of a container's creation, with what shows that it is honoured or refused.

``CASES`` is read by ``test_fields.py``, which fails for a field of the API's description that has
no case. Cases of one ``box`` share one container.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Seen:
    """Honoured: ``command``, run in the container as its first program, prints ``expected``.

    Attributes:
        value: the field's; ``$parent`` and ``$disk`` stand for facts of the machine.
        expected: a pattern for all that the command prints, without the last line feed.
        box: which container has it.
    """

    value: Any
    command: str
    expected: str
    box: str = "main"


@dataclass(frozen=True)
class Told:
    """Honoured: ``inspect`` of the running container has ``expected``, a pattern, at ``place``."""

    value: Any
    place: str
    expected: str
    box: str = "main"


@dataclass(frozen=True)
class Refused:
    """Refused: creation with ``value``, and ``also`` in its body, is answered ``sentence``."""

    value: Any
    sentence: str
    status: int = 400
    also: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class By:
    """Honoured: a test of its own shows it."""

    test: str


Case = Seen | Told | Refused | By

DISK = next(name for name in sorted(os.listdir("/sys/block")) if os.path.exists(f"/dev/{name}"))
_DISK_NUMBERS = Path(f"/sys/block/{DISK}/dev").read_text().strip()
CGROUP = "/sys/fs/cgroup"


def _cat(*files: str) -> str:
    return "cat " + " ".join(files)


def _throttle(kind: str) -> Seen:
    return Seen(
        [{"Path": f"/dev/{DISK}", "Rate": 1048576}],
        _cat(f"{CGROUP}/blkio/blkio.throttle.{kind}_device"),
        f"{_DISK_NUMBERS} 1048576",
    )


CONFIG: dict[str, Case] = {
    "Hostname": Seen("box", "hostname; grep -c '\tbox.example.org box$' /etc/hosts", "box\n1"),
    "Domainname": Seen("example.org", _cat("/proc/sys/kernel/domainname"), "example.org"),
    "User": Seen("33:29", "id -u; id -g", "33\n29", "user"),
    "AttachStdin": Told(True, "Config.AttachStdin", "True"),
    "AttachStdout": Told(True, "Config.AttachStdout", "True"),
    "AttachStderr": Told(True, "Config.AttachStderr", "True"),
    "ExposedPorts": Told({"8/tcp": {}}, "NetworkSettings.Ports.8/tcp", ".*'HostPort': '[0-9]+'.*"),
    "Tty": Seen(True, "test -t 1 && tty", "/dev/pts/0", "terminal"),
    "OpenStdin": Seen(True, "test -p /dev/stdin && echo open", "open"),
    "StdinOnce": By("test_stdin_once_ends_stdin_with_its_first_client"),
    "Env": Seen(["A=1", "B=two words", "A=3"], 'echo "$A $B"', "3 two words"),
    "Cmd": Seen([], "tr '\\0' ' ' </proc/self/cmdline | wc -w", "[0-9]+"),
    "Healthcheck": By("test_every_field_of_a_health_check"),
    "ArgsEscaped": Told(True, "Config.ArgsEscaped", "True"),
    "Image": Seen("busybox", "test -x /bin/busybox && echo busybox", "busybox"),
    "Volumes": Seen({"/anonymous": {}}, "grep -c ' /anonymous ' /proc/mounts", "1"),
    "WorkingDir": Seen("/made/here", "pwd", "/made/here"),
    "Entrypoint": Seen(["/bin/busybox", "env", "BY=entrypoint"], "echo $BY", "entrypoint", "user"),
    "NetworkDisabled": Seen(True, "ls /sys/class/net", "lo", "no network"),
    "OnBuild": By("test_a_commit_has_what_was_said_at_creation"),
    "Labels": Told({"a.b": "c"}, "Config.Labels", ".*'a.b': 'c'.*"),
    "StopSignal": By("test_stop_signal_and_timeout"),
    "StopTimeout": By("test_stop_signal_and_timeout"),
    "Shell": By("test_every_field_of_a_health_check"),
}

HOST_CONFIG: dict[str, Case] = {
    "CpuShares": Seen(512, _cat(f"{CGROUP}/cpu/cpu.shares"), "512"),
    "Memory": Seen(64 << 20, _cat(f"{CGROUP}/memory/memory.limit_in_bytes"), "67108864"),
    "CgroupParent": Seen("$parent/below", "grep -c '/below/' /proc/self/cgroup", "[1-9][0-9]*"),
    "BlkioWeight": Seen(300, f"cat {CGROUP}/blkio/blkio*.weight", "300"),
    "BlkioWeightDevice": By("test_a_weight_for_a_device_without_bfq_is_refused"),
    "BlkioDeviceReadBps": _throttle("read_bps"),
    "BlkioDeviceWriteBps": _throttle("write_bps"),
    "BlkioDeviceReadIOps": _throttle("read_iops"),
    "BlkioDeviceWriteIOps": _throttle("write_iops"),
    "CpuPeriod": Seen(50000, _cat(f"{CGROUP}/cpu/cpu.cfs_period_us"), "50000"),
    "CpuQuota": Seen(25000, _cat(f"{CGROUP}/cpu/cpu.cfs_quota_us"), "25000"),
    "CpuRealtimePeriod": Seen(900000, _cat(f"{CGROUP}/cpu/cpu.rt_period_us"), "900000"),
    "CpuRealtimeRuntime": By("test_realtime_runtime_is_for_the_kernel_to_grant"),
    "CpusetCpus": Seen("0", _cat(f"{CGROUP}/cpuset/cpuset.cpus"), "0"),
    "CpusetMems": Seen("0", _cat(f"{CGROUP}/cpuset/cpuset.mems"), "0"),
    "Devices": Seen(
        [{"PathOnHost": "/dev/zero", "PathInContainer": "/dev/nought", "CgroupPermissions": "r"}],
        "head -c 1 /dev/nought | od -An -tx1",
        " *00",
    ),
    "DeviceCgroupRules": Seen(
        ["c 10:200 rwm"], _cat(f"{CGROUP}/devices/devices.list | grep 10:200"), "c 10:200 rwm"
    ),
    "DeviceRequests": Refused(
        [{"Driver": "nvidia", "Count": -1, "Capabilities": [["gpu"]]}],
        'could not select device driver "nvidia" with capabilities: \\[\\[gpu\\]\\]',
        501,
    ),
    "MemoryReservation": Seen(
        32 << 20, _cat(f"{CGROUP}/memory/memory.soft_limit_in_bytes"), "33554432"
    ),
    "MemorySwap": Seen(96 << 20, _cat(f"{CGROUP}/memory/memory.memsw.limit_in_bytes"), "100663296"),
    "MemorySwappiness": Seen(7, _cat(f"{CGROUP}/memory/memory.swappiness"), "7"),
    "NanoCpus": Seen(500_000_000, _cat(f"{CGROUP}/cpu/cpu.cfs_quota_us"), "50000", "user"),
    "OomKillDisable": Seen(
        True, f"grep oom_kill_disable {CGROUP}/memory/memory.oom_control", "oom_kill_disable 1"
    ),
    "Init": Seen(True, "test $$ -gt 1 && echo not first", "not first"),
    "PidsLimit": Seen(77, _cat(f"{CGROUP}/pids/pids.max"), "77"),
    "Ulimits": Seen(
        [{"Name": "nofile", "Soft": 99, "Hard": 100}], "ulimit -n; ulimit -Hn", "99\n100"
    ),
    "CpuCount": Refused(1, "cpu_count is only supported on Windows"),
    "CpuPercent": Refused(1, "cpu_percent is only supported on Windows"),
    "IOMaximumIOps": Refused(1, "io_maximum_iops is only supported on Windows"),
    "IOMaximumBandwidth": Refused(1, "io_maximum_bandwidth is only supported on Windows"),
    "Binds": Seen(["/etc:/bound:ro"], "grep ' /bound ' /proc/mounts | cut -d' ' -f4", "ro,.*"),
    "ContainerIDFile": Told("/tmp/x", "HostConfig.ContainerIDFile", "/tmp/x"),
    "LogConfig": By("test_log_config"),
    "NetworkMode": Seen("none", "ls /sys/class/net", "lo", "terminal"),
    "PortBindings": Told(
        {"9/tcp": [{"HostIp": "127.0.0.1", "HostPort": "9009"}]},
        "NetworkSettings.Ports.9/tcp",
        ".*'127.0.0.1'.*'9009'.*",
    ),
    "RestartPolicy": By("test_restart_policy"),
    "AutoRemove": By("test_auto_remove"),
    "VolumeDriver": Refused("nosuch", "nosuch", also={"Volumes": {"/new": {}}}),
    "VolumesFrom": Seen(["other:ro"], "grep ' /shared ' /proc/mounts | cut -d' ' -f4", "ro,.*"),
    "Mounts": By("Mount"),
    "ConsoleSize": Seen([30, 100], "stty size", "30 100", "terminal"),
    "Annotations": By("test_annotations_reach_the_runtime"),
    "CapAdd": Seen(["SYS_PTRACE"], "grep CapEff /proc/self/status", "CapEff:\t00000000a80c25db"),
    "CapDrop": Seen(["KILL"], "grep CapBnd /proc/self/status", "CapBnd:\t00000000a80c25db"),
    "CgroupnsMode": Seen("private", "grep -c ':/$' /proc/1/cgroup", "[1-9][0-9]*", "user"),
    "Dns": Seen(["9.9.9.9"], "grep 9.9.9.9 /etc/resolv.conf", ".*9.9.9.9.*"),
    "DnsOptions": Seen(["ndots:7"], "grep ^options /etc/resolv.conf", ".*ndots:7.*"),
    "DnsSearch": Seen(["a.example"], "grep ^search /etc/resolv.conf", "search a.example"),
    "ExtraHosts": Seen(["db:10.0.0.9"], "grep -w db /etc/hosts", "10.0.0.9\tdb"),
    "GroupAdd": Seen(["77"], "id -G", ".* 77"),
    "IpcMode": Seen("none", "grep -c ' /dev/shm ' /proc/mounts", "0", "no network"),
    "Cgroup": Refused("container:x", "invalid cgroup mode: container:x"),
    "Links": Seen(["other:friend"], "grep -c friend /etc/hosts", "1", "linked"),
    "OomScoreAdj": Seen(123, _cat("/proc/self/oom_score_adj"), "123"),
    "PidMode": Seen("container:other", _cat("/proc/1/cmdline"), "sleep.1000.", "no network"),
    "Privileged": Seen(True, "grep Seccomp: /proc/self/status", "Seccomp:\t0", "privileged"),
    "PublishAllPorts": Told(True, "NetworkSettings.Ports.8/tcp", ".*'HostPort': '[0-9]+'.*"),
    "ReadonlyRootfs": Seen(True, "touch /x", ".*Read-only file system"),
    "SecurityOpt": Seen(
        ["no-new-privileges"], "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1"
    ),
    "StorageOpt": Refused({"size": "1G"}, "--storage-opt is supported only for overlay over", 501),
    "Tmpfs": Seen({"/scratch": "size=1m"}, "df -k /scratch | awk 'END{print $2}'", "1024"),
    "UTSMode": Seen("host", "readlink /proc/self/ns/uts", r"$uts", "privileged"),
    "UsernsMode": Seen("host", "readlink /proc/self/ns/user", r"$user", "privileged"),
    "ShmSize": Seen(2 << 20, "df -k /dev/shm | awk 'END{print $2}'", "2048"),
    "Sysctls": Seen({"kernel.msgmax": "9999"}, _cat("/proc/sys/kernel/msgmax"), "9999"),
    "Runtime": Seen("runc", "echo by runc", "by runc", "by runc"),
    "Isolation": Refused("hyperv", "invalid isolation"),
    "MaskedPaths": Seen(["/proc/uptime"], "wc -c </proc/uptime", "0"),
    "ReadonlyPaths": Seen(
        ["/proc/sysvipc"], "grep ' /proc/sysvipc ' /proc/mounts | cut -d' ' -f4", "ro,.*"
    ),
}

ENDPOINT: dict[str, Case] = {
    "IPAMConfig": By("EndpointIPAMConfig"),
    "Links": Seen(["other:friend"], "nslookup friend | grep -c $other", "[1-9]", "endpoint"),
    "MacAddress": Seen(
        "02:00:00:00:00:77", "cat /sys/class/net/eth0/address", "02:00:00:00:00:77", "endpoint"
    ),
    "Aliases": Seen(["nick"], "nslookup nick | grep -c 10.66.0.9", "[1-9]", "endpoint"),
    "DriverOpts": Seen(
        {"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.log_martians=1"},
        _cat("/proc/sys/net/ipv4/conf/eth0/log_martians"),
        "1",
        "endpoint",
    ),
    "GwPriority": By("test_the_gateway_is_the_network_s_with_the_highest_priority"),
    # What the engine tells; what a client says of it is not used, as with dockerd.
    "NetworkID": Told("x", "NetworkSettings.Networks.fields.NetworkID", "[0-9a-f]{64}", "endpoint"),
    "EndpointID": Told(
        "x", "NetworkSettings.Networks.fields.EndpointID", "[0-9a-f]{64}", "endpoint"
    ),
    "Gateway": Told("9.9.9.9", "NetworkSettings.Networks.fields.Gateway", "10.66.0.1", "endpoint"),
    "IPAddress": Told(
        "9.9.9.9", "NetworkSettings.Networks.fields.IPAddress", "10.66.0.9", "endpoint"
    ),
    "IPPrefixLen": Told(8, "NetworkSettings.Networks.fields.IPPrefixLen", "24", "endpoint"),
    "IPv6Gateway": Told(
        "::9", "NetworkSettings.Networks.fields.IPv6Gateway", "fd66::1", "endpoint"
    ),
    "GlobalIPv6Address": Told(
        "::9", "NetworkSettings.Networks.fields.GlobalIPv6Address", "fd66::9", "endpoint"
    ),
    "GlobalIPv6PrefixLen": Told(
        9, "NetworkSettings.Networks.fields.GlobalIPv6PrefixLen", "64", "endpoint"
    ),
    "DNSNames": Told(["x"], "NetworkSettings.Networks.fields.DNSNames", ".*'nick'.*", "endpoint"),
}

ENDPOINT_IPAM: dict[str, Case] = {
    "IPv4Address": Seen("10.66.0.9", "ip -4 -o addr show eth0", ".*10.66.0.9/24.*", "endpoint"),
    "IPv6Address": Seen("fd66::9", "ip -6 -o addr show eth0", ".*fd66::9/64.*", "endpoint"),
    "LinkLocalIPs": Seen(
        ["169.254.8.8"], "ip -4 -o addr show eth0", ".*169.254.8.8/.*", "endpoint"
    ),
}

_OPTIONS_OF = "grep ' {} ' /proc/mounts | cut -d' ' -f4"
MOUNT: dict[str, Case] = {
    "Target": Seen(
        {"Type": "tmpfs", "Target": "/m/target"}, "grep -c ' /m/target ' /proc/mounts", "1"
    ),
    "Source": Seen(
        {"Type": "bind", "Source": "/proc/sys/kernel", "Target": "/m/source"},
        "test -e /m/source/ostype && echo there",
        "there",
    ),
    "Type": Refused({"Type": "npipe", "Source": "x", "Target": "/y"}, "mount type unknown"),
    "ReadOnly": Seen(
        {"Type": "bind", "Source": "/etc", "Target": "/m/ro", "ReadOnly": True},
        _OPTIONS_OF.format("/m/ro"),
        "ro,.*",
    ),
    "Consistency": Told(
        {"Type": "tmpfs", "Target": "/m/cached", "Consistency": "cached"},
        "HostConfig.Mounts",
        ".*'Consistency': 'cached'.*",
    ),
    "BindOptions": Seen(
        {
            "Type": "bind",
            "Source": "/etc",
            "Target": "/m/slave",
            "BindOptions": {"Propagation": "rslave"},
        },
        "grep ' /m/slave ' /proc/self/mountinfo | grep -c master:",
        "1",
    ),
    "VolumeOptions": Seen(
        {
            "Type": "volume",
            "Target": "/bin/filled",
            "Source": "filled",
            "VolumeOptions": {"NoCopy": True, "Labels": {"l": "v"}},
        },
        "ls -A /bin/filled | wc -l",
        "0",
    ),
    "ImageOptions": Seen(
        {
            "Type": "image",
            "Source": "busybox",
            "Target": "/m/image",
            "ImageOptions": {"Subpath": "etc"},
        },
        "test -e /m/image/passwd && echo there",
        "there",
    ),
    "TmpfsOptions": Seen(
        {
            "Type": "tmpfs",
            "Target": "/m/tmpfs",
            "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o1770, "Options": [["noexec"]]},
        },
        "stat -c %a /m/tmpfs; df -k /m/tmpfs | awk 'END{print $2}'; "
        "grep ' /m/tmpfs ' /proc/mounts | grep -c noexec",
        "1770\n1024\n1",
    ),
}

CASES: dict[str, dict[str, Case]] = {
    "ContainerConfig": CONFIG,
    "HostConfig": HOST_CONFIG,
    "EndpointSettings": ENDPOINT,
    "EndpointIPAMConfig": ENDPOINT_IPAM,
    "Mount": MOUNT,
}
"""Definition, field, case."""
