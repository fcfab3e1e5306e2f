"""Networks side by side with dockerd: create, attach, published ports, names, and growth.

Run as root from a clone: ``.venv/bin/python bench/networks.py``. Both engines run in namespaces of
their own on this machine and are asked in turns; ratios are what to trust. Servers and clients are
plain sockets opened in the containers' namespaces, so that only the network is measured. A second
dockerd, without its iptables, publishes by its userland proxy alone.
"""

import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from dnslib import DNSRecord

from support.engine import EngineUnderTest
from support.images import busybox_archive
from support.netns import Namespace
from support.peer import Dockerd

ROUNDS, STREAMS = 15, 7
SECONDS = 0.8
HOST, NEIGHBOUR = "10.99.0.1", "10.99.0.2"
FORKED = multiprocessing.get_context("fork")


def milliseconds(act: Callable[[], object]) -> float:
    """Return how long a call took."""
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1000


def busy_s() -> float:
    """Return the seconds that this machine's processors have worked, for whomever."""
    user, nice, system, _idle, _iowait, *rest = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


class Side:
    """One engine, a neighbour on its LAN, and a container that publishes port 80 as 8080."""

    def __init__(self, engine: EngineUnderTest, archive: Path) -> None:
        self.engine = engine.start()
        engine.docker("load", "-q", "-i", str(archive))
        self.host = Namespace.of(engine.host.pid)
        self.neighbour = Namespace("neighbour")
        self.host.wire("lan0", self.neighbour, "lan0")
        self.host.add_address("lan0", f"{HOST}/24")
        self.neighbour.add_address("lan0", f"{NEIGHBOUR}/24")
        engine.docker("network", "create", "names")
        self.web = self._run("web", "-p", "8080:80", "--network", "names")
        self.other = self._run("other", "--network", "names")
        self.plain = self._run("plain")

    def _run(self, name: str, *flags: str) -> Namespace:
        self.engine.docker("run", "-d", "--name", name, *flags, "busybox", "sleep", "6000")
        return Namespace.of(self.engine.client.get(f"/containers/{name}/json")["State"]["Pid"])

    def create(self) -> float:
        """Make a network, and remove it."""
        client = self.engine.client
        took = milliseconds(lambda: client.post("/networks/create", {"Name": "bench"}))
        client.delete("/networks/bench")
        return took

    def attach(self) -> float:
        """Attach a running container to a network, and detach it."""
        client, body = self.engine.client, {"Container": "plain"}
        took = milliseconds(lambda: client.post("/networks/names/connect", body))
        client.post("/networks/names/disconnect", body)
        return took

    def latency_from_lan(self) -> float:
        """Return microseconds of a byte from the neighbour and back."""
        return self._latency(self.neighbour, HOST)

    def latency_by_loopback(self) -> float:
        """Return microseconds of a byte from the host itself and back."""
        return self._latency(self.host, "127.0.0.1")

    def throughput_from_lan(self) -> float:
        """Return megabytes a second from the neighbour."""
        return self._throughput(self.neighbour, HOST)[0]

    def cost_from_lan(self) -> float:
        """Return the processor time of a gigabyte from the neighbour, sender and receiver too."""
        return self._throughput(self.neighbour, HOST)[1]

    def throughput_by_loopback(self) -> float:
        """Return megabytes a second from the host itself."""
        return self._throughput(self.host, "127.0.0.1")[0]

    def throughput_between_containers(self) -> float:
        """Return megabytes a second from a container of the same network: nothing is translated."""
        web = self.engine.client.get("/containers/web/json")
        address = web["NetworkSettings"]["Networks"]["names"]["IPAddress"]
        return self._throughput(self.other, address, port=80)[0]

    def _latency(self, client: Namespace, address: str) -> float:
        with self._serve(echo), client.open() as connection:
            connection.connect((address, 8080))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            started, count = time.perf_counter(), 0
            while (took := time.perf_counter() - started) < SECONDS:
                connection.sendall(b"x")
                connection.recv(1)
                count += 1
        return took / count * 1e6

    def _throughput(self, client: Namespace, address: str, port: int = 8080) -> tuple[float, float]:
        block, sent = bytes(1 << 18), 0
        with self._serve(swallow), client.open() as connection:
            connection.settimeout(10)
            connection.connect((address, port))
            worked, started = busy_s(), time.perf_counter()
            while (took := time.perf_counter() - started) < SECONDS:
                sent += connection.send(block)
            worked = busy_s() - worked
        return sent / took / 1e6, worked / sent * 1e9

    def connections_from_lan(self) -> float:
        """Return connections a second from the neighbour: open, ask, be answered, close."""
        started, count = time.perf_counter(), 0
        with self._serve(answer_each):
            while (took := time.perf_counter() - started) < SECONDS:
                with self.neighbour.open() as connection:
                    connection.connect((HOST, 8080))
                    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    connection.recv(64)
                count += 1
        return count / took

    @contextmanager
    def _serve(self, serve: Callable[[socket.socket], None]) -> Iterator[None]:
        """Let a process serve port 80 of the web container meanwhile."""
        with self.web.listen("0.0.0.0", 80) as server:
            server.settimeout(None)
            process = FORKED.Process(target=serve, args=(server,))
            process.start()
            try:
                yield
            finally:
                process.kill()
                process.join()

    def answers(self) -> float:
        """Return names answered a second, one question at a time."""
        query = DNSRecord.question("other").pack()
        with self.web.open(socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.11", 53))
            started, count = time.perf_counter(), 0
            while (took := time.perf_counter() - started) < SECONDS:
                client.send(query)
                client.recv(512)
                count += 1
        return count / took

    def start(self) -> float:
        """Start a container with a published port, and remove it."""
        body = {"Image": "busybox", "Cmd": ["sleep", "60"],
                "HostConfig": {"PortBindings": {"80/tcp": [{}]}}}  # fmt: skip
        client = self.engine.client
        client.post("/containers/create", body, name="grown")
        took = milliseconds(lambda: client.post("/containers/grown/start"))
        client.delete("/containers/grown", force=True)
        return took

    def grow(self) -> None:
        """Make 100 networks and publish 500 ports."""
        for number in range(100):
            self.engine.client.post(
                "/networks/create",
                {"Name": f"n{number}", "IPAM": {"Config": [{"Subnet": f"10.200.{number}.0/24"}]}},
            )
        for block in range(5):
            ports = {f"{1000 + block * 100 + n}/tcp": [{}] for n in range(100)}
            body = {"Image": "busybox", "Cmd": ["sleep", "6000"],
                    "HostConfig": {"PortBindings": ports}}  # fmt: skip
            self.engine.client.post("/containers/create", body, name=f"many{block}")
            self.engine.client.post(f"/containers/many{block}/start")

    def close(self) -> None:
        """Take all away."""
        self.engine.close()


def echo(server: socket.socket) -> None:
    """Send back what comes, a byte at a time."""
    connection, _ = server.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        while data := connection.recv(1):
            connection.sendall(data)


def swallow(server: socket.socket) -> None:
    """Read all that comes."""
    connection, _ = server.accept()
    buffer = bytearray(1 << 18)
    with connection:
        while connection.recv_into(buffer):
            pass


def answer_each(server: socket.socket) -> None:
    """Answer one request for each connection."""
    while True:
        connection, _ = server.accept()
        with connection:
            connection.recv(64)
            connection.sendall(b"HTTP/1.0 204 No Content\r\n\r\n")


def compare(name: str, measure: Callable[[Side], float], ours: Side, theirs: Side, n: int) -> None:
    """Measure both in turns and print the medians and their ratio."""
    pairs = [(measure(ours), measure(theirs)) for _ in range(n)]
    mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{name:<34}{mine:>12.2f}{other:>12.2f}{other / mine:>9.2f}", flush=True)


def proxied() -> Dockerd:
    """Return a dockerd whose published ports its userland proxy serves."""
    return Dockerd("--iptables=false", "--ip6tables=false")


def compare_streams(ours: Side, theirs: Side, proxied: Side) -> None:
    """Measure published ports: by translation, by loopback, and against the userland proxy."""
    compare("published port from LAN, us", Side.latency_from_lan, ours, theirs, STREAMS)
    compare("published port from LAN, MB/s", Side.throughput_from_lan, ours, theirs, STREAMS)
    compare("published port from LAN, s/GB", Side.cost_from_lan, ours, theirs, STREAMS)
    compare("published port from LAN, conn/s", Side.connections_from_lan, ours, theirs, STREAMS)
    compare("published port by loopback, us", Side.latency_by_loopback, ours, theirs, 3)
    compare("published port by loopback, MB/s", Side.throughput_by_loopback, ours, theirs, 3)
    compare("between containers, MB/s", Side.throughput_between_containers, ours, theirs, 3)
    compare("over the proxy: us", Side.latency_from_lan, ours, proxied, STREAMS)
    compare("over the proxy: MB/s", Side.throughput_from_lan, ours, proxied, STREAMS)
    compare("over the proxy: s/GB", Side.cost_from_lan, ours, proxied, STREAMS)
    compare("over the proxy: conn/s", Side.connections_from_lan, ours, proxied, STREAMS)


def main() -> None:
    """Measure everything."""
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, {os.uname().release}")
    archive = busybox_archive(Path(tempfile.mkdtemp(prefix="cutaway-bench-")))
    sides: list[Side] = []
    try:
        for engine in (EngineUnderTest(), Dockerd(), proxied()):
            sides.append(Side(engine, archive))
        ours, theirs, by_proxy = sides
        print(f"{'':<34}{'cutaway':>12}{'dockerd':>12}{'theirs/ours':>13}")
        compare("network create, ms", Side.create, ours, theirs, ROUNDS)
        compare("attach to a network, ms", Side.attach, ours, theirs, ROUNDS)
        compare_streams(ours, theirs, by_proxy)
        compare("names, answers/s", Side.answers, ours, theirs, 3)
        before = statistics.median(ours.start() for _ in range(ROUNDS))
        ours.grow()
        after = statistics.median(ours.start() for _ in range(ROUNDS))
        print(f"start with a port, ms: {before:.1f}; with 100 networks and 500 ports more: "
              f"{after:.1f} ({after / before:.2f} times)")  # fmt: skip
    finally:
        for side in sides:
            side.close()
        subprocess.run(["rm", "-rf", str(archive.parent)], check=False)


if __name__ == "__main__":
    main()
