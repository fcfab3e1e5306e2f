"""Side by side with dockerd 28.5: the same docker CLI, the same image, one after the other.

    .venv/bin/python bench/compare.py [NAME…]      # all measurements, or those named

Prints a table of medians and ratios. Runs are interleaved, so a noisy machine disturbs both alike;
trust the ratios, not the milliseconds. Needs root, Debian's mirror, and no other load.
"""

import os
import re
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from cutaway.client.streams import split_frames
from support.engine import EngineUnderTest
from support.images import busybox_archive
from support.peer import Dockerd
from support.waiting import eventually

RUNS = 30
LOG_MEGABYTES = 200


class Row:
    """One measurement of both engines; ``higher`` says that more is better."""

    def __init__(self, name: str, unit: str, goal: str, *, higher: bool = False) -> None:
        self.name, self.unit, self.goal, self.higher = name, unit, goal, higher
        self.ours: list[float] = []
        self.theirs: list[float] = []

    def line(self) -> str:
        """Return the row of the table: medians and the ratio in our favour."""
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        ratio = ours / theirs if self.higher else theirs / ours
        return (
            f"| {self.name} | {ours:.1f} {self.unit} | {theirs:.1f} {self.unit} "
            f"| {ratio:.1f} | {self.goal} |"
        )


Engines = tuple[EngineUnderTest, EngineUnderTest]


def timed_ms(action: Callable[[], object]) -> float:
    """Return how many milliseconds ``action`` takes."""
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def interleave(row: Row, engines: Engines, action: Callable[[EngineUnderTest], float]) -> Row:
    """Measure RUNS times each, in turn, after one run that is not counted."""
    for engine in engines:
        action(engine)
    for _ in range(RUNS):
        row.ours.append(action(engines[0]))
        row.theirs.append(action(engines[1]))
    return row


def cli_ms(engine: EngineUnderTest, *words: str, host: str = "") -> float:
    """Time a docker command; namespaces are entered before the clock starts."""
    script = 'start=$(date +%s%N); docker "$@" >/dev/null; echo $(($(date +%s%N) - start))'
    environment = engine.environment() | ({"DOCKER_HOST": host} if host else {})
    done = engine.host.run("sh", "-c", script, "sh", *words, env=environment)
    return int(done.stdout) / 1e6


def run_cli(engines: Engines) -> list[Row]:
    """``docker run --rm busybox true``, and how much of it is not the CLI's own."""
    words = ("run", "--rm", "busybox", "true")
    row = Row("`docker run --rm busybox true`", "ms", "≥ 8")
    over = Row("the same over the CLI's floor", "ms", "≤ 15 ms")
    with TemporaryDirectory() as directory:
        path = f"{directory}/nothing.sock"
        program = str(Path(__file__).with_name("nothing.py"))
        nothing = engines[0].host.popen([sys.executable, program, path])
        try:
            eventually(Path(path).exists)
            interleave(row, engines, lambda e: cli_ms(e, *words))
            floor = [cli_ms(engines[0], *words, host=f"unix://{path}") for _ in range(RUNS)]
        finally:
            nothing.kill()
            nothing.wait()
    over.ours = [ms - statistics.median(floor) for ms in row.ours]
    over.theirs = [ms - statistics.median(floor) for ms in row.theirs]
    return [row, over]


def floor_cli(engines: Engines) -> list[Row]:
    """What the CLI itself costs: ``docker version``."""
    row = Row("CLI floor (`docker version`)", "ms", "–")
    return [interleave(row, engines, lambda e: cli_ms(e, "version"))]


def life(engine: EngineUnderTest) -> None:
    """Create, start, wait and remove through the API alone."""
    client = engine.client
    created = client.post("/containers/create", {"Image": "busybox", "Cmd": ["true"]})
    path = f"/containers/{created['Id']}"
    client.post(f"{path}/start")
    client.post(f"{path}/wait")
    client.delete(path)


def run_api(engines: Engines) -> list[Row]:
    """One container's life through the API, alone and eight at once."""
    alone = Row("create..removed, API", "ms", "≥ 15")
    interleave(alone, engines, lambda e: timed_ms(lambda: life(e)))
    together = Row("8 at once, containers per second", "/s", "≥ 8", higher=True)

    def rate(engine: EngineUnderTest) -> float:
        with ThreadPoolExecutor(8) as pool:
            start = time.perf_counter()
            list(pool.map(lambda _: life(engine), range(40)))
            return 40 / (time.perf_counter() - start)

    for _ in range(3):
        together.ours.append(rate(engines[0]))
        together.theirs.append(rate(engines[1]))
    return [alone, together]


def run_exec(engines: Engines) -> list[Row]:
    """``docker exec C true``, by the CLI and by the API."""
    for engine in engines:
        engine.docker("run", "-d", "--name", "bench", "busybox", "sleep", "1000")

    def through_api(engine: EngineUnderTest) -> None:
        client = engine.client
        body = {"Cmd": ["true"], "AttachStdout": True}
        made = client.post("/containers/bench/exec", body)
        stream = client.hijack(f"/exec/{made['Id']}/start", body={"Detach": False, "Tty": False})
        while stream.socket.recv(4096):
            pass
        stream.socket.close()
        assert client.get(f"/exec/{made['Id']}/json")["ExitCode"] == 0

    rows = [
        interleave(Row("`docker exec C true`", "ms", "≥ 2.5"), engines,
                   lambda e: cli_ms(e, "exec", "bench", "true")),
        interleave(Row("exec, API", "ms", "≥ 6"), engines,
                   lambda e: timed_ms(lambda: through_api(e))),
    ]  # fmt: skip
    for engine in engines:
        engine.docker("rm", "-f", "bench")
    return rows


