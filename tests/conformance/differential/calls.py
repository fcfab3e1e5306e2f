"""The table of API calls that both engines answer; names stand for what earlier calls made.

A ``Call`` is one exchange. A scenario is a list of calls that may build on each other; scenarios
are
independent of each other but for the busybox image.
"""

from dataclasses import dataclass, field
from typing import Any

VERSION = "/v1.51"


@dataclass(frozen=True)
class Call:
    """One exchange.

    Attributes:
        path: without version unless it starts with ``!``; ``$name`` is replaced by what was kept.
        body: JSON if not bytes.
        keep: name to the field of the answer that it shall stand for.
        raw_stream: send the upgrade headers, close our side and read to the end.
        unordered: the answer's top-level list (or its member ``unordered``) has no order.
    """

    method: str
    path: str
    body: Any = None
    keep: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    raw_stream: bool = False
    note: str = ""

    @property
    def name(self) -> str:
        """How differences.toml calls it."""
        return f"{self.method} {self.path}" + (f" # {self.note}" if self.note else "")


def get(path: str, note: str = "") -> Call:
    return Call("GET", path, note=note)


def post(path: str, body: Any = None, note: str = "", **keep: str) -> Call:
    return Call("POST", path, body, keep=keep, note=note)


def delete(path: str, note: str = "") -> Call:
    return Call("DELETE", path, note=note)


def _query(filters: str) -> str:
    return filters.replace('"', "%22").replace("{", "%7B").replace("}", "%7D").replace(" ", "%20")


def listing(what: str, filters: str, rest: str = "") -> Call:
    return get(f"/{what}?{rest}filters={_query(filters)}")


SYSTEM = [
    get("/_ping"),
    Call("HEAD", "/_ping"),
    get("!/_ping"),
    get("/version"),
    get("/info"),
    get("/nothing/here"),
    post("/_ping"),
    get("!/v1.12/info"),
    get("!/v1.99/info"),
    get("!/v1.51x/info"),
    get("!/v1.24/version"),
    get("/plugins"),
    get("/swarm"),
    get("/nodes"),
    get("/services"),
    get("/tasks"),
    get("/secrets"),
    get("/configs"),
    post("/swarm/leave"),
    post("/auth", {}),
    post("/auth", b"{"),
    get("/events?since=1&until=2"),
    get("/events?since=5&until=2"),
    get("/events?since=abc&until=2"),
    listing("events", '{"nonsense":["x"]}', "since=1&until=2&"),
    get("/events?since=1&until=2&filters=nonsense"),
    get("/system/df"),
    get("/system/df?type=container"),
    get("/system/df?type=nonsense"),
]

SLEEPER = {"Image": "busybox", "Cmd": ["sleep", "1000"], "StopSignal": "SIGKILL"}

CONTAINER_LIFE = [
    post("/containers/create?name=one", SLEEPER, one="Id"),
    get("/containers/one/json", "created"),
    get("/containers/json"),
    get("/containers/json?all=1", "created"),
    get("/containers/one/top", "not running"),
    get("/containers/one/stats?stream=0", "not running"),
    get("/containers/one/logs?stdout=1", "never started"),
    get("/containers/one/logs"),
    post("/containers/one/pause", note="not running"),
    post("/containers/one/unpause", note="not running"),
    post("/containers/one/kill", note="not running"),
    post("/containers/one/stop", note="not running"),
    post("/containers/one/resize?h=10&w=10", note="not running"),
    post("/containers/one/exec", {"Cmd": ["true"]}, note="not running"),
    post("/containers/one/start"),
    post("/containers/one/start", note="again"),
    get("/containers/one/json", "running"),
    get("/containers/one/json?size=1", "running"),
    get("/containers/json", "running"),
    get("/containers/json?size=1", "running"),
    get("/containers/one/top"),
    get("/containers/one/top?ps_args=-o%20pid,comm"),
    get("/containers/one/top?ps_args=aux"),
    get("/containers/one/top?ps_args=-o%20comm"),
    get("/containers/one/top?ps_args=--nonsense"),
    get("/containers/one/stats?stream=0&one-shot=1"),
    get("/containers/one/changes"),
    post("/containers/one/pause"),
    post("/containers/one/pause", note="again"),
    get("/containers/one/json", "paused"),
    get("/containers/json", "paused"),
    post("/containers/one/exec", {"Cmd": ["true"]}, note="paused"),
    post("/containers/one/start", note="paused"),
    post("/containers/one/unpause"),
    post("/containers/one/unpause", note="again"),
    delete("/containers/one", "running"),
    post("/containers/one/rename?name=two"),
    post("/containers/two/rename?name=two", note="same"),
    post("/containers/two/rename?name="),
    post("/containers/two/rename?name=b@d"),
    post("/containers/none/rename?name=x"),
    get("/containers/two/json", "renamed"),
    post("/containers/two/update", {"Memory": 64 << 20, "MemorySwap": 128 << 20}),
    post("/containers/two/update", {"CpuShares": 512, "PidsLimit": 50}),
    post(
        "/containers/two/update", {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}
    ),
    post("/containers/two/update", {"RestartPolicy": {"Name": "sometimes"}}),
    post("/containers/two/update", {"Memory": 1}),
    post("/containers/two/update", {"NanoCpus": -1}),
    post("/containers/two/update", {"CpusetCpus": "999"}),
    post("/containers/two/update", {"CpusetCpus": "x"}),
    post("/containers/none/update", {}),
    get("/containers/two/json", "updated"),
    post("/containers/two/kill?signal=SIGNONSENSE"),
    post("/containers/two/kill?signal=0"),
    post("/containers/two/kill?signal=CONT"),
    post("/containers/two/stop?t=0"),
    post("/containers/two/stop?t=0", note="again"),
    post("/containers/two/wait"),
    post("/containers/two/wait?condition=nonsense"),
    get("/containers/two/json", "stopped"),
    get("/containers/json?all=1", "stopped"),
    post("/containers/two/restart?t=0"),
    get("/containers/two/json", "restarted"),
    post("/containers/two/kill"),
    post("/containers/two/wait", note="killed"),
    get("/containers/two/json", "killed"),
    delete("/containers/two?force=1&v=1"),
    delete("/containers/two", "gone"),
    get("/containers/two/json", "gone"),
]

