"""What users say of networks on the docker command line has its effect in a real container."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from dnslib import QTYPE, RR, A, DNSRecord

from support.engine import EngineUnderTest
from support.host import join_network_of
from support.images import busybox_archive
from support.netns import Namespace
from support.waiting import eventually

SLEEP = ("busybox", "sleep", "600")
FIRST, SECOND = ("127.0.0.54", "192.0.2.1"), ("127.0.0.55", "192.0.2.2")


class HostNameServer:
    """A server on the host that knows ``example.org`` only."""

    def __init__(self, host_pid: int, where: str, answer: str) -> None:
        self.asked: list[str] = []
        self._answer = answer
        self._socket: socket.socket | None = None
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(host_pid, where, ready))
        self._thread.start()
        assert ready.wait(10)

    def _serve(self, host_pid: int, where: str, ready: threading.Event) -> None:
        join_network_of(host_pid)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as self._socket:
            self._socket.bind((where, 53))
            ready.set()
            while True:
                data, peer = self._socket.recvfrom(4096)
                if not data:
                    return  # shut down
                query = DNSRecord.parse(data)
                self.asked.append(f"{query.q.qname} {QTYPE[query.q.qtype]}")
                reply = query.reply()
                if query.q.qtype == QTYPE.A and query.q.qname == "example.org":
                    reply.add_answer(RR(query.q.qname, rdata=A(self._answer)))
                self._socket.sendto(reply.pack(), peer)

    def close(self) -> None:
        assert self._socket is not None
        with suppress(OSError):  # it is not connected; the thread wakes up all the same
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()


@pytest.fixture(scope="module")
def whole(archives: Path) -> Iterator[EngineUnderTest]:
    engine = EngineUnderTest()
    resolv_conf = engine.directory / "resolv.conf"
    resolv_conf.write_text(f"nameserver {FIRST[0]}\n")
    engine.host.run("mount", "--bind", str(resolv_conf), "/etc/resolv.conf")
    engine.start()
    try:
        engine.docker("load", "-q", "-i", str(busybox_archive(archives)))
        yield engine
    finally:
        engine.close()


@pytest.fixture
def engine(whole: EngineUnderTest) -> Iterator[EngineUnderTest]:
    yield whole
    whole.remove_containers()
    whole.docker("network", "prune", "-f")


@pytest.fixture
def name_servers(engine: EngineUnderTest) -> Iterator[list[HostNameServer]]:
    servers = [HostNameServer(engine.host.pid, *which) for which in (FIRST, SECOND)]
    yield servers
    for server in servers:
        server.close()


def sh(engine: EngineUnderTest, container: str, script: str) -> str:
    return engine.docker("exec", container, "sh", "-c", script, check=False).stdout.strip()


def look_up(engine: EngineUnderTest, name: str, kind: str = "a") -> str:
    return sh(engine, "web", f"nslookup -type={kind} {name} 127.0.0.11")


def test_a_changed_resolv_conf_of_the_host_is_followed(
    engine: EngineUnderTest, name_servers: list[HostNameServer]
) -> None:
    engine.docker("network", "create", "back")
    engine.docker("run", "-d", "--name", "web", "--network", "back", *SLEEP)
    assert "192.0.2.1" in look_up(engine, "example.org")
    (engine.directory / "resolv.conf").write_text(f"nameserver {SECOND[0]}\n# new\n")
    assert "192.0.2.2" in look_up(engine, "example.org")
    engine.kill()
    (engine.directory / "resolv.conf").write_text(f"nameserver {FIRST[0]}\n")
    engine.start()
    assert "192.0.2.1" in look_up(engine, "example.org")


def test_a_server_that_only_the_host_reaches_is_asked_from_there(
    engine: EngineUnderTest, name_servers: list[HostNameServer]
) -> None:
    engine.host.run("ip", "addr", "add", "10.98.0.1/32", "dev", "lo")
    server = HostNameServer(engine.host.pid, "10.98.0.1", "192.0.2.3")
    (engine.directory / "resolv.conf").write_text("nameserver 10.98.0.1\n")
    engine.docker("network", "create", "back")
    words = ("--name", "web", "--network", "back", "--cap-add", "NET_ADMIN")
    engine.docker("run", "-d", *words, *SLEEP)
    assert "192.0.2.3" in look_up(engine, "example.org")
    sh(engine, "web", "ip route add blackhole 10.98.0.1")
    assert "192.0.2.3" in look_up(engine, "example.org")
    server.close()


def test_mail_exchangers_search_and_ndots(
    engine: EngineUnderTest, name_servers: list[HostNameServer]
) -> None:
    engine.docker("network", "create", "back")
    words = ("--dns-search", "corp.example", "--dns-option", "ndots:2", "--dns", FIRST[0])
    engine.docker("run", "-d", "--name", "web", "--network", "back", *words, *SLEEP)
    resolver = sh(engine, "web", "cat /etc/resolv.conf")
    assert "nameserver 127.0.0.11\nsearch corp.example\noptions ndots:2" in resolver
    # A container's name exists and has no mail exchanger; what is no container's is asked outside.
    look_up(engine, "web", "mx")
    assert not [asked for asked in name_servers[0].asked if asked == "web. MX"]
    look_up(engine, "example.org", "mx")
    assert "example.org. MX" in name_servers[0].asked
    # The C library appends the domain to a name with fewer dots than ndots, and asks us for it.
    sh(engine, "web", "ping -c 1 -W 1 mail.local")
    assert "mail.local.corp.example. A" in name_servers[0].asked
    engine.docker("run", "-d", "--name", "db", "--network", "back", *SLEEP)
    assert "1 packets received" in sh(engine, "web", "ping -c 1 -W 5 db")
    assert not [asked for asked in name_servers[0].asked if asked.startswith("db. ")]


def test_links_on_a_user_network(engine: EngineUnderTest) -> None:
    engine.docker("network", "create", "back")
    engine.docker("run", "-d", "--name", "db", "--network", "back", *SLEEP)
    engine.docker("run", "-d", "--name", "web", "--network", "back", "--link", "db:sql", *SLEEP)
    assert "1 packets received" in sh(engine, "web", "ping -c 1 -W 5 sql")
    engine.docker("run", "-d", "--name", "late", *SLEEP)
    engine.docker("network", "connect", "--link", "db:store", "back", "late")
    assert "1 packets received" in sh(engine, "late", "ping -c 1 -W 5 store")
    assert "1 packets received" not in sh(engine, "web", "ping -c 1 -W 1 store")
    assert inspect(engine, "late")["Networks"]["back"]["Links"] == ["db:store"]


def inspect(engine: EngineUnderTest, container: str) -> dict[str, Any]:
    shown = json.loads(engine.docker("inspect", container).stdout)[0]
    return shown["NetworkSettings"]  # type: ignore[no-any-return]


def default_route(engine: EngineUnderTest, container: str) -> str:
    return sh(engine, container, "ip route show default").split(" dev ")[0]


def test_the_gateway_with_the_highest_priority_is_the_way_out(engine: EngineUnderTest) -> None:
    for number, name in enumerate(("alpha", "beta", "gamma")):
        engine.docker("network", "create", "--subnet", f"10.6{number}.0.0/24", name)
    engine.docker("run", "-d", "--name", "web", "--network", "beta", "-p", "8085:80", *SLEEP)
    assert default_route(engine, "web") == "default via 10.61.0.1"
    engine.docker("network", "connect", "alpha", "web")  # the name comes first, as in Docker
    assert default_route(engine, "web") == "default via 10.60.0.1"
    engine.docker("network", "connect", "--gw-priority", "1", "gamma", "web")
    assert default_route(engine, "web") == "default via 10.62.0.1"
    assert inspect(engine, "web")["Networks"]["gamma"]["GwPriority"] == 1
    engine.docker("exec", "-d", "web", "httpd", "-f", "-p", "80", "-h", "/etc")
    fetch = ("curl", "-sS", "-m", "2", "http://127.0.0.1:8085/passwd")
    eventually(lambda: "root:" in engine.host.run(*fetch, check=False).stdout)
    engine.docker("network", "disconnect", "gamma", "web")
    assert default_route(engine, "web") == "default via 10.60.0.1"
    assert "root:" in engine.host.run(*fetch).stdout
    run = ("run", "-d", "--name", "two", "--network", "name=alpha,gw-priority=-5")
    engine.docker(*run, "--network", "beta", *SLEEP)
    assert default_route(engine, "two") == "default via 10.61.0.1"


def test_sysctls_and_names_of_interfaces(engine: EngineUnderTest) -> None:
    engine.docker("network", "create", "back")
    sysctl = "com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1"
    name = "com.docker.network.endpoint.ifname=lan"
    wanted = f"name=back,driver-opt={name},driver-opt={sysctl}"
    engine.docker("run", "-d", "--name", "web", "--network", wanted, *SLEEP)
    assert sh(engine, "web", "cat /proc/sys/net/ipv4/conf/lan/log_martians") == "1"
    sysctl = "net.ipv6.conf.default.disable_ipv6=1"
    engine.docker("run", "-d", "--name", "late", "--sysctl", sysctl, *SLEEP)
    # What users write, and the init while the network is made, is not also written by the engine.
    assert "eth0.disable_ipv6 = 1" in engine.cutaway("story", "late").stdout
    assert "disable_ipv6 = 1" not in engine.cutaway("story", "web").stdout
    engine.docker("network", "connect", "--driver-opt", f"{name}0", "back", "late")
    assert sh(engine, "late", "ls /sys/class/net").split() == ["eth0", "lan0", "lo"]
    script = "cat /proc/sys/net/ipv6/conf/default/disable_ipv6"
    assert [sh(engine, who, script) for who in ("web", "late")] == ["0", "1"]
    assert inspect(engine, "late")["Networks"]["back"]["DriverOpts"][name.split("=")[0]] == "lan0"
    engine.docker("network", "disconnect", "back", "late")
    for bad, words in (
        ("sysctls=net.ipv4.ip_forward=1", "of the form net.X.Y.IFNAME.Z"),
        ("sysctls=net.ipv4.conf.IFNAME.nothing=1", "nothing"),
        ("ifname=a/b", "invalid interface name 'a/b'"),
        ("ifname=eth0", "invalid interface name 'eth0'"),
    ):
        option = f"com.docker.network.endpoint.{bad}"
        connect = ("network", "connect", "--driver-opt", option, "back", "late")
        refused = engine.docker(*connect, check=False)
        assert words in refused.stderr, refused.stderr
        assert sh(engine, "late", "ls /sys/class/net").split() == ["eth0", "lo"]


def test_verbose_inspect_tells_services_where_there_are_any(engine: EngineUnderTest) -> None:
    """Services are a swarm's: dockerd leaves them out on a network of this host, and so do we."""
    engine.docker("network", "create", "back")
    engine.docker("run", "-d", "--name", "web", "--network", "back", *SLEEP)
    plain, verbose = (
        json.loads(engine.docker("network", "inspect", *words, "back").stdout)[0]
        for words in ((), ("--verbose",))
    )
    assert plain == verbose
    assert [c["Name"] for c in verbose["Containers"].values()] == ["web"]
    assert "Services" not in verbose


