"""What the kernel was asked to change, by strace, against what the story says was changed.

The engine and all its processes are traced through one container's life. While it starts, every
system call that changes the host must fall into the time of a recorded step of the same process;
at its end, what is taken away must be what a step had made, and the host is as before.
"""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.engine import EngineUnderTest
from support.picture import differences, processes, take_picture
from support.waiting import eventually

_MOUNTS = "mount umount2 pivot_root chroot move_mount mount_setattr"
_FILES = (
    "mkdir mkdirat mknod mknodat symlink symlinkat link linkat unlink unlinkat rmdir rename "
    "renameat renameat2"
)
_NAMESPACES = "setns unshare clone clone3 sethostname setdomainname"
_SENT = "write sendto sendmsg"
ATTEMPTS = 5
# What the kernel is asked without changing anything for others; each must still be seen.
HARMLESS = {
    r"setns\(\d+<net:": "a thread of the engine goes into a sandbox to do its steps, and back",
    r"setns\(\d+<pid:": "the maker goes back to the shim's namespaces: the container is made",
    r"write\(\d+<[^>]+/cgroup.event_control>": "the shim asks to be told of OOM kills",
}
TRACED = ",".join(f"{_MOUNTS} {_FILES} {_NAMESPACES} {_SENT}".split())


@dataclass(frozen=True)
class Call:
    """One system call that succeeded.

    Attributes:
        thread: who made it.
        at_ns: CLOCK_MONOTONIC, when it was entered.
        text: as strace writes it, descriptors with their paths.
    """

    thread: int
    at_ns: int
    text: str

    @property
    def name(self) -> str:
        return self.text.partition("(")[0]

    @property
    def paths(self) -> list[str]:
        """What it names, with the directories that its descriptors name; not what a link says."""
        found = re.findall(r'(?:<([^>]*)>, )?"([^"]*)"', self.text)
        paths = [str(Path(base or "/") / path) for base, path in found]
        return paths[1:] if self.name.startswith("symlink") else paths