NOBODY = [
    *(get(f"/containers/none/{what}") for what in ("json", "top", "stats", "changes", "export")),
    get("/containers/none/logs?stdout=1"),
    get("/containers/none/archive?path=/"),
    Call("HEAD", "/containers/none/archive?path=/"),
    Call(
        "PUT",
        "/containers/none/archive?path=/",
        b"x",
        headers={"Content-Type": "application/x-tar"},
    ),
    *(
        post(f"/containers/none/{what}")
        for what in ("start", "stop", "restart", "kill", "pause", "unpause", "wait", "attach")
    ),
    post("/containers/none/resize?h=1&w=1"),
    post("/containers/none/exec", {"Cmd": ["true"]}),
    post("/exec/none/start", {}),
    post("/exec/none/resize?h=1&w=1"),
    get("/exec/none/json"),
    get("/images/none/json"),
    get("/images/none/history"),
    get("/images/none/get"),
    delete("/images/none"),
    post("/images/none/tag?repo=x"),
    post("/images/none/push"),
    get("/networks/none"),
    delete("/networks/none"),
    post("/networks/none/connect", {"Container": "none"}),
    post("/networks/none/disconnect", {"Container": "none"}),
    get("/volumes/none"),
    delete("/volumes/none"),
    post("/commit?container=none", {}),
    get("/containers/sla%2Fsh/json"),
    get("/containers//json"),
]

