"""dockerd's flags and daemon.json's keys: each is given in both ways, and its effect is seen.

What can't be honoured is refused by a sentence: ``tests/unit/engine/test_directives.py``.
"""

import fcntl
import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cutaway.client import Client, parse_host
from support.engine import EngineUnderTest
from support.host import TestHost
from support.images import busybox_archive
from support.registry import Registry
from support.waiting import eventually

WAYS = ("flags", "file")
MIRROR = "127.0.0.1:5000"
PLAIN = "10.99.0.1:5001"  # not loopback: plain HTTP must be allowed there
BRIDGE = "given0"
PROXY = "http://user:secret@127.0.0.1:9"
MASKED_PROXY = "http://xxxxx:xxxxx@127.0.0.1:9"


@dataclass(frozen=True)
class Setting:
    """One of dockerd's settings in both ways, and how its effect is seen."""

    flag: str
    value: str
    key: str
    document: Any
    is_honoured: Callable[[EngineUnderTest], bool]

    def __str__(self) -> str:
        return self.flag


class SetEngine(EngineUnderTest):
    """An engine that is told everything by flags, or everything by daemon.json."""

    def __init__(self, way: str, settings: Sequence[Setting], host: TestHost) -> None:
        super().__init__(host=host)
        self._way = way
        self._settings = settings
        self.second_socket = f"{self.directory}/second.sock"
        self._file = self.directory / "daemon.json"

    def arguments(self) -> list[str]:
        if self._way == "flags":
            given = [f"--{setting.flag}={setting.value}" for setting in self._settings]
            self.rewrite()
            given.append(f"--config-file={self._file}")
            return [*super().arguments(), f"-Hunix://{self.second_socket}", *given]
        self.rewrite()
        return ["--config-file", str(self._file)]

    def rewrite(self, **changes: Any) -> None:
        """Write daemon.json: what was told by it, and changes."""
        self._file.write_text(json.dumps({**self._document(), **changes}))

    def _document(self) -> dict[str, Any]:
        if self._way == "flags":
            return {}
        return {
            "data-root": str(self.data_root),
            "exec-root": str(self.exec_root),
            "pidfile": f"{self.directory}/engine.pid",
            "cgroup-parent": self.cgroup_parent,
            "hosts": [f"unix://{self.socket}", f"unix://{self.second_socket}"],
            **{setting.key: setting.document for setting in self._settings},
        }


def run(engine: EngineUnderTest, *words: str) -> str:
    return engine.docker("run", "--rm", *words).stdout


def info(engine: EngineUnderTest) -> Any:
    return engine.client.get("/info")


def pulls_through_the_mirror(engine: EngineUnderTest) -> bool:
    return "Downloaded newer image for mirrored:latest" in engine.docker("pull", "mirrored").stdout


def pushes_in_plain_http(engine: EngineUnderTest) -> bool:
    engine.docker("tag", "busybox", f"{PLAIN}/plain")
    return "digest: sha256:" in engine.docker("push", f"{PLAIN}/plain").stdout


def runs_by_runc(engine: EngineUnderTest, *flags: str) -> bool:
    engine.docker("run", "-d", "--name", "other", *flags, "busybox", "sleep", "600")
    try:
        records = engine.client.get("/cutaway/containers/other/story")["records"]
        runtime = engine.client.get("/containers/other/json")["HostConfig"]["Runtime"]
    finally:
        engine.docker("rm", "-f", "other")
    return runtime == "other" and any("/usr/sbin/runc" in record["shell"] for record in records)


def keeps_containers_alive(engine: EngineUnderTest) -> bool:
    engine.docker("run", "-d", "--name", "alive", "busybox", "sleep", "600")
    pid = engine.docker("inspect", "-f", "{{.State.Pid}}", "alive").stdout
    engine.stop()
    engine.start()
    same = engine.docker("inspect", "-f", "{{.State.Pid}}", "alive").stdout == pid
    engine.docker("rm", "-f", "alive")
    return same


