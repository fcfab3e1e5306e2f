"""Many idle containers, and a client that stopped reading: what they cost is counted, not timed."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from support.engine import EngineUnderTest
from support.waiting import eventually

Run = Callable[..., str]
MIB = 1 << 20
COUNT = 500
SAID_BYTES = 200_000_000


def own_memory(pid: int) -> int:
    """Return a process's share of memory in bytes (PSS: shared pages count in part)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def resident_memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def calls(pid: int) -> int:
    """Return how many read and write system calls a process has made."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["syscr"]) + int(fields["syscw"])


@pytest.mark.timeout(400)
def test_500_idle_containers_cost_no_work_and_little_memory(
    engine: EngineUnderTest, run: Run
) -> None:
    assert engine.process is not None
    pid = engine.process.pid

    def work_of(act: Callable[[], Any]) -> int:
        before = calls(pid)
        act()
        return calls(pid) - before

    first = [work_of(lambda n=n: run(f"idle{n}")) for n in range(10)]
    for n in range(10, COUNT - 10):
        run(f"idle{n}")
    last = [work_of(lambda n=n: run(f"idle{n}")) for n in range(COUNT - 10, COUNT)]
    assert len(engine.client.get("/containers/json")) == COUNT
    assert resident_memory(pid) < 150 * MIB
    # `ps` asks no shim, no database and no file: at most the answer itself is written.
    listing = min(work_of(lambda: engine.client.get("/containers/json")) for _ in range(5))
    assert listing < 20
    assert median(last) < 2 * median(first)


def test_a_stopped_client_costs_no_memory_and_the_log_is_whole(
    engine: EngineUnderTest, run: Run
) -> None:
    assert engine.process is not None
    line = "0123456789" * 100
    script = f"echo ready; read go; yes {line} | head -c {SAID_BYTES}; echo done >&2; read end"
    log = {"Type": "json-file", "Config": {"max-size": "-1"}}
    run("loud", "sh", "-c", script, OpenStdin=True, HostConfig={"LogConfig": log})
    (shim,) = (int(entry.split()[0]) for entry in engine.processes())
    client = engine.host.popen(
        ("docker", "attach", "loud"),
        env=engine.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert client.stdin is not None
    try:
        eventually(lambda: told_attach(engine))
        client.stdin.write(b"go\n")
        client.stdin.flush()
        assert client.stdout is not None
        client.stdout.read(1)  # it hears the container: from here on it is stopped
        client.send_signal(signal.SIGSTOP)
        before = [own_memory(pid) for pid in (engine.process.pid, shim)]

        def growth() -> int:
            now = [own_memory(engine.process.pid), own_memory(shim)]  # type: ignore[union-attr]
            return max(a - b for a, b in zip(now, before, strict=True))

        while b"done" not in logged(engine, stderr=True):
            assert growth() < 16 * MIB
        assert growth() < 16 * MIB
        # Every chunk of whole lines has a head of 8 bytes.
        text = logged(engine, stdout=True)
        assert text.count(line.encode() + b"\n") == SAID_BYTES // (len(line) + 1)
        assert SAID_BYTES < len(text) < SAID_BYTES * 1.01
    finally:
        client.kill()
        client.communicate()


def logged(engine: EngineUnderTest, **streams: bool) -> bytes:
    return engine.client.request("GET", "/containers/loud/logs", query=streams).read()


def told_attach(engine: EngineUnderTest) -> bool:
    """Whether the client is attached: the engine has said so."""
    query = {"since": "0", "until": str(time.time()), "filters": '{"event":["attach"]}'}
    return bool(list(engine.client.request("GET", "/events", query=query).documents()))