# name: (body, whether to run it)
MADE: dict[str, tuple[dict[str, Any], bool]] = {
    "plain": ({"Image": "busybox", "Cmd": ["echo", "hi"]}, True),
    "string-cmd": ({"Image": "busybox", "Cmd": "true"}, True),
    "entrypoint": ({"Image": "busybox", "Entrypoint": ["echo", "a"], "Cmd": ["b"]}, True),
    "entrypoint-only": ({"Image": "busybox", "Entrypoint": ["id", "-u"]}, True),
    "both-streams": (
        {"Image": "busybox", "Cmd": ["sh", "-c", "echo out; sleep 0.1; echo err >&2; exit 3"]},
        True,
    ),
    "tty": ({"Image": "busybox", "Tty": True, "Cmd": ["sh", "-c", "tty; stty size"]}, True),
    "tty-size": (
        {
            "Image": "busybox",
            "Tty": True,
            "Cmd": ["stty", "size"],
            "HostConfig": {"ConsoleSize": [30, 100]},
        },
        True,
    ),
    "env": ({"Image": "busybox", "Env": ["A=1", "B", "PATH=/bin"], "Cmd": ["env"]}, True),
    "user": ({"Image": "busybox", "User": "33:audio", "Cmd": ["id"]}, True),
    "user-unknown": ({"Image": "busybox", "User": "nosuch", "Cmd": ["id"]}, True),
    "group-unknown": ({"Image": "busybox", "User": "0:nosuch", "Cmd": ["id"]}, True),
    "workdir": ({"Image": "busybox", "WorkingDir": "/a/b", "Cmd": ["pwd"]}, True),
    "workdir-relative": ({"Image": "busybox", "WorkingDir": "a/b", "Cmd": ["pwd"]}, True),
    "no-command": ({"Image": "busybox", "Cmd": ["nosuchprogram"]}, True),
    "not-executable": ({"Image": "busybox", "Cmd": ["/etc/passwd"]}, True),
    "a-directory": ({"Image": "busybox", "Cmd": ["/etc"]}, True),
    "workdir-file": ({"Image": "busybox", "WorkingDir": "/etc/passwd", "Cmd": ["pwd"]}, True),
    "hostname": (
        {
            "Image": "busybox",
            "Hostname": "h",
            "Domainname": "example.org",
            "Cmd": ["cat", "/etc/hostname"],
        },
        True,
    ),
    "labels": ({"Image": "busybox", "Labels": {"a": "1", "b": ""}, "Cmd": ["true"]}, False),
    "ports": (
        {
            "Image": "busybox",
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
            "Cmd": ["true"],
            "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "18080"}]}},
        },
        False,
    ),
    "limits": (
        {
            "Image": "busybox",
            "Cmd": ["true"],
            "HostConfig": {
                "Memory": 64 << 20,
                "MemoryReservation": 32 << 20,
                "NanoCpus": 500_000_000,
                "CpuShares": 77,
                "PidsLimit": 9,
                "CpusetCpus": "0",
                "BlkioWeight": 0,
                "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
            },
        },
        True,
    ),
    "mounts": (
        {
            "Image": "busybox",
            "Cmd": ["true"],
            "Volumes": {"/data": {}},
            "HostConfig": {
                "Binds": ["/tmp:/host:ro", "named:/named"],
                "Tmpfs": {"/scratch": "size=1m"},
                "Mounts": [
                    {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1048576}},
                    {"Type": "volume", "Target": "/v", "Source": "second", "ReadOnly": True},
                    {"Type": "bind", "Target": "/b", "Source": "/etc"},
                ],
            },
        },
        True,
    ),
    "privileged": ({"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Privileged": True}}, True),
    "caps": (
        {
            "Image": "busybox",
            "Cmd": ["grep", "CapEff", "/proc/self/status"],
            "HostConfig": {"CapAdd": ["net_admin", "CAP_SYS_PTRACE"], "CapDrop": ["ALL"]},
        },
        True,
    ),
    "restart": (
        {
            "Image": "busybox",
            "Cmd": ["true"],
            "HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}},
        },
        True,
    ),
    "log-none": (
        {"Image": "busybox", "Cmd": ["echo", "x"], "HostConfig": {"LogConfig": {"Type": "none"}}},
        True,
    ),
    "log-opts": (
        {
            "Image": "busybox",
            "Cmd": ["echo", "x"],
            "HostConfig": {
                "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}}
            },
        },
        True,
    ),
    "net-none": (
        {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}},
        True,
    ),
    "net-host": (
        {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "host"}},
        True,
    ),
    "net-disabled": ({"Image": "busybox", "Cmd": ["true"], "NetworkDisabled": True}, True),
    "dns": (
        {
            "Image": "busybox",
            "Cmd": ["cat", "/etc/resolv.conf"],
            "HostConfig": {
                "Dns": ["10.0.0.1"],
                "DnsSearch": ["x.org"],
                "DnsOptions": ["ndots:2"],
                "ExtraHosts": ["a:1.2.3.4"],
            },
        },
        True,
    ),
    "health": (
        {
            "Image": "busybox",
            "Cmd": ["true"],
            "Healthcheck": {
                "Test": ["CMD-SHELL", "true"],
                "Interval": 10**9,
                "Timeout": 10**9,
                "Retries": 2,
                "StartPeriod": 10**9,
            },
        },
        True,
    ),
    "health-none": ({"Image": "busybox", "Cmd": ["true"], "Healthcheck": {"Test": ["NONE"]}}, True),
    "read-only": (
        {"Image": "busybox", "Cmd": ["touch", "/x"], "HostConfig": {"ReadonlyRootfs": True}},
        True,
    ),
    "init": ({"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Init": False}}, True),
    "ipc-pid": (
        {
            "Image": "busybox",
            "Cmd": ["true"],
            "HostConfig": {"IpcMode": "host", "PidMode": "host", "UTSMode": "host"},
        },
        True,
    ),
    "ipc-private": (
        {
            "Image": "busybox",
            "Cmd": ["true"],
            "HostConfig": {"IpcMode": "private", "CgroupnsMode": "host"},
        },
        True,
    ),
    "sysctl": (
        {
            "Image": "busybox",
            "Cmd": ["cat", "/proc/sys/net/ipv4/ip_forward"],
            "HostConfig": {"Sysctls": {"net.ipv4.ip_forward": "0"}},
        },
        True,
    ),
    "security": (
        {
            "Image": "busybox",
            "Cmd": ["grep", "Seccomp:", "/proc/self/status"],
            "HostConfig": {"SecurityOpt": ["seccomp=unconfined", "no-new-privileges"]},
        },
        True,
    ),
    "devices": (
        {
            "Image": "busybox",
            "Cmd": ["stat", "-c", "%A %t %T", "/dev/nul"],
            "HostConfig": {
                "Devices": [
                    {
                        "PathOnHost": "/dev/null",
                        "PathInContainer": "/dev/nul",
                        "CgroupPermissions": "rwm",
                    }
                ]
            },
        },
        True,
    ),
    "stop": (
        {"Image": "busybox", "Cmd": ["true"], "StopSignal": "SIGUSR1", "StopTimeout": 3},
        False,
    ),
    "oom": (
        {
            "Image": "busybox",
            "Cmd": ["true"],
            "HostConfig": {"OomKillDisable": True, "Memory": 64 << 20, "OomScoreAdj": 100},
        },
        True,
    ),
    "auto-remove": (
        {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"AutoRemove": True}},
        False,
    ),
    "case": ({"image": "busybox", "CMD": ["true"], "hostconfig": {"memory": 67108864}}, False),
    "unknown-field": (
        {"Image": "busybox", "Cmd": None, "Nonsense": {"x": 1}, "HostConfig": None},
        False,
    ),
    "endpoint": (
        {
            "Image": "busybox",
            "Cmd": ["true"],
            "HostConfig": {"NetworkMode": "bridge"},
            "NetworkingConfig": {
                "EndpointsConfig": {"bridge": {"MacAddress": "02:42:ac:11:00:99"}}
            },
        },
        True,
    ),
    "by-id": ({"Image": "$busybox", "Cmd": ["true"]}, False),
    "tagged": ({"Image": "docker.io/library/busybox:latest", "Cmd": ["true"]}, False),
    "attach-stdin": (
        {
            "Image": "busybox",
            "Cmd": ["cat"],
            "AttachStdin": True,
            "OpenStdin": True,
            "StdinOnce": True,
            "AttachStdout": True,
            "AttachStderr": True,
        },
        False,
    ),
}