def is_on_the_given_bridge(engine: EngineUnderTest) -> bool:
    engine.docker("run", "-d", "--name", "there", "busybox", "sleep", "600")
    ports = engine.host.run("ip", "-o", "link", "show", "master", BRIDGE).stdout
    address = engine.docker(
        "inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", "there"
    ).stdout
    engine.docker("rm", "-f", "there")
    return bool(ports) and address.startswith("10.78.0.")


def pulls_by_the_proxy(engine: EngineUnderTest) -> bool:
    answer = engine.docker("pull", "nowhere.test/x", check=False).stderr
    shown = info(engine)["HttpsProxy"]
    return "proxyconnect tcp: connection refused" in answer and shown == MASKED_PROXY


def kept_by_builds(engine: EngineUnderTest) -> str:
    return engine.docker("system", "df", "-v", "--format", "{{json .BuildCache}}").stdout


RUNC = {"path": "/usr/sbin/runc"}
NOFILE = {"Name": "nofile", "Soft": 99, "Hard": 100}
MANY = (
    Setting(
        "bip", "10.77.0.1/24", "bip", "10.77.0.1/24",
        lambda e: "inet 10.77.0.1/24" in e.host.run("ip", "-o", "addr").stdout,
    ),
    Setting(
        "mtu", "1400", "mtu", 1400,
        lambda e: run(e, "busybox", "cat", "/sys/class/net/eth0/mtu") == "1400\n",
    ),
    Setting(
        "dns", "9.9.9.9", "dns", ["9.9.9.9"],
        lambda e: "nameserver 9.9.9.9" in run(e, "busybox", "cat", "/etc/resolv.conf"),
    ),
    Setting(
        "insecure-registry", PLAIN, "insecure-registries", [PLAIN], pushes_in_plain_http
    ),
    Setting(
        "registry-mirror", f"http://{MIRROR}", "registry-mirrors", [f"http://{MIRROR}"],
        pulls_through_the_mirror,
    ),
    Setting(
        "add-runtime", "other=/usr/sbin/runc", "runtimes", {"other": RUNC},
        lambda e: runs_by_runc(e, "--runtime", "other"),
    ),
    Setting(
        "default-ulimit", "nofile=99:100", "default-ulimits", {"nofile": NOFILE},
        lambda e: run(e, "busybox", "sh", "-c", "ulimit -Sn; ulimit -Hn") == "99\n100\n",
    ),
    Setting(
        "log-level", "warn", "log-level", "warn", lambda e: " INFO " not in e.log.read_text()
    ),
    Setting("label", "a=b", "labels", ["a=b"], lambda e: info(e)["Labels"] == ["a=b"]),
)  # fmt: skip
OTHERS = (
    Setting("https-proxy", PROXY, "https-proxy", PROXY, pulls_by_the_proxy),
    Setting(
        "host-gateway-ip",
        "10.9.9.9",
        "host-gateway-ips",
        ["10.9.9.9"],
        lambda e: (
            "10.9.9.9\tx\n" in run(e, "--add-host=x:host-gateway", "busybox", "cat", "/etc/hosts")
        ),
    ),
    Setting("bridge", BRIDGE, "bridge", BRIDGE, is_on_the_given_bridge),
    Setting("debug", "true", "debug", True, lambda e: " DEBUG " in e.log.read_text()),
    Setting("live-restore", "true", "live-restore", True, keeps_containers_alive),
    Setting("add-runtime", "other=/usr/sbin/runc", "runtimes", {"other": RUNC}, runs_by_runc),
    Setting("default-runtime", "other", "default-runtime", "other", runs_by_runc),
)


def start(way: str, settings: Sequence[Setting], archives: Path) -> Iterator[SetEngine]:
    host = TestHost()
    host.run("ip", "addr", "add", PLAIN.partition(":")[0], "dev", "lo")
    host.run("ip", "link", "add", BRIDGE, "type", "bridge")
    host.run("ip", "addr", "add", "10.78.0.1/24", "dev", BRIDGE)
    host.run("ip", "link", "set", BRIDGE, "up")
    engine = SetEngine(way, settings, host)
    try:
        engine.start()
        engine.docker("load", "-q", "-i", str(busybox_archive(archives)))
        yield engine
    finally:
        engine.close()
        host.close()