class Trace:
    """A running strace of some processes, their threads and all their children."""

    def __init__(self, directory: Path, pids: list[int]) -> None:
        self._directory = directory
        errors = directory / "strace.err"
        words = [
            "strace",
            "-ff",
            "-yy",
            "-s",
            "300",
            "--absolute-timestamps=format:unix,precision:ns",
        ]
        words += [f"--output={directory}/trace", f"--trace={TRACED}"]
        words += [word for pid in pids for word in ("-p", str(pid))]
        with open(errors, "wb") as file:
            self._process = subprocess.Popen(words, stderr=file, stdin=subprocess.DEVNULL)
        eventually(lambda: all(f"Process {pid} attached" in errors.read_text() for pid in pids), 30)

    def stop(self) -> list[Call]:
        """Let the processes go; return the calls in the order of time."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(timeout=30)
        # strace has the other clock; between the two readings we may be held up
        offset_ns = max(time.time_ns() - time.monotonic_ns() for _ in range(100))
        calls = []
        for file in self._directory.glob("trace.*"):
            thread = int(file.name.rpartition(".")[2])
            for line in file.read_text(errors="replace").splitlines():
                found = re.fullmatch(r"(\d+)\.(\d{9}) (\w+\(.*\) += (?!-1|\?).*)", line)
                if found:
                    at_ns = int(found[1] + found[2]) - offset_ns
                    calls.append(Call(thread, at_ns, found[3]))
        return sorted(calls, key=lambda call: call.at_ns)


@contextmanager
def traced(engine: EngineUnderTest, directory: Path) -> Iterator[list[Call]]:
    """Trace the engine and its processes during the body; the list is filled at the end."""
    calls: list[Call] = []
    trace = trace_all(engine, directory)
    try:
        yield calls
    finally:
        calls += trace.stop()


def trace_all(engine: EngineUnderTest, directory: Path) -> Trace:
    """Begin again when a process was forked while strace took hold of the others."""
    assert engine.process is not None
    for attempt in range(ATTEMPTS):
        place = directory / str(attempt)
        place.mkdir()
        trace = Trace(place, [engine.process.pid, *(pid for pid, _ in processes(engine))])
        if all(is_traced(pid) for pid, _ in processes(engine)):
            return trace
        trace.stop()
    raise AssertionError("the engine never ceased to fork processes")


def is_traced(pid: int) -> bool:
    return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()


def changes_the_host(call: Call, own: tuple[str, ...]) -> bool:
    """Tell whether a call is one that must belong to a step.

    Args:
        call: what was done.
        own: the engine's own directories, where it keeps its files.
    """
    if call.name in _FILES.split():
        return not all(path.startswith(own) for path in call.paths)
    if call.name in ("clone", "clone3"):
        return "CLONE_NEW" in call.text
    if call.name == "write":
        return bool(re.match(r"write\(\d+<(/sys/fs/cgroup|/proc/sys)/", call.text))
    if call.name in ("sendto", "sendmsg"):
        return bool(re.search(r"nlmsg_type=(?!\w*GET)[A-Z]", call.text)) and "NETLINK" in call.text
    return True


def find_actors(calls: list[Call], engine_pid: int) -> dict[int, str]:
    """Tell which thread is whose, in the words of the story; all others are of shims."""
    actors = {int(task.name): "engine" for task in Path(f"/proc/{engine_pid}/task").iterdir()}
    for call in calls:
        if call.name == "unshare" and "CLONE_NEWUTS" in call.text:
            actors[call.thread] = "maker"
        elif call.name == "clone3" and re.search(r"CLONE_PARENT\b.*CLONE_NEW", call.text):
            actors[call.thread] = "stem"
            actors[int(call.text.rpartition(" = ")[2].split()[0])] = "init"
    return actors


def belongs(call: Call, records: list[dict[str, Any]], actor: str) -> bool:
    """Tell whether a step of the same process was being done when the call was made."""
    return any(
        record["started_ns"] <= call.at_ns <= record["started_ns"] + record["duration_ns"]
        for record in records
        if record["actor"] == actor
    )


def takes_back(call: Call, told: str) -> bool:
    """Tell whether a call at the end concerns what the story names as made.

    Netlink messages name nothing that can be read here: what they leave is compared instead.
    """
    return call.name in ("sendto", "sendmsg") or all(path in told for path in call.paths)


def live(engine: EngineUnderTest, made: Path) -> tuple[list[dict[str, Any]], int]:
    """Live one container's life; return its story, and when its end began."""
    flags = ("-p", "8080:80", "-v", f"{made}:/made", "-v", f"{made.name}:/named", "-m", "64m")
    engine.docker("run", "-d", "--rm", "--name", "box", *flags, "busybox", "sleep", "600")
    story = tell_story(engine, "box")
    killed_ns = time.monotonic_ns()
    engine.docker("kill", "box")
    engine.wait_until_clean()
    engine.client.delete(f"/volumes/{made.name}")
    return story, killed_ns


def tell_story(engine: EngineUnderTest, name: str) -> list[dict[str, Any]]:
    return list(engine.client.get(f"/cutaway/containers/{name}/story")["records"])


def test_every_change_of_the_host_is_a_step_of_the_story(
    engine: EngineUnderTest, tmp_path: Path
) -> None:
    own = (str(engine.data_root), str(engine.exec_root))
    live(engine, tmp_path / "first")  # launcher, shims and helpers are there now
    before = take_picture(engine)
    with traced(engine, tmp_path) as calls:
        story, killed_ns = live(engine, tmp_path / "second")
    assert differences(before, take_picture(engine)) == []
    for name in ("next", "last"):  # for these, namespaces were made ahead while we watched
        engine.docker("run", "-d", "--name", name, "busybox", "sleep", "600")
        story += tell_story(engine, name)
    actors = find_actors(calls, engine.process.pid)
    changing = [call for call in calls if changes_the_host(call, own)]
    start = [call for call in changing if call.at_ns < killed_ns]
    assert len(start) > 50, "strace has seen too little"
    strange = [
        call.text for call in start if not belongs(call, story, actors.get(call.thread, "shim"))
    ]
    assert [text for text in strange if not any(re.match(p, text) for p in HARMLESS)] == []
    assert [p for p in HARMLESS if not any(re.match(p, text) for text in strange)] == []
    told = json.dumps(story)
    end = [call for call in changing if call.at_ns >= killed_ns]
    assert [call.text for call in end if not takes_back(call, told)] == []
