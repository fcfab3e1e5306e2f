"""Whatever dies, the container's output, status and restarts are kept."""

import base64
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from cutaway.shim import protocol
from cutaway.shim.client import LauncherClient, ShimClient
from cutaway.shim.protocol import RestartPolicy
from support.shims import Box, make_config, process, receive_all, texts
from support.waiting import eventually


def reconnect(box: Box, after_seq: int = 0) -> dict:
    """Become the next engine; return the snapshot."""
    box.shim.close()
    box.events.clear()
    box.replies.clear()
    box.shim = ShimClient.connect(str(box.run / "shim.sock"))
    return box.ask(protocol.Hello(after_seq)).result


def test_a_new_engine_gets_the_snapshot_and_what_it_missed(box):
    box.launch("sh", "-c", "sleep 0.3; exit 4", restart=RestartPolicy("always", delay_ms=10))
    box.start()
    last = box.event("started").seq
    box.shim.close()
    time.sleep(0.8)
    snapshot = reconnect(box, after_seq=last)
    assert snapshot["exit"]["exit_code"] == 4
    assert snapshot["restart_count"] >= 1
    box.event("started")
    names = [event.name for event in box.events]
    assert names[:3] == ["exited", "restarting", "started"]
    assert box.events[0].seq == last + 1
    box.ask(protocol.Stop(timeout_s=0))
    box.event("cleaned")
    box.finish()


def test_without_an_engine_the_shim_ends_by_itself_and_leaves_its_state(box):
    box.launch("sh", "-c", "sleep 0.2; echo last words; exit 6")
    box.start()
    box.shim.close()
    box.wait_shim_gone()
    state = json.loads((box.run / "state.json").read_text())
    assert state["exit"]["exit_code"] == 6
    assert [event["name"] for event in state["unacknowledged"]][-2:] == ["exited", "cleaned"]
    assert json.loads((box.home / "exit.json").read_text())["exit_code"] == 6
    assert box.log_entries()[0]["log"] == "last words\n"


def test_attached_and_waiting_clients_survive_the_engine(box):
    box.launch("sh", "-c", "read line; echo heard $line; exit 8", stdin_open=True, stdin_once=True)
    client = box.attach(stdin=True)
    box.start()
    ours, theirs = socket.socketpair()
    template = base64.b64encode(b'{"StatusCode":%d}\n').decode()
    box.ask(protocol.Wait("next-exit", template), (theirs.fileno(),))
    theirs.close()
    ours.settimeout(10)
    box.shim.close()
    client.sendall(b"you\n")
    assert texts(receive_all(client)) == {1: b"heard you\n"}
    assert receive_all(ours) == b'{"StatusCode":8}\n'
    ours.close()
    box.wait_shim_gone()


def test_a_living_engine_answers_waiters_itself(box):
    box.launch("sh", "-c", "exit 3")
    ours, theirs = socket.socketpair()
    box.ask(protocol.Wait("removed", base64.b64encode(b"%d").decode()), (theirs.fileno(),))
    theirs.close()
    box.start()
    box.event("cleaned")
    box.finish()
    ours.settimeout(5)
    assert receive_all(ours) == b""
    ours.close()


@pytest.mark.parametrize("is_made", [True, False])
def test_an_engine_that_dies_before_the_start_leaves_nothing(box, is_made):
    box.launch("true", make=is_made)
    if is_made:
        box.made()
    box.shim.close()
    eventually((box.run / "state.json").exists)  # the shim may not have begun yet
    box.wait_shim_gone()
    assert json.loads((box.run / "state.json").read_text())["failure"]
    assert not list(Path("/sys/fs/cgroup").glob(f"*/cutaway-shim-test/{box.id}"))


def test_descriptors_and_memory_do_not_grow_with_use(box):
    box.launch("sleep", "100")
    box.start()

    def use() -> None:
        reply, client = box.exec("true")
        assert reply.error is None, reply.error
        receive_all(client)
        client.close()
        box.attach().close()

    use()
    time.sleep(0.2)
    before = len(os.listdir(f"/proc/{box.shim_pid}/fd"))
    for _ in range(20):
        use()
    time.sleep(0.3)
    assert len(os.listdir(f"/proc/{box.shim_pid}/fd")) == before
    box.ask(protocol.Stop(timeout_s=0))
    box.event("exited")
    box.finish()


def test_the_launcher_may_die_and_the_shim_goes_on(make_box):
    launcher = LauncherClient.spawn()
    box = make_box(launcher=launcher)
    box.launch("sh", "-c", "sleep 0.5; echo on; exit 2")
    box.start()
    os.kill(launcher.pid, signal.SIGKILL)
    os.waitpid(launcher.pid, 0)
    launcher.read_within(5)
    assert launcher.at_end
    launcher.close()
    assert box.event("exited").facts["exit_code"] == 2
    box.finish()
    assert box.log_entries()[0]["log"] == "on\n"