# name: (query, body): all refused
REFUSED: dict[str, tuple[str, Any]] = {
    "no body": ("", None),
    "empty object": ("", {}),
    "not JSON": ("", b"{"),
    "trailing garbage": ("", b'{"Image":"busybox"} x'),
    "array": ("", []),
    "wrong type": ("", {"Image": 5}),
    "wrong type inside": ("", {"Image": "busybox", "HostConfig": {"Memory": "much"}}),
    "unknown image": ("", {"Image": "nosuchimage"}),
    "bad image": ("", {"Image": "UPPER"}),
    "bad image id": ("", {"Image": "sha256:12"}),
    "bad name": ("name=b@d", {"Image": "busybox"}),
    "one letter": ("name=x", {"Image": "busybox"}),
    "slash name": ("name=/a/b", {"Image": "busybox"}),
    "platform": ("platform=nonsense/x/y/z", {"Image": "busybox"}),
    "other platform": ("platform=linux/s390x", {"Image": "busybox"}),
    "memory 1": ("", {"Image": "busybox", "HostConfig": {"Memory": 1}}),
    "swap without memory": ("", {"Image": "busybox", "HostConfig": {"MemorySwap": 100 << 20}}),
    "swap below memory": (
        "",
        {"Image": "busybox", "HostConfig": {"Memory": 100 << 20, "MemorySwap": 50 << 20}},
    ),
    "reservation above memory": (
        "",
        {"Image": "busybox", "HostConfig": {"Memory": 100 << 20, "MemoryReservation": 200 << 20}},
    ),
    "swappiness": ("", {"Image": "busybox", "HostConfig": {"MemorySwappiness": 101}}),
    "oom score": ("", {"Image": "busybox", "HostConfig": {"OomScoreAdj": 1001}}),
    "cpu quota": ("", {"Image": "busybox", "HostConfig": {"CpuQuota": 1}}),
    "cpu period": ("", {"Image": "busybox", "HostConfig": {"CpuPeriod": 1}}),
    "cpus and quota": (
        "",
        {"Image": "busybox", "HostConfig": {"NanoCpus": 10**9, "CpuQuota": 50000}},
    ),
    "too many cpus": ("", {"Image": "busybox", "HostConfig": {"NanoCpus": 10**15}}),
    "negative shares": ("", {"Image": "busybox", "HostConfig": {"CpuShares": -5}}),
    "cpuset": ("", {"Image": "busybox", "HostConfig": {"CpusetCpus": "0-999999999"}}),
    "cpuset text": ("", {"Image": "busybox", "HostConfig": {"CpusetCpus": "zero"}}),
    "blkio weight": ("", {"Image": "busybox", "HostConfig": {"BlkioWeight": 5}}),
    "shm": ("", {"Image": "busybox", "HostConfig": {"ShmSize": -1}}),
    "restart policy": (
        "",
        {"Image": "busybox", "HostConfig": {"RestartPolicy": {"Name": "sometimes"}}},
    ),
    "restart count with always": (
        "",
        {
            "Image": "busybox",
            "HostConfig": {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 3}},
        },
    ),
    "restart count negative": (
        "",
        {
            "Image": "busybox",
            "HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": -3}},
        },
    ),
    "auto-remove and restart": (
        "",
        {
            "Image": "busybox",
            "HostConfig": {"AutoRemove": True, "RestartPolicy": {"Name": "always"}},
        },
    ),
    "stop signal": ("", {"Image": "busybox", "StopSignal": "SIGNONSENSE"}),
    "relative bind": ("", {"Image": "busybox", "HostConfig": {"Binds": ["/tmp:relative"]}}),
    "bind of three": ("", {"Image": "busybox", "HostConfig": {"Binds": ["/tmp:/a:b:c"]}}),
    "bind mode": ("", {"Image": "busybox", "HostConfig": {"Binds": ["/tmp:/a:nonsense"]}}),
    "bind to root": ("", {"Image": "busybox", "HostConfig": {"Binds": ["/tmp:/"]}}),
    "bind twice": ("", {"Image": "busybox", "HostConfig": {"Binds": ["/tmp:/a", "/etc:/a"]}}),
    "empty bind": ("", {"Image": "busybox", "HostConfig": {"Binds": [""]}}),
    "mount type": (
        "",
        {"Image": "busybox", "HostConfig": {"Mounts": [{"Type": "nonsense", "Target": "/a"}]}},
    ),
    "mount target": (
        "",
        {"Image": "busybox", "HostConfig": {"Mounts": [{"Type": "bind", "Source": "/tmp"}]}},
    ),
    "mount source missing": (
        "",
        {
            "Image": "busybox",
            "HostConfig": {"Mounts": [{"Type": "bind", "Source": "/no/such", "Target": "/a"}]},
        },
    ),
    "mount source relative": (
        "",
        {
            "Image": "busybox",
            "HostConfig": {"Mounts": [{"Type": "bind", "Source": "x", "Target": "/a"}]},
        },
    ),
    "mount options mixed": (
        "",
        {
            "Image": "busybox",
            "HostConfig": {
                "Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/a", "VolumeOptions": {}}]
            },
        },
    ),
    "tmpfs with source": (
        "",
        {
            "Image": "busybox",
            "HostConfig": {"Mounts": [{"Type": "tmpfs", "Source": "/tmp", "Target": "/a"}]},
        },
    ),
    "volume name": ("", {"Image": "busybox", "HostConfig": {"Binds": ["b@d:/a"]}}),
    "tmpfs option": ("", {"Image": "busybox", "HostConfig": {"Tmpfs": {"/a": "nonsense"}}}),
    "port": ("", {"Image": "busybox", "ExposedPorts": {"abc/tcp": {}}}),
    "port protocol": ("", {"Image": "busybox", "ExposedPorts": {"80/xyz": {}}}),
    "port binding": (
        "",
        {"Image": "busybox", "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "abc"}]}}},
    ),
    "host port too big": (
        "",
        {"Image": "busybox", "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "99999"}]}}},
    ),
    "network and links": (
        "",
        {"Image": "busybox", "HostConfig": {"NetworkMode": "host", "Links": ["a:b"]}},
    ),
    "container network": (
        "",
        {"Image": "busybox", "HostConfig": {"NetworkMode": "container:none"}},
    ),
    "container network empty": (
        "",
        {"Image": "busybox", "HostConfig": {"NetworkMode": "container:"}},
    ),
    "host network and hostname": (
        "",
        {
            "Image": "busybox",
            "Hostname": "x",
            "HostConfig": {"NetworkMode": "host", "UTSMode": "host"},
        },
    ),
    "ipc mode": ("", {"Image": "busybox", "HostConfig": {"IpcMode": "nonsense"}}),
    "ipc container": ("", {"Image": "busybox", "HostConfig": {"IpcMode": "container:none"}}),
    "pid mode": ("", {"Image": "busybox", "HostConfig": {"PidMode": "nonsense"}}),
    "uts mode": ("", {"Image": "busybox", "HostConfig": {"UTSMode": "nonsense"}}),
    "cgroupns": ("", {"Image": "busybox", "HostConfig": {"CgroupnsMode": "nonsense"}}),
    "userns": ("", {"Image": "busybox", "HostConfig": {"UsernsMode": "nonsense"}}),
    "capability": ("", {"Image": "busybox", "HostConfig": {"CapAdd": ["NONSENSE"]}}),
    "security option": ("", {"Image": "busybox", "HostConfig": {"SecurityOpt": ["nonsense"]}}),
    "seccomp profile": ("", {"Image": "busybox", "HostConfig": {"SecurityOpt": ["seccomp={"]}}),
    "runtime": ("", {"Image": "busybox", "HostConfig": {"Runtime": "nonsense"}}),
    "log option": (
        "",
        {
            "Image": "busybox",
            "HostConfig": {"LogConfig": {"Type": "json-file", "Config": {"nonsense": "1"}}},
        },
    ),
    "log size": (
        "",
        {
            "Image": "busybox",
            "HostConfig": {"LogConfig": {"Type": "json-file", "Config": {"max-size": "big"}}},
        },
    ),
    "ulimit": (
        "",
        {
            "Image": "busybox",
            "HostConfig": {"Ulimits": [{"Name": "nonsense", "Soft": 1, "Hard": 1}]},
        },
    ),
    "ulimit order": (
        "",
        {"Image": "busybox", "HostConfig": {"Ulimits": [{"Name": "nofile", "Soft": 5, "Hard": 1}]}},
    ),
    "extra host": ("", {"Image": "busybox", "HostConfig": {"ExtraHosts": ["nonsense"]}}),
    "health interval": ("", {"Image": "busybox", "Healthcheck": {"Interval": 1}}),
    "health retries": ("", {"Image": "busybox", "Healthcheck": {"Retries": -1}}),
    "health test": ("", {"Image": "busybox", "Healthcheck": {"Test": ["NONSENSE"]}}),
    "dns": ("", {"Image": "busybox", "HostConfig": {"Dns": ["nonsense"]}}),
    "mac": ("", {"Image": "busybox", "MacAddress": "nonsense"}),
    "env without name": ("", {"Image": "busybox", "Env": ["=1"]}),
    "empty env": ("", {"Image": "busybox", "Env": [""]}),
    "sysctl": ("", {"Image": "busybox", "HostConfig": {"Sysctls": {"kernel.core_pattern": "x"}}}),
    "links": ("", {"Image": "busybox", "HostConfig": {"Links": ["none:x"]}}),
    "volumes from": ("", {"Image": "busybox", "HostConfig": {"VolumesFrom": ["none"]}}),
    "volumes from mode": (
        "",
        {"Image": "busybox", "HostConfig": {"VolumesFrom": ["none:nonsense"]}},
    ),
    "device": ("", {"Image": "busybox", "HostConfig": {"DeviceCgroupRules": ["nonsense"]}}),
    "storage option": ("", {"Image": "busybox", "HostConfig": {"StorageOpt": {"nonsense": "1"}}}),
    "isolation": ("", {"Image": "busybox", "HostConfig": {"Isolation": "nonsense"}}),
    "working dir relative": (
        "",
        {"Image": "busybox", "HostConfig": {"ReadonlyPaths": ["relative"]}},
    ),
    "console size": ("", {"Image": "busybox", "HostConfig": {"ConsoleSize": [-1, 5]}}),
    "annotation": ("", {"Image": "busybox", "HostConfig": {"Annotations": {"": "x"}}}),
}


def _made() -> list[Call]:
    calls = []
    for name, (body, run) in MADE.items():
        calls += [
            post(f"/containers/create?name={name}", body),
            get(f"/containers/{name}/json", "created"),
        ]
        if run:
            calls += [
                post(f"/containers/{name}/start"),
                post(f"/containers/{name}/wait"),
                get(f"/containers/{name}/logs?stdout=1&stderr=1"),
                get(f"/containers/{name}/json", "ended"),
            ]
        calls.append(delete(f"/containers/{name}?v=1"))
    return calls


def _refused() -> list[Call]:
    calls = []
    for note, (query, body) in REFUSED.items():
        query = query or "name=refused"
        calls.append(post(f"/containers/create?{query}", body, note))
        if query == "name=refused":
            calls += [
                post("/containers/refused/start", note=note),
                delete("/containers/refused?v=1&force=1", note),
            ]
    return [
        *calls,
        post("/containers/create?name=twice", SLEEPER),
        post("/containers/create?name=twice", SLEEPER, "conflict"),
        delete("/containers/twice"),
        Call("POST", "/containers/create", b"{}", headers={"Content-Type": "text/plain"}),
        Call("POST", "/containers/create", b"{}", headers={"Content-Type": "nonsense"}),
    ]


LISTS = [
    post(
        "/containers/create?name=l1",
        {
            **SLEEPER,
            "Labels": {"a": "1"},
            "ExposedPorts": {"80/tcp": {}},
            "HostConfig": {"Binds": ["lvol:/data"]},
        },
        l1="Id",
    ),
    post("/containers/l1/start"),
    post(
        "/containers/create?name=l2",
        {"Image": "busybox", "Cmd": ["sh", "-c", "exit 7"], "Labels": {"a": "2"}},
        l2="Id",
    ),
    post("/containers/l2/start"),
    post("/containers/l2/wait"),
    post("/containers/create?name=l3", {"Image": "busybox", "HostConfig": {"NetworkMode": "none"}}),
    *(
        listing("containers/json", f, "all=1&")
        for f in (
            '{"name":["l1"]}',
            '{"name":["^/l.$"]}',
            '{"name":["["]}',
            '{"id":["$l1"]}',
            '{"label":["a"]}',
            '{"label":["a=1"]}',
            '{"label":["a=1","a"]}',
            '{"label":["b"]}',
            '{"status":["exited"]}',
            '{"status":["running","created"]}',
            '{"status":["nonsense"]}',
            '{"exited":["7"]}',
            '{"exited":["x"]}',
            '{"ancestor":["busybox"]}',
            '{"ancestor":["busybox:latest"]}',
            '{"ancestor":["none"]}',
            '{"before":["l2"]}',
            '{"since":["l2"]}',
            '{"before":["none"]}',
            '{"since":["none"]}',
            '{"volume":["lvol"]}',
            '{"volume":["/data"]}',
            '{"network":["none"]}',
            '{"network":["bridge"]}',
            '{"publish":["80"]}',
            '{"expose":["80/tcp"]}',
            '{"expose":["80-90"]}',
            '{"expose":["x"]}',
            '{"health":["none"]}',
            '{"health":["nonsense"]}',
            '{"isolation":["default"]}',
            '{"is-task":["true"]}',
            '{"is-task":["x"]}',
            '{"nonsense":["x"]}',
            '{"name":{"l1":true}}',
            '{"name":"l1"}',
            "nonsense",
            "[]",
            "{}",
            '{"name":{"l1":false}}',
            '{"label":[]}',
        )
    ),
    get("/containers/json?limit=1"),
    get("/containers/json?limit=-1"),
    get("/containers/json?limit=x"),
    get("/containers/json?all=nonsense"),
    get("/containers/json?all=false"),
    *(
        listing("images/json", f)
        for f in (
            '{"reference":["busy*"]}',
            '{"reference":["none"]}',
            '{"dangling":["true"]}',
            '{"dangling":["false"]}',
            '{"dangling":["x"]}',
            '{"label":["a"]}',
            '{"before":["busybox"]}',
            '{"since":["busybox"]}',
            '{"since":["none"]}',
            '{"until":["1h"]}',
            '{"until":["x"]}',
            '{"nonsense":["x"]}',
            "nonsense",
        )
    ),
    *(
        listing("networks", f)
        for f in (
            '{"name":["bridge"]}',
            '{"driver":["host"]}',
            '{"type":["builtin"]}',
            '{"type":["custom"]}',
            '{"type":["nonsense"]}',
            '{"scope":["local"]}',
            '{"scope":["nonsense"]}',
            '{"dangling":["true"]}',
            '{"dangling":["x"]}',
            '{"label":["a"]}',
            '{"id":["none"]}',
            '{"nonsense":["x"]}',
            "nonsense",
        )
    ),
    *(
        listing("volumes", f)
        for f in (
            '{"name":["lvol"]}',
            '{"driver":["local"]}',
            '{"dangling":["true"]}',
            '{"dangling":["false"]}',
            '{"dangling":["x"]}',
            '{"label":["a"]}',
            '{"nonsense":["x"]}',
            "nonsense",
        )
    ),
    Call("POST", "/containers/prune?filters=%7B%22nonsense%22:%5B%22x%22%5D%7D"),
    Call("POST", "/containers/prune?filters=%7B%22until%22:%5B%22nonsense%22%5D%7D"),
    Call("POST", "/containers/prune?filters=%7B%22label%22:%5B%22nomatch%22%5D%7D"),
    Call("POST", "/containers/prune?filters=%7B%22label!%22:%5B%22a=1%22%5D%7D"),
    Call("POST", "/networks/prune"),
    Call("POST", "/volumes/prune"),
    Call("POST", "/images/prune"),
    Call("POST", "/images/prune?filters=%7B%22dangling%22:%5B%22x%22%5D%7D"),
    Call("POST", "/build/prune"),
    delete("/containers/l1?force=1&v=1"),
    delete("/containers/l2"),
    delete("/containers/l3"),
    delete("/volumes/lvol"),
]

EXEC = [
    post("/containers/create?name=x", SLEEPER),
    post("/containers/create?name=xx", SLEEPER),
    post("/containers/xx/start"),
    *(
        step
        for note, body in {
            "plain": {"Cmd": ["echo", "hi"], "AttachStdout": True},
            "both": {
                "Cmd": ["sh", "-c", "echo o; sleep 0.1; echo e >&2; exit 4"],
                "AttachStdout": True,
                "AttachStderr": True,
            },
            "tty": {"Cmd": ["sh", "-c", "tty; stty size"], "Tty": True, "AttachStdout": True},
            "user": {"Cmd": ["id"], "User": "33", "AttachStdout": True},
            "env": {"Cmd": ["env"], "Env": ["A=b"], "AttachStdout": True},
            "workdir": {"Cmd": ["pwd"], "WorkingDir": "/etc", "AttachStdout": True},
            "privileged": {
                "Cmd": ["grep", "CapEff", "/proc/self/status"],
                "Privileged": True,
                "AttachStdout": True,
            },
            "no such program": {"Cmd": ["nosuchprogram"], "AttachStdout": True},
            "not executable": {"Cmd": ["/etc/passwd"], "AttachStdout": True},
            "no such user": {"Cmd": ["id"], "User": "nosuch", "AttachStdout": True},
            "no such directory": {"Cmd": ["pwd"], "WorkingDir": "/no/such", "AttachStdout": True},
        }.items()
        for step in (
            post("/containers/xx/exec", body, note, e="Id"),
            get("/exec/$e/json", f"{note}, made"),
            Call(
                "POST", "/exec/$e/start", {"Tty": bool(body.get("Tty"))}, raw_stream=True, note=note
            ),
            get("/exec/$e/json", f"{note}, ended"),
        )
    ),
    post("/exec/$e/start", {}, "again"),
    post("/containers/xx/exec", {"Cmd": ["sleep", "100"]}, "detached", e="Id"),
    post("/exec/$e/start", {"Detach": True}, "detached"),
    post("/exec/$e/resize?h=10&w=20", note="no terminal"),
    post("/exec/$e/resize?h=x&w=20"),
    post("/exec/$e/resize"),
    get("/exec/$e/json", "detached"),
    get("/containers/xx/json", "with an exec"),
    post("/exec/$e/start", {"Detach": True}, "twice"),
    post("/containers/xx/exec", {}, "no command"),
    post("/containers/xx/exec", None, "no body"),
    post("/containers/xx/exec", {"Cmd": [""]}, "empty command"),
    post("/containers/xx/exec", {"Cmd": ["true"], "DetachKeys": "nonsense"}, "detach keys"),
    post("/containers/xx/exec", b"nonsense", "no JSON"),
    post("/containers/xx/kill"),
    post("/containers/xx/wait"),
    delete("/containers/xx"),
    get("/exec/$e/json", "container gone"),
]

FILES = [
    post("/containers/create?name=files", SLEEPER),
    Call("HEAD", "/containers/files/archive?path=/etc/passwd"),
    Call("HEAD", "/containers/files/archive?path=/etc/"),
    Call("HEAD", "/containers/files/archive?path=/no/such"),
    Call("HEAD", "/containers/files/archive"),
    get("/containers/files/archive?path=/etc/passwd"),
    get("/containers/files/archive?path=/etc/passwd/"),
    get("/containers/files/archive?path=/no/such"),
    get("/containers/files/archive"),
    Call(
        "PUT",
        "/containers/files/archive?path=/no/such",
        b"\0" * 1024,
        headers={"Content-Type": "application/x-tar"},
    ),
    Call(
        "PUT",
        "/containers/files/archive?path=/etc/passwd",
        b"\0" * 1024,
        headers={"Content-Type": "application/x-tar"},
    ),
    Call(
        "PUT",
        "/containers/files/archive?path=/tmp",
        b"\0" * 1024,
        headers={"Content-Type": "application/x-tar"},
    ),
    Call(
        "PUT",
        "/containers/files/archive?path=/tmp",
        b"nonsense" * 200,
        headers={"Content-Type": "application/x-tar"},
    ),
    Call("PUT", "/containers/files/archive", b"", headers={"Content-Type": "application/x-tar"}),
    get("/containers/files/changes", "untouched"),
    get("/containers/files/export"),
    post("/containers/files/start"),
    post(
        "/containers/files/exec",
        {
            "Cmd": [
                "sh",
                "-c",
                "echo x >/new; rm /etc/group; chmod 600 /etc/passwd; mkdir -p /dir/sub",
            ],
            "AttachStdout": True,
        },
        e="Id",
    ),
    Call("POST", "/exec/$e/start", {}, raw_stream=True),
    get("/containers/files/changes"),
    post(
        "/commit?container=files&repo=committed&tag=v1&comment=c&author=a&changes=ENV%20A=1&changes=CMD%20%5B%22true%22%5D",
        {},
        committed="Id",
    ),
    get("/images/committed:v1/json"),
    get("/images/committed:v1/history"),
    post("/commit?container=files&changes=NONSENSE%20x", {}),
    post("/commit?container=files&changes=RUN%20x", {}),
    post("/commit?container=files&repo=UPPER", {}),
    post("/commit", {}),
    delete("/images/committed:v1"),
    delete("/containers/files?force=1"),
]

IMAGES = [
    get("/images/json"),
    get("/images/json?all=1&digests=1&shared-size=1"),
    get("/images/busybox/json"),
    get("/images/busybox/history"),
    get("/images/busybox:latest/json"),
    get("/images/docker.io/library/busybox/json"),
    get("/images/UPPER/json"),
    post("/images/busybox/tag?repo=other&tag=v1"),
    post("/images/busybox/tag?repo=localhost:5000/a/b"),
    post("/images/busybox/tag?repo=UPPER"),
    post("/images/busybox/tag?repo=other&tag=b@d"),
    post("/images/busybox/tag"),
    get("/images/json", "tagged"),
    delete("/images/other:v1"),
    delete("/images/localhost:5000/a/b"),
    delete("/images/other:v1", "gone"),
    post("/containers/create?name=user", SLEEPER),
    delete("/images/busybox", "used by a container"),
    delete("/images/$busybox", "by id, used"),
    delete("/containers/user"),
    post("/images/create?fromImage=UPPER"),
    post("/images/create?fromImage=busybox&tag=b@d"),
    post("/images/create?fromImage="),
    post("/images/create"),
    post("/images/create?fromSrc=nonsense"),
    post("/images/load"),
    Call("POST", "/images/load", b"nonsense" * 100, headers={"Content-Type": "application/x-tar"}),
    get("/images/get?names=none"),
    get("/images/get"),
    get("/images/search"),
    get("/images/search?term="),
    post("/build?remote=&dockerfile=../x"),
    Call("POST", "/build", b"nonsense" * 100, headers={"Content-Type": "application/x-tar"}),
    Call("POST", "/build?t=UPPER", b"\0" * 1024, headers={"Content-Type": "application/x-tar"}),
    Call(
        "POST",
        "/build",
        b"\0" * 1024,
        headers={"Content-Type": "application/x-tar"},
        note="empty context",
    ),
]

NETWORKS = [
    get("/networks"),
    get("/networks/bridge"),
    get("/networks/host"),
    get("/networks/none"),
    post(
        "/networks/create",
        {
            "Name": "n1",
            "Driver": "bridge",
            "Labels": {"a": "1"},
            "IPAM": {"Config": [{"Subnet": "10.77.0.0/24", "Gateway": "10.77.0.1"}]},
        },
        n1="Id",
    ),
    get("/networks/n1"),
    post("/networks/create", {"Name": "n1"}, "twice"),
    post(
        "/networks/create",
        {"Name": "n2", "IPAM": {"Config": [{"Subnet": "10.77.0.0/25"}]}},
        "overlap",
    ),
    post(
        "/networks/create",
        {
            "Name": "n3",
            "Internal": True,
            "Options": {"com.docker.network.bridge.name": "br-n3"},
            "IPAM": {
                "Config": [
                    {
                        "Subnet": "10.78.0.0/24",
                        "IPRange": "10.78.0.128/25",
                        "AuxiliaryAddresses": {"x": "10.78.0.200"},
                    }
                ]
            },
        },
    ),
    get("/networks/n3"),
    post("/networks/create", {}),
    post("/networks/create", {"Name": ""}),
    post("/networks/create", {"Name": "b/d"}),
    delete("/networks/b/d"),
    post("/networks/create", {"Name": "bridge"}),
    post("/networks/create", {"Name": "bad", "Driver": "host"}),
    post("/networks/create", {"Name": "bad", "IPAM": {"Config": [{"Subnet": "nonsense"}]}}),
    post("/networks/create", {"Name": "bad", "IPAM": {"Config": [{"Subnet": "10.1.1.1/24"}]}}),
    post(
        "/networks/create",
        {"Name": "bad", "IPAM": {"Config": [{"Subnet": "10.1.1.0/24", "Gateway": "10.9.9.9"}]}},
    ),
    post("/networks/create", {"Name": "bad", "IPAM": {"Config": [{"Gateway": "10.9.9.9"}]}}),
    post("/networks/create", b"nonsense"),
    post(
        "/containers/create?name=nc",
        {
            **SLEEPER,
            "HostConfig": {"NetworkMode": "n1"},
            "NetworkingConfig": {
                "EndpointsConfig": {
                    "n1": {"Aliases": ["al"], "IPAMConfig": {"IPv4Address": "10.77.0.50"}}
                }
            },
        },
    ),
    get("/containers/nc/json", "created"),
    post("/containers/nc/start"),
    get("/containers/nc/json", "running"),
    get("/networks/n1", "with a container"),
    get("/networks/n1?verbose=1"),
    delete("/networks/n1", "in use"),
    post("/networks/n3/connect", {"Container": "nc", "EndpointConfig": {"Aliases": ["second"]}}),
    post("/networks/n3/connect", {"Container": "nc"}, "twice"),
    post("/networks/n3/connect", {"Container": "none"}),
    post("/networks/n3/connect", {}),
    *(
        post(
            f"/containers/create?name={name}",
            {
                **SLEEPER,
                "HostConfig": {"NetworkMode": network},
                "NetworkingConfig": {"EndpointsConfig": {network: {"IPAMConfig": fixed}}},
            },
        )
        for name, network, fixed in (
            ("outside", "n1", {"IPv4Address": "10.99.0.9"}),
            ("six", "n1", {"IPv6Address": "fd99::9"}),
            ("none", "n1", {"IPv4Address": "nonsense"}),
            ("predefined", "bridge", {"IPv4Address": "172.29.0.99"}),
        )
    ),
    post("/containers/create?name=later", SLEEPER),
    post(
        "/networks/n1/connect",
        {"Container": "later", "EndpointConfig": {"IPAMConfig": {"IPv4Address": "10.99.0.9"}}},
        "outside",
    ),
    delete("/containers/later"),
    post("/networks/host/connect", {"Container": "nc"}),
    post(
        "/networks/bridge/connect",
        {"Container": "nc", "EndpointConfig": {"IPAMConfig": {"IPv4Address": "172.29.0.9"}}},
    ),
    get("/containers/nc/json", "two networks"),
    post("/networks/n3/disconnect", {"Container": "nc"}),
    post("/networks/n3/disconnect", {"Container": "nc"}, "twice"),
    delete("/networks/bridge"),
    delete("/networks/host"),
    post(
        "/containers/create?name=bad1",
        {"Image": "busybox", "HostConfig": {"NetworkMode": "nosuch"}},
    ),
    post("/containers/bad1/start"),
    delete("/containers/bad1"),
    post(
        "/containers/create?name=bad2",
        {
            "Image": "busybox",
            "HostConfig": {"NetworkMode": "n1"},
            "NetworkingConfig": {
                "EndpointsConfig": {"n1": {"IPAMConfig": {"IPv4Address": "1.2.3.4"}}}
            },
        },
    ),
    post("/containers/bad2/start"),
    delete("/containers/bad2"),
    delete("/containers/nc?force=1"),
    delete("/networks/n1"),
    delete("/networks/n3"),
    delete("/networks/n1", "gone"),
]

VOLUMES = [
    get("/volumes"),
    post("/volumes/create", {"Name": "v1", "Labels": {"a": "1"}}),
    post("/volumes/create", {"Name": "v1"}, "again"),
    get("/volumes/v1"),
    get("/volumes", "one"),
    post("/volumes/create", {}, anonymous="Name"),
    post("/volumes/create", None, "no body"),
    delete("/volumes/$anonymous"),
    post("/volumes/create", {"Name": "b@d"}),
    post("/volumes/create", {"Name": "x"}),
    post("/volumes/create", {"Name": "../etc"}),
    post("/volumes/create", {"Name": "bad", "DriverOpts": {"nonsense": "1"}}),
    post(
        "/volumes/create",
        {"Name": "tmp", "DriverOpts": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}},
    ),
    get("/volumes/tmp"),
    delete("/volumes/tmp"),
    post("/volumes/create", b"nonsense"),
    post("/containers/create?name=vc", {**SLEEPER, "HostConfig": {"Binds": ["v1:/data"]}}),
    delete("/volumes/v1", "in use"),
    delete("/volumes/v1?force=1", "in use"),
    delete("/containers/vc?v=1"),
    get("/volumes/v1", "still there"),
    delete("/volumes/v1"),
    delete("/volumes/v1", "gone"),
    delete("/volumes/v1?force=1", "gone"),
]

SCENARIOS = {
    "system": SYSTEM,
    "container life": CONTAINER_LIFE,
    "nobody": NOBODY,
    "made": _made(),
    "refused": _refused(),
    "lists": LISTS,
    "exec": EXEC,
    "files": FILES,
    "images": IMAGES,
    "networks": NETWORKS,
    "volumes": VOLUMES,
}
