"""A container with nothing to do keeps only its keeper; whatever happens wakes a shim."""

import base64
import json
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from cutaway.shim import protocol
from cutaway.shim.client import LauncherClient, ShimClient
from cutaway.shim.protocol import HealthCheck, LogSettings, RestartPolicy
from support.shims import Box, process, receive_all, texts
from support.waiting import eventually

KIB_AT_MOST = 1024
ACTORS = {"shim", "maker", "stem", "init"}


@pytest.fixture
def box(tmp_path, root, launcher):
    box = Box(tmp_path, root, launcher, "builtin")
    yield box
    box.end()


def rest(box: Box, *args: str, **options) -> int:
    """Start a container and see its shim go to rest; return PID 1."""
    box.launch(*args, **options)
    pid = box.start().result["pid"]
    seq = box.event("started").seq
    box.shim.acknowledge(seq)
    box.wait_rest()
    return pid


def own_memory_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kib) for kib in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.MULTILINE))


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_what_is_left_has_little_memory_and_is_the_parent_of_pid_1(box):
    pid = rest(box, "sleep", "100")
    assert own_memory_kib(box.keeper_pid) <= KIB_AT_MOST
    assert parent_of(pid) == box.keeper_pid
    box.ask(protocol.Stop(timeout_s=0))
    facts = box.event("exited").facts
    assert (facts["exit_code"], facts["signal"]) == (137, 9)
    assert [s["origin"] for s in facts["signals"]] == ["stop", "stop"]
    box.finish()
    eventually(lambda: not os.path.exists(f"/proc/{box.keeper_pid}"))
    assert not list(Path("/sys/fs/cgroup").glob(f"*/cutaway-shim-test/{box.id}"))
    assert not (box.run / "shim.sock").exists()


def test_who_waited_and_hung_up_does_not_keep_it_awake(box):
    box.launch("sleep", "100")
    ours, theirs = socket.socketpair()
    box.ask(protocol.Wait("next-exit", base64.b64encode(b"%d").decode()), (theirs.fileno(),))
    theirs.close()
    box.start()
    box.shim.acknowledge(box.event("started").seq)
    ours.close()
    box.ask(protocol.Ping())
    box.wait_rest()
    box.ask(protocol.Stop(timeout_s=0))
    box.finish()


def test_an_end_at_rest_is_kept_and_told(box):
    pid = rest(box, "sh", "-c", "trap 'exit 5' USR1; while :; do sleep 0.1 & wait; done")
    os.kill(pid, signal.SIGUSR1)
    assert box.event("exited").facts["exit_code"] == 5
    box.finish()
    for place in (box.run, box.home):
        assert json.loads((place / "exit.json").read_text())["exit_code"] == 5


def test_exec_and_output_wake_it_and_it_rests_again(box):
    script = "printf 'a prompt: '; read line; echo heard $line; exec sleep 100"
    rest(box, "sh", "-c", script, stdin_open=True)
    reply, client = box.exec("echo", "in there", exec_id="ab")
    assert reply.error is None, reply.error
    assert texts(receive_all(client)) == {1: b"in there\n"}
    box.event("exec_exited")
    box.wait_rest()
    assert box.ask(protocol.ExecInspect("ab")).result["exit_code"] == 0
    typist = box.attach(stdin=True, logs=True)
    typist.sendall(b"you\n")
    eventually(lambda: len(box.log_entries()) == 1)
    assert box.log_entries()[0]["log"] == "a prompt: heard you\n"
    typist.close()
    box.event("detached")
    box.wait_rest()
    box.ask(protocol.Stop(timeout_s=0))
    box.finish()


def test_a_terminal_rests_and_wakes(box):
    script = "stty -echo; read line; stty size; exec sleep 100"
    rest(box, "sh", "-c", script, terminal=True, stdin_open=True)
    client = box.attach(stdin=True)
    box.ask(protocol.Resize(80, 25))
    client.sendall(b"\n")
    said = b""
    while b"25 80" not in said:
        said += client.recv(1000)
    client.close()
    box.event("detached")
    box.wait_rest()
    box.ask(protocol.Stop(timeout_s=0))
    box.finish()