def test_the_launcher_ends_with_its_engine_and_takes_only_idle_shims_along(make_box):
    launcher = LauncherClient.spawn()
    box = make_box(launcher=launcher)
    box.launch("sleep", "100")
    box.start()
    time.sleep(0.2)
    with open(f"/proc/{launcher.pid}/task/{launcher.pid}/children") as file:
        children = {int(pid) for pid in file.read().split()}
    launcher.close()
    os.waitpid(launcher.pid, 0)
    deadline = time.monotonic() + 5
    while any(os.path.exists(f"/proc/{pid}") for pid in children - {box.keeper_pid}):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    box.ask(protocol.Stop(timeout_s=0))
    box.event("exited")
    box.finish()


def test_the_launcher_tells_of_a_killed_shim(make_box):
    launcher = LauncherClient.spawn()
    box = make_box(launcher=launcher)
    box.launch("sh", "-c", "while :; do sleep 1; done")
    started = box.start()
    os.kill(box.shim_pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    seen = []
    while not seen and time.monotonic() < deadline:
        seen = [r.message for r in launcher.read_within(1) if r.message.type == "event"]
    assert seen[0].name == "shim_exited"
    assert seen[0].facts["container_id"] == box.id
    os.kill(started.result["pid"], signal.SIGKILL)
    launcher.close()
    os.waitpid(launcher.pid, 0)


def test_restart_policy_backs_off_and_gives_up(box):
    box.launch("sh", "-c", "exit 1", restart=RestartPolicy("on-failure", 3, delay_ms=20))
    box.start()
    box.event("cleaned")
    delays = [event.facts["delay_ms"] for event in box.events if event.name == "restarting"]
    assert delays == [20, 40, 80]
    exits = [event.facts["restarting"] for event in box.events if event.name == "exited"]
    assert exits == [True, True, True, False]
    assert box.event("started", 4).facts["restart_count"] == 3
    box.finish()


def test_stop_ends_a_container_that_waits_for_its_restart(box):
    box.launch("sh", "-c", "exit 1", restart=RestartPolicy("always", delay_ms=60_000))
    box.start()
    box.event("restarting")
    client = box.attach()
    assert box.ask(protocol.Stop()).error is None
    box.event("cleaned")
    assert receive_all(client) == b""
    assert [event.facts["restarting"] for event in box.events if event.name == "exited"] == [
        True,
        False,
    ]
    assert json.loads((box.home / "exit.json").read_text())["restarting"] is False
    box.finish()


def test_stop_is_stronger_than_always(box):
    box.launch("sleep", "100", restart=RestartPolicy("always", delay_ms=10))
    box.start()
    box.ask(protocol.Stop(timeout_s=0.1))
    assert box.event("exited").facts["restarting"] is False
    box.finish()


def test_a_policy_can_be_changed_while_it_waits(box):
    box.launch("sh", "-c", "sleep 0.2; exit 1")
    box.start()
    box.ask(protocol.Update(restart=RestartPolicy("on-failure", 1, delay_ms=10)))
    box.event("started", 2)
    box.finish()


def check(*args: str, **options) -> protocol.HealthCheck:
    return protocol.HealthCheck(process(*args), **options)


def test_health_goes_from_starting_to_healthy_to_unhealthy(box):
    script = "sleep 0.3; touch /tmp/ok; sleep 0.5; rm /tmp/ok; sleep 100"
    config = make_config(box.root, box.id, "sh", "-c", script)
    config["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})
    health = check(
        "sh", "-c", "echo probing; test -e /tmp/ok",
        interval_ns=50_000_000, retries=2, start_period_ns=10**10, start_interval_ns=40_000_000,
    )  # fmt: skip
    box.launch(config=config, health=health)
    box.start()
    deadline = time.monotonic() + 20
    changes: list[str] = []
    while "unhealthy" not in changes:
        assert time.monotonic() < deadline, (changes, box.trouble())
        box.read(0.2)
        results = [event.facts for event in box.events if event.name == "health_status"]
        changes = [result["status"] for result in results if result["changed"]]
    assert changes == ["healthy", "unhealthy"]
    state = box.ask(protocol.Health()).result
    assert state["failing_streak"] >= 2
    assert len(state["log"]) <= 5
    assert state["log"][-1]["Output"] == "probing\n"
    box.ask(protocol.Stop(timeout_s=0))
    box.event("exited")
    box.finish()


def test_a_check_that_hangs_fails_at_its_timeout(box):
    box.launch(
        "sleep", "100", health=check("sleep", "50", interval_ns=10**7, timeout_ns=10**8, retries=1)
    )
    box.start()
    result = box.event("health_status").facts
    assert result["status"] == "unhealthy"
    assert result["log"]["ExitCode"] == -1
    assert result["log"]["Output"] == "Health check exceeded timeout (100ms)"
    box.ask(protocol.Stop(timeout_s=0))
    box.event("exited")
    box.finish()


def test_on_unhealthy_restarts(box):
    box.launch(
        "sleep", "100",
        health=check("false", interval_ns=10**7, retries=1),
        restart=RestartPolicy("on-unhealthy", 1, delay_ms=10), stop_timeout_s=0.05,
    )  # fmt: skip
    box.start()
    box.event("started", 2)
    assert box.event("exited").facts["signals"][0]["origin"] == "health"
    box.event("cleaned")
    box.finish()
