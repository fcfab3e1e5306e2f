"""A thousand containers in a row, two hundred by eight at a time: nothing fails, leaks or grows."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from support.engine import EngineUnderTest
from support.picture import differences, processes, take_picture
from support.waiting import eventually, eventually_equal

_GROWTH_LIMIT_BYTES = 16 << 20
_RUN_RM_TRUE = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"AutoRemove": True}}


def run_rm(engine: EngineUnderTest) -> int:
    """Do what ``docker run --rm busybox true`` does; return the exit code."""
    client = engine.client
    name = client.post("/containers/create", _RUN_RM_TRUE)["Id"]
    query = {"condition": "removed"}
    with closing(client.request("POST", f"/containers/{name}/wait", query=query)) as waiting:
        client.post(f"/containers/{name}/start")
        return int(waiting.json()["StatusCode"])


def resident_bytes(pid: int) -> int:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def daemons(engine: EngineUnderTest) -> dict[str, int]:
    """Return the resident memory of engine and launcher."""
    assert engine.process is not None
    (launcher,) = (pid for pid, title in processes(engine) if title == "cutaway: launcher")
    # nsenter becomes the engine by execve(2): the process is the engine itself.
    return {"engine": resident_bytes(engine.process.pid), "launcher": resident_bytes(launcher)}


def check(engine: EngineUnderTest, work: Callable[[], None]) -> None:
    for _ in range(20):  # caches fill once
        run_rm(engine)
    eventually(lambda: not any(engine.left_over().values()))
    picture, memory = take_picture(engine), daemons(engine)
    work()
    eventually_equal(lambda: differences(picture, take_picture(engine)), [], timeout_s=60)
    grown = {name: size - memory[name] for name, size in daemons(engine).items()}
    assert max(grown.values()) < _GROWTH_LIMIT_BYTES, grown


def test_a_thousand_runs_in_a_row(module_engine: EngineUnderTest) -> None:
    """Twenty of them by docker's own command, the others as it speaks to the API."""

    def work() -> None:
        for _ in range(980):
            assert run_rm(module_engine) == 0
        for _ in range(20):
            assert module_engine.docker("run", "--rm", "busybox", "echo", "hi").stdout == "hi\n"

    check(module_engine, work)


def test_two_hundred_runs_by_eight_at_a_time(module_engine: EngineUnderTest) -> None:
    def work() -> None:
        with ThreadPoolExecutor(8) as pool:
            codes = list(pool.map(lambda _: run_rm(module_engine), range(200)))
        assert codes == [0] * 200

    check(module_engine, work)