@pytest.fixture
def echo(engine: EngineUnderTest) -> Iterator[EngineUnderTest]:
    """What is sent to port 8090 of the host's address 10.98.0.2 comes back from a container."""
    engine.host.run("ip", "addr", "replace", "10.98.0.2/32", "dev", "lo")
    engine.docker("network", "create", "back")
    engine.docker("run", "-d", "--name", "echo", "--network", "back", "-p", "8090:7", *SLEEP)
    pid = int(engine.docker("inspect", "-f", "{{.State.Pid}}", "echo").stdout)
    namespace = Namespace.of(pid)
    server = namespace.listen("0.0.0.0", 7)
    namespace.close()
    server.settimeout(None)
    threading.Thread(target=accept, args=(server,), daemon=True).start()
    yield engine
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def accept(server: socket.socket) -> None:
    with suppress(OSError):  # shut down
        while True:
            threading.Thread(target=send_back, args=server.accept()[:1], daemon=True).start()


def send_back(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        connection.settimeout(None)
        while data := connection.recv(4096):
            connection.sendall(data)


def connect(engine: EngineUnderTest) -> socket.socket:
    """Return a connection to the echo, made on the engine's host."""
    made: list[socket.socket] = []

    def open_there() -> None:
        join_network_of(engine.host.pid)
        made.append(socket.socket())

    thread = threading.Thread(target=open_there)
    thread.start()
    thread.join()
    made[0].settimeout(5)
    try:
        made[0].connect(("10.98.0.2", 8090))
    except BaseException:
        made[0].close()
        raise
    return made[0]


def answers(engine: EngineUnderTest) -> bool:
    try:
        with connect(engine) as client:
            client.sendall(b"x")
            return client.recv(1) == b"x"
    except OSError:
        return False


def test_a_stream_goes_on_over_the_death_and_the_restart_of_the_engine(
    echo: EngineUnderTest,
) -> None:
    over = threading.Event()
    sent = 0
    pauses: list[float] = [0.0]
    with connect(echo) as client:

        def stream() -> None:
            nonlocal sent
            while not over.is_set():
                begun = time.monotonic()
                client.sendall(b"%08d" % sent)
                assert client.recv(8, socket.MSG_WAITALL) == b"%08d" % sent
                pauses.append(time.monotonic() - begun)
                sent += 1

        thread = threading.Thread(target=stream)
        thread.start()
        try:
            echo.kill()
            assert answers(echo)  # new connections are let in, too
            echo.start()
            assert answers(echo)
            echo.stop()
            assert answers(echo)
            echo.start()
        finally:
            over.set()
            thread.join()
    assert sent > 100
    assert max(pauses) < 2  # a lost packet alone is sent again after 0.2 s


def test_rules_are_back_within_five_seconds_after_a_flush(echo: EngineUnderTest) -> None:
    for _ in range(2):
        echo.host.run("nft", "flush", "ruleset")
        eventually(lambda: "anyports4" in echo.host.run("nft", "list", "ruleset").stdout, 5)
        assert answers(echo)
