"""Why a container ended: inspect and events name who sent the signal, and count OOM kills."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from cutaway.client.http import ApiError, Response
from support.engine import EngineUnderTest
from support.waiting import eventually

Run = Callable[..., str]


def state(engine: EngineUnderTest, name: str) -> dict[str, Any]:
    found: dict[str, Any] = engine.client.get(f"/containers/{name}/json")["State"]
    return found


def ended_by(engine: EngineUnderTest, name: str) -> tuple[str, str]:
    eventually(lambda: state(engine, name)["Status"] == "exited")
    ended = state(engine, name)["EndedBy"]
    return ended["By"], ended.get("Signal", "")


def collect(answer: Response, events: list[dict[str, Any]]) -> None:
    with contextlib.suppress(ApiError):  # the connection was shut down
        for event in answer.documents():
            events.append(event)  # noqa: PERF402 - the list is read meanwhile


@contextlib.contextmanager
def listening(engine: EngineUnderTest) -> Iterator[list[dict[str, Any]]]:
    """Collect the events that are told from now on."""
    events: list[dict[str, Any]] = []
    answer = engine.client.request("GET", "/events")
    reader = threading.Thread(target=lambda: collect(answer, events))
    reader.start()
    try:
        yield events
    finally:
        with socket.socket(fileno=os.dup(answer.fileno())) as connection:
            connection.shutdown(socket.SHUT_RDWR)
        reader.join()


def actions(events: list[dict[str, Any]]) -> list[str]:
    return [event["Action"] for event in events if event["Type"] == "container"]


def attributes(events: list[dict[str, Any]], action: str) -> list[dict[str, str]]:
    return [e["Actor"]["Attributes"] for e in events if e["Action"] == action]


def test_each_sender_of_a_signal_is_named(engine: EngineUnderTest, run: Run) -> None:
    for name in ("killed", "stopped", "deaf", "other"):
        run(name)
    with listening(engine) as events:
        run("program", "sh", "-c", "exit 255")
        engine.client.post("/containers/killed/kill", signal="KILL")
        engine.client.post("/containers/stopped/stop", t=5)
        engine.client.post("/containers/deaf/stop", signal="WINCH", t=0)
        os.kill(state(engine, "other")["Pid"], signal.SIGKILL)
        assert ended_by(engine, "killed") == ("user", "SIGKILL")
        assert ended_by(engine, "stopped") == ("stop", "SIGKILL")  # its own stop signal
        assert ended_by(engine, "deaf") == ("stop", "SIGKILL")
        assert ended_by(engine, "other") == ("other", "SIGKILL")
        assert ended_by(engine, "program") == ("program", "")
        eventually(lambda: len(attributes(events, "die")) == 5)
    deaf = state(engine, "deaf")["EndedBy"]["Reason"]
    assert deaf == "docker stop sent SIGWINCH, and SIGKILL 0 s later, as it went on"
    dead = {a["name"]: (a["endedBy"], a.get("signal", "")) for a in attributes(events, "die")}
    assert dead["other"] == ("other", "9")
    kills = [(a["name"], a["signal"], a["origin"]) for a in attributes(events, "kill")]
    assert kills == [
        ("killed", "9", "user"),
        ("stopped", "9", "stop"),
        ("deaf", "28", "stop"),
        ("deaf", "9", "stop"),
    ]


def test_a_signal_that_was_not_to_end_it_is_not_its_end(engine: EngineUnderTest, run: Run) -> None:
    run("deaf", "sh", "-c", "trap 'exit 3' USR1; echo ready; while :; do sleep 0.05; done")
    eventually(lambda: engine.docker("logs", "deaf").stdout == "ready\n")
    engine.client.post("/containers/deaf/kill", signal="WINCH")
    os.kill(state(engine, "deaf")["Pid"], signal.SIGUSR1)
    assert ended_by(engine, "deaf") == ("program", "")


LIMIT = {"Memory": 16 << 20, "MemorySwap": 16 << 20}
EAT = "x=a; while :; do x=$x$x; done"


def test_an_oom_kill_is_told_while_the_container_lives_on(
    engine: EngineUnderTest, run: Run
) -> None:
    with listening(engine) as events:
        run("fed", "sh", "-c", f"trap : TERM; (sleep 0.3; {EAT}); while :; do sleep 0.05; done",
            HostConfig=LIMIT)  # fmt: skip
        eventually(lambda: "oom" in actions(events))
        shown = state(engine, "fed")
        assert (shown["Status"], shown["OOMKilled"]) == ("running", True)
        engine.client.post("/containers/fed/kill")
        assert ended_by(engine, "fed") == ("user", "SIGKILL")
        assert state(engine, "fed")["OOMKilled"]
        eventually(lambda: "die" in actions(events))
    assert actions(events).count("oom") == 1


def test_an_oom_kill_of_the_program_itself_is_counted_before_the_cgroup_goes(
    engine: EngineUnderTest, run: Run
) -> None:
    with listening(engine) as events:
        run("greedy", "sh", "-c", EAT, HostConfig=LIMIT)
        assert ended_by(engine, "greedy") == ("oom-killer", "SIGKILL")
        eventually(lambda: "die" in actions(events))
    shown = state(engine, "greedy")
    assert (shown["OOMKilled"], shown["ExitCode"]) == (True, 137)
    assert "memory limit of 16 MiB was reached" in shown["EndedBy"]["Reason"]
    assert actions(events)[-2:] == ["oom", "die"]
    assert attributes(events, "die")[0]["endedBy"] == "oom-killer"
    engine.client.post("/containers/greedy/start")
    eventually(lambda: state(engine, "greedy")["OOMKilled"])


def test_a_lost_shim_loses_its_container_only_and_says_so(
    engine: EngineUnderTest, run: Run
) -> None:
    lost, kept = run("lost"), run("kept")
    shims = {line.split()[-1]: int(line.split()[0]) for line in engine.processes()}
    os.kill(shims[lost[:12]], signal.SIGKILL)
    assert ended_by(engine, "lost") == ("shim", "SIGKILL")
    shown = state(engine, "lost")
    assert (shown["ExitCode"], shown["Running"]) == (137, False)
    assert shown["Error"] == "its shim was killed, and the container with it"
    assert state(engine, "kept")["Running"]
    assert engine.docker("exec", kept, "echo", "hi").stdout == "hi\n"
    engine.client.post("/containers/lost/start")  # waits until the lost one's processes are gone
    assert state(engine, "lost")["Running"]


HEALTH = {"Test": ["CMD-SHELL", "echo checked; test -e /ok"], "Interval": 50_000_000, "Retries": 2}


def test_health_is_told_with_its_results(engine: EngineUnderTest, run: Run) -> None:
    with listening(engine) as events:
        run("well", Healthcheck=HEALTH)
        eventually(lambda: state(engine, "well")["Health"]["Status"] == "unhealthy")
        health = state(engine, "well")["Health"]
        assert health["FailingStreak"] >= 2
        assert health["Log"][-1]["Output"] == "checked\n"
        assert health["Log"][-1]["ExitCode"] == 1
        assert "2000" < health["Log"][-1]["Start"] < health["Log"][-1]["End"]
        assert engine.docker("ps", "--format", "{{.Status}}").stdout.endswith("(unhealthy)\n")
        engine.docker("exec", "well", "touch", "/ok")
        eventually(lambda: state(engine, "well")["Health"]["Status"] == "healthy")
        assert state(engine, "well")["Health"]["FailingStreak"] == 0
        engine.client.post("/containers/well/kill")
        eventually(lambda: "die" in actions(events))
    told = [action for action in actions(events) if action.startswith("health_status")]
    assert told == ["health_status: unhealthy", "health_status: healthy"]
    # As dockerd: what does not run is not healthy; the last results are kept.
    assert state(engine, "well")["Health"]["Status"] == "unhealthy"
    assert 1 <= len(state(engine, "well")["Health"]["Log"]) <= 5


def test_events_are_found_again_after_a_restart(engine: EngineUnderTest, run: Run) -> None:
    identifier = run("past", "sh", "-c", EAT, HostConfig=LIMIT)
    assert ended_by(engine, "past") == ("oom-killer", "SIGKILL")
    engine.kill()
    engine.start()
    filters = json.dumps({"container": [identifier], "event": ["oom", "die"]})
    query = {"since": "0", "until": str(time.time()), "filters": filters}
    told = list(engine.client.request("GET", "/events", query=query).documents())
    assert actions(told) == ["oom", "die"]
    assert ended_by(engine, "past") == ("oom-killer", "SIGKILL")
