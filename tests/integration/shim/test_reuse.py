"""A shim whose container has ended owns the next one, as good as new; or it ends."""

import os
import signal
import socket
from pathlib import Path

import pytest

from cutaway.shim import protocol
from cutaway.shim.client import LauncherClient
from support.shims import Box, make_config, receive_all, texts
from support.waiting import eventually

NAMESPACES = ("mnt", "net", "uts", "ipc", "cgroup", "pid", "user")


@pytest.fixture
def make(tmp_path, root):
    """Boxes of one launcher of their own, one after the other."""
    launcher = LauncherClient.spawn()
    boxes: list[Box] = []

    def make_one() -> Box:
        boxes.append(Box(tmp_path, root, launcher, "builtin"))
        return boxes[-1]

    yield make_one
    for box in boxes:
        box.end()
    launcher.close()
    os.waitpid(launcher.pid, 0)


def run(box: Box, *args: str, **options) -> None:
    """One whole life; its output is ``args``' own."""
    box.launch(*args, **options)
    client = box.attach()
    box.start()
    assert texts(receive_all(client)) == {1: b"out\n"}
    finish(box)


def finish(box: Box) -> None:
    """See the box's shim leave, and be free for another."""
    box.finish()

    def is_told() -> bool:
        told = [received.message for received in box.launcher.read_within(0.1)]
        return any(m.type == "event" and m.facts["container_id"] == box.id for m in told)

    eventually(is_told)


def namespaces(pid: int) -> list[str]:
    return [os.readlink(f"/proc/{pid}/ns/{name}") for name in NAMESPACES]


def helpers(box: Box) -> dict[str, int]:
    """Pids of the shim's children by the last word of their titles; the dead are left out."""
    with open(f"/proc/{box.shim_pid}/task/{box.shim_pid}/children") as file:
        pids = file.read().split()
    titles = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().strip(b"\0").decode() for pid in pids}
    return {title.split()[-1]: int(pid) for pid, title in titles.items() if title}


def test_shim_and_maker_make_the_next_container_and_hold_nothing_of_the_last(make):
    first = make()
    run(first, "echo", "out")
    children = helpers(first)
    maker, stem = children["maker"], children["stem"]
    fds = len(os.listdir(f"/proc/{first.shim_pid}/fd"))
    for _ in range(5):
        box = make()
        run(box, "echo", "out")
        assert box.shim_pid == first.shim_pid
        assert box.event("exited").facts["exit_code"] == 0
        assert (box.home / "ledger.json").stat().st_size > 10_000
    assert helpers(first) == children
    assert len(os.listdir(f"/proc/{first.shim_pid}/fd")) == fds
    for pid in (first.shim_pid, maker, stem):
        assert namespaces(pid) == namespaces(os.getpid())
    assert len(os.listdir(f"/proc/{maker}/fd")) == 6  # null thrice, control, way home, stem
    assert len(os.listdir(f"/proc/{stem}/fd")) == 4  # null thrice, its maker


def test_without_its_stem_a_maker_forks_the_init_itself(make):
    first = make()
    run(first, "echo", "out")
    stem = helpers(first)["stem"]
    os.kill(stem, signal.SIGKILL)
    eventually(lambda: "stem" not in helpers(first))
    again = make()
    run(again, "sh", "-c", "test $$ = 1 && echo out")
    assert again.shim_pid == first.shim_pid


def test_the_stem_ends_with_its_maker(make):
    first = make()
    run(first, "echo", "out")
    os.kill(helpers(first)["maker"], signal.SIGKILL)
    eventually(lambda: not helpers(first))


def test_a_container_in_a_joined_user_namespace_uses_its_maker_up(make, root):
    other = make()
    config = make_config(root, other.id, "sleep", "100")
    config["linux"]["namespaces"].append({"type": "user"})
    mapping = [{"containerID": 0, "hostID": 100_000, "size": 65536}]
    config["linux"] |= {"uidMappings": mapping, "gidMappings": mapping}
    os.chmod(root, 0o755)
    other.launch(config=config)
    pid = other.start().result["pid"]
    box = make()
    joining = make_config(root, box.id, "echo", "out")
    kinds = [n["type"] for n in joining["linux"]["namespaces"] if n["type"] != "network"]
    joining["linux"]["namespaces"] = [{"type": kind} for kind in kinds] + [
        {"type": "user", "path": f"/proc/{pid}/ns/user"},
        {"type": "network", "path": f"/proc/{pid}/ns/net"},
    ]
    run(box, config=joining)
    again = make()
    run(again, "echo", "out")
    assert again.shim_pid == box.shim_pid
    other.ask(protocol.Stop(timeout_s=0))
    other.event("cleaned")
    finish(other)


def test_many_at_once_and_then_only_a_few_wait(make):
    boxes = [make() for _ in range(4)]
    for box in boxes:
        box.launch("echo", "out")
    assert len({box.shim_pid for box in boxes}) == 4
    for box in boxes:
        client = box.attach()
        box.start()
        assert texts(receive_all(client)) == {1: b"out\n"}
        finish(box)
    late = make()
    run(late, "echo", "out")
    assert late.shim_pid in {box.shim_pid for box in boxes}


def test_a_shim_that_was_killed_while_it_waited_is_not_missed(make):
    first = make()
    run(first, "echo", "out")
    pid = first.shim_pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not os.path.exists(f"/proc/{pid}"))
    second = make()
    run(second, "echo", "out")
    assert second.shim_pid != pid


def test_a_client_that_goes_early_leaves_nothing_to_the_next_container(make):
    box = make()
    box.launch("echo", "out")
    ours, theirs = socket.socketpair()
    assert box.ask(protocol.Attach("ab", stdin=True), (theirs.fileno(),)).error is None
    theirs.close()
    ours.close()
    client = box.attach()
    box.start()
    assert texts(receive_all(client)) == {1: b"out\n"}
    finish(box)
    again = make()
    run(again, "echo", "out")
    assert again.shim_pid == box.shim_pid


def test_a_stem_that_is_killed_while_it_is_asked_leaves_nothing_of_the_start(make):
    first = make()
    run(first, "echo", "out")
    children = helpers(first)
    os.kill(children["stem"], signal.SIGSTOP)
    lost = make()
    lost.launch("echo", "out")
    eventually(lambda: namespaces(children["maker"])[0] != namespaces(os.getpid())[0])  # has asked
    os.kill(children["stem"], signal.SIGKILL)
    reply = lost.ask(protocol.Start())
    assert "the process that makes the container was killed" in reply.error["message"]
    eventually(lambda: not lost.cgroups())
    lost.finish()
    run(make(), "echo", "out")