def cpu_s(engine: EngineUnderTest) -> float:
    """Return the CPU time of all processes in the engine's network namespace (not containers)."""
    total = 0.0
    tick = os.sysconf("SC_CLK_TCK")
    mine = os.readlink(f"/proc/{engine.host.pid}/ns/net")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.readlink(entry / "ns/net") != mine:
                continue
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / tick
    return total


def run_logs(engines: Engines) -> list[Row]:
    """200 MB through stdout into the log, and back by the logs API."""
    write = Row("stdout to log, MB per CPU second", "MB/s", "≥ 4", higher=True)
    read = Row("log read back, MB per CPU second", "MB/s", "≥ 8", higher=True)
    read_wall = Row("log read back, MB per second", "MB/s", "–", higher=True)
    script = f"i=0; while [ $i -lt {LOG_MEGABYTES} ]; do cat /tmp/mb; i=$((i+1)); done"
    prepare = "yes 'a line of a log that is neither very short nor very long' | head -c 1048576"
    for engine, written, back, wall in (
        (engines[0], write.ours, read.ours, read_wall.ours),
        (engines[1], write.theirs, read.theirs, read_wall.theirs),
    ):
        # Its own network namespace keeps the container's own CPU time out of cpu_s().
        log = {"Type": "json-file", "Config": {"max-size": "1g"}}  # no rotation: all comes back
        host = {"NetworkMode": "none", "Tmpfs": {"/tmp": ""}, "LogConfig": log}
        options = {"Image": "busybox", "HostConfig": host}
        shell = f"{prepare} > /tmp/mb; read go < /dev/stdin; {script}"
        body = {**options, "Cmd": ["sh", "-c", shell], "OpenStdin": True, "StdinOnce": True}
        made = engine.client.post("/containers/create", body, name="logger")
        path = f"/containers/{made['Id']}"
        stream = engine.client.hijack(f"{path}/attach", query={"stream": True, "stdin": True})
        engine.client.post(f"{path}/start")
        time.sleep(1)
        before = cpu_s(engine)
        stream.socket.sendall(b"go\n")
        engine.client.post(f"{path}/wait")
        written.append(LOG_MEGABYTES / max(cpu_s(engine) - before, 0.01))
        stream.socket.close()
        before, start = cpu_s(engine), time.perf_counter()
        answer = engine.client.request("GET", f"{path}/logs", query={"stdout": True})
        size = sum(len(payload) for _, payload in split_frames(answer.chunks()))
        assert size == LOG_MEGABYTES << 20, size
        wall.append(LOG_MEGABYTES / (time.perf_counter() - start))
        back.append(LOG_MEGABYTES / max(cpu_s(engine) - before, 0.01))
        engine.client.delete(path)
    return [write, read, read_wall]


def private_kib(pid: int) -> int:
    """Return a process's private memory."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))


def own_memory_kib(engine: EngineUnderTest, titles: str) -> float:
    """Return the private memory of this engine's processes with such titles, together."""
    mine = os.readlink(f"/proc/{engine.host.pid}/ns/net")
    total = 0
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().decode()
            if re.search(titles, words) and os.readlink(entry / "ns/net") == mine:
                total += private_kib(int(entry.name))
        except (OSError, ValueError):
            continue
    return total


def run_memory(engines: Engines) -> list[Row]:
    """Private memory of each idle container's keeper (and shim, if it has one), many running."""
    row = Row("memory of its own per idle container", "KiB", "≤ 1024 KiB")
    for engine, figures, count, titles in (
        # shims without an id wait for work
        (engines[0], row.ours, 200, "^cutaway: (keeper|shim [0-9a-f])"),
        (engines[1], row.theirs, 10, "containerd-shim"),
    ):
        for number in range(count):
            engine.docker("run", "-d", "--name", f"idle{number}", "busybox", "sleep", "1000")
        time.sleep(4)  # what a start leaves to do for later is done, and nothing has happened since
        figures.append(own_memory_kib(engine, titles) / count)
        engine.remove_containers()
    return [row]


MEASUREMENTS: dict[str, Callable[[Engines], list[Row]]] = {
    "floor": floor_cli,
    "run": run_cli,
    "api": run_api,
    "exec": run_exec,
    "logs": run_logs,
    "memory": run_memory,
}


def main() -> None:
    """Start both engines, measure, print."""
    wanted = sys.argv[1:] or list(MEASUREMENTS)
    with TemporaryDirectory() as directory:
        archive = busybox_archive(Path(directory))
        engines = (EngineUnderTest().start(), Dockerd().start())
        try:
            for engine in engines:
                engine.docker("load", "-q", "-i", str(archive))
            load = os.getloadavg()[0]
            print(f"load at the start {load:.1f}, {os.cpu_count()} CPUs, medians of {RUNS}\n")
            print("| measurement | cutaway | dockerd 28.5 | ratio | goal |\n|---|---|---|---|---|")
            for name in wanted:
                for row in MEASUREMENTS[name](engines):
                    print(row.line(), flush=True)
        finally:
            for engine in engines:
                engine.close()


if __name__ == "__main__":
    main()
