"""The engine's death is nobody's else: containers run on, and the next engine knows all."""

import subprocess
import time
from pathlib import Path

import pytest

from support.coming_back import start_again
from support.engine import EngineUnderTest
from support.waiting import eventually


def restart(engine: EngineUnderTest) -> None:
    engine.kill()
    engine.start()


def inspect(engine: EngineUnderTest, name: str) -> dict:
    return engine.client.get(f"/containers/{name}/json")


UNTIL_TOLD = "until test -e /go; do sleep 0.02; done"


def tell(pid: int) -> None:
    """Let a program that waits by UNTIL_TOLD go on, though there is no engine."""
    Path(f"/proc/{pid}/root/go").touch()


def test_a_running_container_keeps_its_process_and_loses_no_line(engine: EngineUnderTest) -> None:
    script = "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); sleep 0.005; done"
    engine.docker("run", "-d", "--name", "lines", "busybox", "sh", "-c", script)
    pid = inspect(engine, "lines")["State"]["Pid"]
    restart(engine)
    state = inspect(engine, "lines")["State"]
    assert (state["Status"], state["Pid"]) == ("running", pid)
    assert engine.docker("wait", "lines").stdout.strip() == "0"
    lines = engine.docker("logs", "lines").stdout.splitlines()
    assert lines == [f"line {n}" for n in range(400)]


def test_an_exit_nobody_heard_of_is_known_afterwards(engine: EngineUnderTest) -> None:
    words = ("busybox", "sh", "-c", f"{UNTIL_TOLD}; exit 7")
    engine.docker("run", "-d", "--name", "brief", *words)
    pid = inspect(engine, "brief")["State"]["Pid"]
    engine.kill()
    tell(pid)
    eventually(engine.exit_records)
    engine.start()
    state = inspect(engine, "brief")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 7)
    assert state["FinishedAt"] > state["StartedAt"]
    assert engine.docker("wait", "brief").stdout.strip() == "7"
    now = f"{time.time():.9f}"
    events = engine.docker("events", "--since", "1m", "--until", now, "--filter", "event=die")
    assert "exitCode=7" in events.stdout


def test_a_rm_container_that_ends_meanwhile_is_gone_afterwards(engine: EngineUnderTest) -> None:
    engine.docker("run", "-d", "--rm", "--name", "passing", "busybox", "sh", "-c", UNTIL_TOLD)
    pid = inspect(engine, "passing")["State"]["Pid"]
    engine.kill()
    tell(pid)
    eventually(engine.exit_records)
    engine.start()
    assert engine.docker("ps", "-aq").stdout == ""


def test_what_was_removed_and_not_deleted_is_deleted_by_the_next(engine: EngineUnderTest) -> None:
    engine.docker("create", "--name", "removed", "busybox")
    engine.docker("rm", "removed")
    engine.kill()  # most often before it has deleted anything; what it left to delete is added to
    for root in (engine.data_root, engine.exec_root):
        (root / "containers/.trash/1-1/deep").mkdir(parents=True)
    engine.start()
    engine.wait_until_clean()


def test_an_attached_client_outlives_the_engine(engine: EngineUnderTest) -> None:
    words = ["docker", "run", "-i", "--name", "echo", "busybox", "sh", "-c", "cat; exit 5"]
    client = engine.host.popen(
        words, env=engine.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(b"before\n")
    client.stdin.flush()
    assert client.stdout.readline() == b"before\n"
    # The output came by the attached stream; the answer to the start may still be on its way.
    eventually(lambda: inspect(engine, "echo")["State"]["Running"])
    engine.docker("exec", "echo", "true")
    engine.kill()
    client.stdin.write(b"after\n")
    client.stdin.flush()
    assert client.stdout.readline() == b"after\n"
    client.stdin.close()
    with client.stdout:
        assert client.stdout.read() == b""
    assert client.wait(timeout=10) == 5
    engine.start()
    assert inspect(engine, "echo")["State"]["ExitCode"] == 5


def test_the_container_can_be_used_as_before(engine: EngineUnderTest) -> None:
    engine.docker("run", "-d", "--name", "web", "busybox", "sleep", "60")
    address = inspect(engine, "web")["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    restart(engine)
    assert inspect(engine, "web")["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] == address
    assert engine.docker("exec", "web", "echo", "hello").stdout == "hello\n"
    ping = engine.docker("run", "--rm", "busybox", "ping", "-c", "1", "-W", "2", address)
    assert "1 packets received" in ping.stdout
    engine.docker("stop", "-t", "0", "web")
    engine.docker("start", "web")
    engine.docker("rm", "-f", "web")


def test_a_paused_container_stays_paused(engine: EngineUnderTest) -> None:
    engine.docker("run", "-d", "--name", "ice", "busybox", "sleep", "60")
    engine.docker("pause", "ice")
    restart(engine)
    assert inspect(engine, "ice")["State"]["Status"] == "paused"
    engine.docker("unpause", "ice")
    assert inspect(engine, "ice")["State"]["Status"] == "running"


def test_a_restart_policy_acts_while_the_engine_is_dead(engine: EngineUnderTest) -> None:
    engine.docker(
        *("run", "-d", "--restart", "always", "--name", "again"),
        *("busybox", "sh", "-c", "echo run; sleep 0.3"),
    )
    log = Path(inspect(engine, "again")["LogPath"])
    engine.kill()
    before = log.read_text().count("run")
    eventually(lambda: log.read_text().count("run") > before + 1)
    engine.start()
    assert inspect(engine, "again")["RestartCount"] >= 1
    assert engine.docker("logs", "again").stdout.count("run") >= 2


def test_a_graceful_stop_leaves_containers_running(engine: EngineUnderTest) -> None:
    engine.docker("run", "-d", "--name", "stays", "busybox", "sleep", "60")
    pid = inspect(engine, "stays")["State"]["Pid"]
    engine.stop()
    engine.start()
    assert inspect(engine, "stays")["State"]["Pid"] == pid


def test_a_second_engine_at_the_same_place_is_refused(engine: EngineUnderTest) -> None:
    done = engine.host.run(*engine.words(), check=False)
    assert done.returncode == 1
    assert "another engine holds" in done.stderr


def test_a_damaged_database_is_rebuilt_from_the_containers(engine: EngineUnderTest) -> None:
    engine.docker("run", "--name", "kept", "busybox", "sh", "-c", "exit 9", check=False)
    engine.stop()
    database = engine.data_root / "engine.db"
    database.write_bytes(b"rubbish" * 4096)
    for suffix in ("-wal", "-shm"):
        (engine.data_root / f"engine.db{suffix}").unlink(missing_ok=True)
    engine.start()
    state = inspect(engine, "kept")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 9)
    assert engine.docker("start", "-a", "kept", check=False).returncode == 9


@pytest.mark.parametrize("round_", range(3))
def test_killed_at_any_moment_it_comes_back_and_leaves_nothing(
    engine: EngineUnderTest, round_: int
) -> None:
    """A busy engine is killed again and again; afterwards the store and the host agree."""
    for delay_s in (0.01, 0.03, 0.06, 0.1, 0.15):
        clients = [
            engine.host.popen(
                ["docker", "run", "--rm", "busybox", "sh", "-c", f"sleep 0.0{n}"],
                env=engine.environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for n in range(4)
        ]
        time.sleep(delay_s + round_ * 0.007)
        engine.kill()
        start_again(engine)
        for client in clients:
            client.wait(timeout=20)
        for container in engine.client.get("/containers/json", all=True):
            engine.client.get(f"/containers/{container['Id']}/json")
    engine.remove_containers()
    engine.wait_until_clean()