def test_everything_survives_engine_and_launcher(tmp_path, root):
    launcher = LauncherClient.spawn()
    box = Box(tmp_path, root, launcher, "builtin")
    pid = rest(box, "sh", "-c", "trap 'echo bye; exit 3' USR1; while :; do sleep 0.1 & wait; done")
    os.kill(launcher.pid, signal.SIGKILL)
    os.waitpid(launcher.pid, 0)
    launcher.close()
    box.shim.close()
    box.wait_rest()  # it woke to take note
    os.kill(pid, signal.SIGUSR1)
    box.wait_shim_gone()
    state = json.loads((box.run / "state.json").read_text())
    assert state["exit"]["exit_code"] == 3
    assert [event["name"] for event in state["unacknowledged"]] == ["exited", "cleaned"]
    assert box.log_entries()[-1]["log"] == "bye\n"
    box.end()


def test_the_next_engine_finds_it_at_rest(box):
    pid = rest(box, "sleep", "100")
    last = box.event("started").seq
    box.shim.close()
    box.events.clear()
    box.replies.clear()
    box.wait_rest()
    box.shim = ShimClient.connect(str(box.run / "shim.sock"))
    snapshot = box.ask(protocol.Hello(last)).result
    assert (snapshot["status"], snapshot["pid"]) == ("running", pid)
    assert box.ask(protocol.Processes()).result["pids"] == [pid]
    box.ask(protocol.Stop(timeout_s=0))
    box.event("cleaned")
    box.finish()


def test_a_paused_container_rests_and_goes_on(box):
    box.launch("sh", "-c", "while :; do sleep 0.1; done")
    box.start()
    box.ask(protocol.Pause())
    box.wait_rest()
    assert box.ask(protocol.Resume()).error is None
    box.ask(protocol.Stop(timeout_s=0))
    box.finish()


def test_the_policy_starts_it_again_and_the_ledger_is_whole(box):
    pid = rest(box, "sleep", "100", restart=RestartPolicy("always", delay_ms=10))
    first = json.loads((box.home / "ledger.json").read_text())["records"]
    os.kill(pid, signal.SIGKILL)
    box.event("exited")
    started = box.event("started", 2)
    assert started.facts["restart_count"] == 1
    box.wait_rest()
    again = json.loads((box.home / "ledger.json").read_text())["records"]
    assert {r["actor"] for r in again} == {r["actor"] for r in first} == ACTORS
    box.ask(protocol.Stop(timeout_s=0))
    box.finish()


def test_health_checks_go_on(box):
    check = HealthCheck(process("true"), interval_ns=4 * 10**9)
    box.launch("sleep", "100", health=check)
    box.start()
    box.wait_rest()
    assert box.ask(protocol.Health()).result["status"] == "starting"
    box.wait_rest()
    result = box.event("health_status").facts
    assert (result["status"], result["changed"]) == ("healthy", True)
    box.wait_rest()
    box.ask(protocol.Stop(timeout_s=0))
    box.finish()


def test_a_full_log_rotates_on(box):
    box.log = LogSettings(path=box.log.path, max_size_bytes=200, max_files=3)
    script = "echo first; trap 'echo second; exec sleep 100' USR1; while :; do sleep 1 & wait; done"
    pid = rest(box, "sh", "-c", script)
    os.kill(pid, signal.SIGUSR1)
    eventually(lambda: [entry["log"] for entry in box.log_entries()] == ["first\n", "second\n"])
    box.wait_rest()
    box.ask(protocol.Stop(timeout_s=0))
    box.finish()


@pytest.mark.parametrize("victim", ["keeper", "shim", "keeper at rest"])
def test_keeper_and_shim_die_as_one(tmp_path, root, victim):
    launcher = LauncherClient.spawn()
    box = Box(tmp_path, root, launcher, "builtin")
    if victim == "keeper at rest":
        pid = rest(box, "sleep", "100")
    else:
        box.launch("sleep", "100")
        pid = box.start().result["pid"]
    shim_pid = box.find_shim()
    os.kill(shim_pid if victim == "shim" else box.keeper_pid, signal.SIGKILL)
    seen = []
    deadline = time.monotonic() + 10
    while not seen and time.monotonic() < deadline:
        seen = [r.message for r in launcher.read_within(1) if r.message.type == "event"]
    assert (seen[0].name, seen[0].facts["exit_code"]) == ("shim_exited", 137)
    eventually(
        lambda: not any(os.path.exists(f"/proc/{n}") for n in (box.keeper_pid, shim_pid) if n)
    )
    os.kill(pid, signal.SIGKILL)
    box.shim.close()
    eventually(lambda: box.remove_cgroups() or not box.cgroups())
    launcher.close()
    os.waitpid(launcher.pid, 0)