@pytest.fixture(scope="module", params=WAYS)
def told(request: pytest.FixtureRequest, archives: Path) -> Iterator[SetEngine]:
    """An engine with MANY settings, and the registries that two of them speak of."""
    for engine in start(request.param, MANY, archives):
        mirror = Registry(engine.host, 5000)
        plain = Registry(engine.host, 5001, ip=PLAIN.partition(":")[0])
        name = f"{MIRROR}/library/mirrored"
        engine.docker("tag", "busybox", name)
        engine.docker("push", "-q", name)
        engine.docker("rmi", name)
        yield engine
        mirror.close()
        plain.close()


@pytest.fixture(scope="module", params=WAYS)
def told_otherwise(request: pytest.FixtureRequest, archives: Path) -> Iterator[SetEngine]:
    """An engine with the OTHERS, which exclude some of MANY."""
    yield from start(request.param, OTHERS, archives)


@pytest.mark.parametrize("setting", MANY, ids=str)
def test_a_setting_is_honoured(told: SetEngine, setting: Setting) -> None:
    assert setting.is_honoured(told)


@pytest.mark.parametrize("setting", OTHERS, ids=str)
def test_another_setting_is_honoured(told_otherwise: SetEngine, setting: Setting) -> None:
    assert setting.is_honoured(told_otherwise)


def test_every_host_is_served_and_the_pid_file_is_locked(told: SetEngine) -> None:
    assert Client(parse_host(f"unix://{told.second_socket}")).get("/version")["ApiVersion"]
    assert told.process is not None
    with open(told.directory / "engine.pid") as file:
        assert file.read() == f"{told.process.pid}\n"
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_second_engine_in_the_same_place_is_refused_by_a_sentence(told: SetEngine) -> None:
    second = told.host.run(*told.words(), check=False)
    assert second.returncode == 1
    assert "another engine holds" in second.stderr
    assert told.answers()


def test_sighup_takes_over_what_may_change_and_nothing_else(told_otherwise: SetEngine) -> None:
    engine = told_otherwise
    assert engine.process is not None
    began = time.time()
    before = info(engine)
    engine.rewrite(labels=["again=yes"], mtu=1300)
    engine.process.send_signal(signal.SIGHUP)
    eventually(lambda: info(engine)["Labels"] == ["again=yes"])
    assert info(engine)["Runtimes"] == before["Runtimes"]
    assert run(engine, "busybox", "cat", "/sys/class/net/eth0/mtu") != "1300\n"

    engine.rewrite(labels=["third=time"], nonsense=1)
    engine.process.send_signal(signal.SIGHUP)
    eventually(lambda: "don't match any configuration option: nonsense" in engine.log.read_text())
    assert info(engine)["Labels"] == ["again=yes"]
    shown = engine.docker(
        "events", "--since", f"{began:.9f}", "--until", f"{time.time():.9f}",
        "--filter", "type=daemon", "--format", "{{.Action}} {{.Actor.Attributes.labels}}",
    ).stdout  # fmt: skip
    assert shown == 'reload ["again=yes"]\n'


def test_builds_keep_their_cache_within_its_limit(told_otherwise: SetEngine) -> None:
    engine = told_otherwise
    assert engine.process is not None
    engine.rewrite(builder={"gc": {"enabled": True, "defaultMaxUsedSpace": "5MB"}})
    engine.process.send_signal(signal.SIGHUP)
    eventually(lambda: "the configuration was reloaded: build_gc" in engine.log.read_text())
    for step in ("first", "second"):
        text = f"FROM busybox\nRUN head -c 3000000 /dev/urandom >{step}\n"
        image = engine.cutaway("build", "-q", "-", input=text).stdout.strip()
        engine.docker("rmi", image)

    eventually(lambda: "first" not in kept_by_builds(engine))
    assert "second" in kept_by_builds(engine)
