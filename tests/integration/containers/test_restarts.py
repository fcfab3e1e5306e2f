"""Restart policies and health checks: over exits, lost shims, a dead engine, the machine's boot."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cutaway.client import ApiError
from support.engine import EngineUnderTest
from support.waiting import eventually

Run = Callable[..., str]


def inspect(engine: EngineUnderTest, name: str) -> dict[str, Any]:
    found: dict[str, Any] = engine.client.get(f"/containers/{name}/json")
    return found


def status(engine: EngineUnderTest, name: str) -> str:
    return str(inspect(engine, name)["State"]["Status"])


def policy(name: str, count: int = 0, **fields: object) -> dict[str, Any]:
    return {"RestartPolicy": {"Name": name, "MaximumRetryCount": count}, **fields}


def shims(engine: EngineUnderTest) -> dict[str, int]:
    return {line.split()[-1]: int(line.split()[0]) for line in engine.processes()}


def test_on_failure_counts_and_gives_up(engine: EngineUnderTest, run: Run) -> None:
    run("fails", "sh", "-c", "echo run; exit 3", HostConfig=policy("on-failure", 2))
    run("works", "true", HostConfig=policy("on-failure"))
    eventually(lambda: status(engine, "fails") == "exited")
    shown = inspect(engine, "fails")
    assert (shown["RestartCount"], shown["State"]["ExitCode"]) == (2, 3)
    assert engine.docker("logs", "fails").stdout == "run\n" * 3
    eventually(lambda: status(engine, "works") == "exited")
    assert inspect(engine, "works")["RestartCount"] == 0


def test_a_user_who_starts_it_again_lets_the_policy_count_anew(
    engine: EngineUnderTest, run: Run
) -> None:
    run("fails", "sh", "-c", "echo run; exit 3", HostConfig=policy("on-failure", 1))
    eventually(lambda: status(engine, "fails") == "exited")
    engine.client.post("/containers/fails/start")
    eventually(lambda: engine.docker("logs", "fails").stdout == "run\n" * 4)
    eventually(lambda: status(engine, "fails") == "exited")
    assert inspect(engine, "fails")["RestartCount"] == 1


def test_what_ends_while_no_engine_is_there_is_told_whole_by_the_next(
    engine: EngineUnderTest, run: Run
) -> None:
    since = time.time()
    script = "echo run; sleep 0.2; exit 3"
    identifier = run("fails", "sh", "-c", script, HostConfig=policy("on-failure", 2))
    engine.kill()
    farewell = engine.exec_root / "containers" / identifier / "state.json"
    eventually(farewell.exists)
    engine.start()
    eventually(lambda: status(engine, "fails") == "exited")
    shown = inspect(engine, "fails")
    assert (shown["RestartCount"], shown["State"]["ExitCode"]) == (2, 3)
    assert engine.docker("logs", "fails").stdout == "run\n" * 3
    span = ("--since", f"{since:.6f}", "--until", f"{time.time():.6f}")
    told = engine.docker(
        "events", *span, "--filter", f"container={identifier}", "--format", "{{.Action}}"
    ).stdout.split()
    assert told == ["create", *["start", "die"] * 3]


@pytest.mark.parametrize("way", ["label", "flag"])
def test_the_next_attempt_is_shown_where_a_delay_is_set(engine: EngineUnderTest, way: str) -> None:
    words = ["run", "-d", "--name", "slow", "--restart", "always"]
    if way == "flag":
        engine.cutaway(*words, "--restart-delay", "1m", "busybox", "false")
    else:
        engine.docker(*words, "--label", "com.cutaway.restart-delay=60s", "busybox", "false")
    eventually(lambda: status(engine, "slow") == "restarting")
    eventually(lambda: "NextRestartAt" in inspect(engine, "slow")["State"])
    state = inspect(engine, "slow")["State"]
    assert state["NextRestartAt"] > state["FinishedAt"]
    shown = engine.docker("ps", "--format", "{{.Status}}").stdout
    assert shown.startswith("Restarting (1) ")
    assert " ago, again in " in shown
    engine.docker("stop", "slow")
    state = inspect(engine, "slow")["State"]
    assert state["Status"] == "exited"
    assert "NextRestartAt" not in state


UNWELL = {"Test": ["CMD", "false"], "Interval": 20_000_000, "Retries": 1}


@pytest.mark.parametrize("way", ["policy", "label"])
def test_on_unhealthy_restarts_so_many_times(engine: EngineUnderTest, run: Run, way: str) -> None:
    chosen: dict[str, Any] = (
        {"HostConfig": policy("on-unhealthy", 2)}
        if way == "policy"
        else {"Labels": {"com.cutaway.restart": "on-unhealthy:2"}}
    )
    run("unwell", Healthcheck=UNWELL, **chosen)
    eventually(lambda: status(engine, "unwell") == "exited")
    shown = inspect(engine, "unwell")
    assert shown["RestartCount"] == 2
    assert shown["State"]["EndedBy"]["By"] == "health"


@pytest.mark.parametrize(
    ("host", "labels", "message"),
    [
        (policy("on-failed"), {}, "did you mean 'on-failure'?"),
        (policy("always", 3), {}, "maximum retry count can only be used with 'on-failure'"),
        ({}, {"com.cutaway.restart": "always"}, "expected on-unhealthy[:n]"),
        ({}, {"com.cutaway.restart-delay": "soon"}, "com.cutaway.restart-delay"),
        ({"AutoRemove": True}, {"com.cutaway.restart": "on-unhealthy"}, "'AutoRemove'"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_create(
    engine: EngineUnderTest, host: dict[str, Any], labels: dict[str, str], message: str
) -> None:
    body = {"Image": "busybox", "HostConfig": host, "Labels": labels}
    with pytest.raises(ApiError) as refused:
        engine.client.post("/containers/create", body)
    assert refused.value.status == 400
    assert message in str(refused.value)


def test_a_lost_shim_s_container_is_restarted_by_its_policy(
    engine: EngineUnderTest, run: Run
) -> None:
    identifier = run("kept", HostConfig=policy("on-failure"))
    os.kill(shims(engine)[identifier[:12]], signal.SIGKILL)
    eventually(lambda: inspect(engine, "kept")["RestartCount"] == 1)
    eventually(lambda: status(engine, "kept") == "running")


def test_checks_and_restarts_go_on_while_the_engine_is_dead(
    engine: EngineUnderTest, run: Run, tmp_path: Path
) -> None:
    checks = {"Test": ["CMD-SHELL", "echo check >> /d/log; test ! -e /d/ill"],
              "Interval": 50_000_000, "Retries": 1}  # fmt: skip
    tmp_path.chmod(0o777)
    run("box", Healthcheck=checks, HostConfig=policy("on-unhealthy", Binds=[f"{tmp_path}:/d"]))
    eventually(lambda: inspect(engine, "box")["State"]["Health"]["Status"] == "healthy")
    engine.kill()
    before = (tmp_path / "log").read_text().count("check")
    eventually(lambda: (tmp_path / "log").read_text().count("check") > before + 3)
    first = shims(engine)
    (tmp_path / "ill").touch()
    eventually(lambda: any(record["restarting"] for record in engine.exit_records()))
    (tmp_path / "ill").unlink()
    assert shims(engine) == first
    engine.start()
    shown = inspect(engine, "box")
    assert shown["RestartCount"] >= 1
    eventually(lambda: inspect(engine, "box")["State"]["Health"]["Status"] == "healthy")


def end_machine(engine: EngineUnderTest) -> None:
    """Leave nothing running, and nothing in RUN, as the end of a machine does."""
    assert engine.process is not None
    engine.kill()
    for pid in shims(engine).values():
        os.kill(pid, signal.SIGKILL)
    for directory in engine.cgroups():
        for pid in Path(directory, "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
    eventually(lambda: not shims(engine))
    shutil.rmtree(engine.exec_root)


def test_the_machine_s_boot_starts_what_the_policies_want(
    engine: EngineUnderTest, run: Run
) -> None:
    run("always", HostConfig=policy("always"))
    run("stopped-always", HostConfig=policy("always"))
    run("unless", HostConfig=policy("unless-stopped"))
    run("stopped-unless", HostConfig=policy("unless-stopped"))
    run("failure", HostConfig=policy("on-failure"))
    run("no")
    run("leaning", HostConfig=policy("always", NetworkMode="container:always"))
    for name in ("stopped-always", "stopped-unless"):
        engine.docker("stop", name)
    end_machine(engine)
    engine.start()
    for name in ("always", "stopped-always", "unless", "failure", "leaning"):
        eventually(lambda name=name: status(engine, name) == "running")
    assert status(engine, "stopped-unless") == "exited"
    no = inspect(engine, "no")["State"]
    assert (no["Status"], no["ExitCode"], no["EndedBy"]["By"]) == ("exited", 137, "machine")


def test_an_engine_s_restart_starts_what_always_wants(engine: EngineUnderTest, run: Run) -> None:
    run("always", HostConfig=policy("always"))
    run("unless", HostConfig=policy("unless-stopped"))
    pid = inspect(engine, "unless")["State"]["Pid"]
    engine.docker("stop", "always")
    engine.stop()
    engine.start()
    eventually(lambda: status(engine, "always") == "running")
    assert inspect(engine, "unless")["State"]["Pid"] == pid
