import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cutaway import linux
from cutaway.linux import CLONE, CLOSE_RANGE, PR, RLIMIT
from cutaway.linux.abi import IOPRIO_WHO

InChild = Callable[..., Any]


def test_clone3_makes_pid_1_of_a_namespace_and_holds_it_by_pidfd() -> None:
    pid, pidfd = linux.clone3(CLONE.NEWPID)
    if pid == 0:
        os._exit(40 + os.getpid())
    assert linux.waitid_pidfd(pidfd) == (41, None)
    assert not os.get_inheritable(pidfd)
    os.close(pidfd)


def test_the_child_of_clone3_is_a_working_interpreter(in_child: InChild) -> None:
    """At-fork handlers ran: threads can be started, random numbers differ from the parent's."""

    def body() -> list[Any]:
        import threading

        box: list[int] = []
        thread = threading.Thread(target=lambda: box.append(os.getpid()))
        thread.start()
        thread.join()
        return [box, os.getpid(), subprocess.run(["true"]).returncode]

    box, pid, code = in_child(CLONE(0), body)
    assert box == [pid]
    assert code == 0


def test_clone_parent_gives_the_child_to_ones_own_parent() -> None:
    """What exec is made with: the shim, not the process that joined, waits for it."""
    read_fd, write_fd = os.pipe()
    helper, helper_pidfd = linux.clone3(CLONE(0))
    if helper == 0:
        pid, _ = linux.clone3(CLONE.PARENT)
        if pid == 0:
            os._exit(9)
        os.write(write_fd, str(pid).encode())
        os._exit(0)
    os.close(write_fd)
    with open(read_fd) as file:
        pid = int(file.read())
    assert linux.waitid_pidfd(helper_pidfd) == (0, None)
    pidfd = linux.pidfd_open(pid)
    assert linux.waitid_pidfd(pidfd) == (9, None)
    os.close(pidfd)
    os.close(helper_pidfd)


def test_clone3_into_a_cgroup() -> None:
    root = Path("/sys/fs/cgroup/unified")
    if not root.exists():
        root = Path("/sys/fs/cgroup")
    if not (root / "cgroup.procs").exists():
        pytest.skip("no cgroup v2 hierarchy is mounted")
    group = root / f"cutaway-test-{os.getpid()}"
    group.mkdir()
    try:
        cgroup_fd = os.open(group, os.O_RDONLY)
        pid, pidfd = linux.clone3(CLONE(0), cgroup_fd=cgroup_fd)
        if pid == 0:
            inside = f"/{group.name}\n" in Path("/proc/self/cgroup").read_text()
            os._exit(0 if inside else 1)
        assert linux.waitid_pidfd(pidfd) == (0, None)
        os.close(pidfd)
        os.close(cgroup_fd)
    finally:
        group.rmdir()


def test_a_refused_clone3_leaves_the_parent_unharmed() -> None:
    with pytest.raises(linux.KernelError, match=r"clone3\(NEWNS, 0\)"):
        linux.clone3(CLONE.NEWNS, cgroup_fd=0)
    pid, pidfd = linux.clone3(CLONE(0))
    if pid == 0:
        os._exit(0)
    assert linux.waitid_pidfd(pidfd) == (0, None)
    os.close(pidfd)


def test_fork() -> None:
    pid = linux.fork()
    if pid == 0:
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3


def test_a_signal_goes_to_the_process_not_to_a_number() -> None:
    pid, pidfd = linux.clone3(CLONE(0))
    if pid == 0:
        signal.pause()
        os._exit(0)
    assert linux.waitid_pidfd(pidfd, os.WEXITED | os.WNOHANG) is None
    linux.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert linux.waitid_pidfd(pidfd, os.WEXITED | os.WNOWAIT) == (None, signal.SIGKILL)
    assert linux.waitid_pidfd(pidfd) == (None, signal.SIGKILL)
    with pytest.raises(linux.KernelError) as error:
        linux.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert error.value.errno == errno.ESRCH
    with pytest.raises(linux.KernelError, match="waitid.*No child processes"):
        linux.waitid_pidfd(pidfd)
    with pytest.raises(linux.KernelError, match=rf"pidfd_open\({pid}, 0\)"):
        linux.pidfd_open(pid)
    os.close(pidfd)


def test_a_descriptor_is_fetched_from_another_process() -> None:
    read_fd, write_fd = os.pipe()
    own = linux.pidfd_open(os.getpid())
    copy = linux.pidfd_getfd(own, write_fd)
    assert not os.get_inheritable(copy)
    os.write(copy, b"x")
    assert os.read(read_fd, 1) == b"x"
    for fd in (read_fd, write_fd, own, copy):
        os.close(fd)


def test_namespaces_are_left_and_joined(in_child: InChild) -> None:
    def body() -> list[str]:
        home = os.open("/proc/self/ns/uts", os.O_RDONLY)
        linux.unshare(CLONE.NEWUTS)
        linux.sethostname("inside")
        linux.setdomainname("example.test")
        inside = [os.uname().nodename, Path("/proc/sys/kernel/domainname").read_text().strip()]
        linux.setns(home, CLONE.NEWUTS)
        return [*inside, os.uname().nodename]

    assert in_child(CLONE.NEWUTS, body) == ["inside", "example.test", os.uname().nodename]


def test_setns_of_what_is_no_namespace_is_refused() -> None:
    with open("/dev/null") as file, pytest.raises(linux.KernelError, match="setns"):
        linux.setns(file.fileno(), CLONE.NEWNET)


def test_close_range_marks_or_closes(in_child: InChild) -> None:
    def body() -> list[Any]:
        os.set_inheritable(0, True)
        low = os.dup(0)
        os.set_inheritable(low, True)
        linux.close_range(low, 0xFFFFFFFF, CLOSE_RANGE.CLOEXEC)
        marked = os.get_inheritable(low)
        linux.close_range(low, low)
        try:
            os.fstat(low)
        except OSError as error:
            return [marked, error.errno]
        return [marked, 0]

    assert in_child(CLONE(0), body) == [False, errno.EBADF]


def test_prctl_reads_and_sets(in_child: InChild) -> None:
    def body() -> list[int]:
        linux.prctl(PR.SET_DUMPABLE, 0)
        linux.prctl(PR.SET_CHILD_SUBREAPER, 1)
        linux.prctl(PR.SET_NO_NEW_PRIVS, 1)
        return [linux.prctl(PR.GET_DUMPABLE), linux.prctl(PR.GET_NO_NEW_PRIVS)]

    assert in_child(CLONE(0), body) == [0, 1]


def test_a_process_that_is_not_dumpable_hides_its_executable_from_its_peers() -> None:
    """CVE-2016-9962, CVE-2019-5736: root in the container must not reach the host's Python."""
    linux.find_process_title()
    read_fd, write_fd = os.pipe()
    pid, pidfd = linux.clone3(CLONE(0))
    if pid == 0:
        linux.prctl(PR.SET_DUMPABLE, 0)
        os.write(write_fd, b"x")
        signal.pause()
        os._exit(0)
    os.read(read_fd, 1)
    peer, peer_pidfd = linux.clone3(CLONE(0))
    if peer == 0:
        linux.capset(0, 0, 0)
        try:
            os.readlink(f"/proc/{pid}/exe")
        except PermissionError:
            os._exit(0)
        os._exit(1)
    assert linux.waitid_pidfd(peer_pidfd) == (0, None)
    linux.pidfd_send_signal(pidfd, signal.SIGKILL)
    linux.waitid_pidfd(pidfd)
    for fd in (read_fd, write_fd, pidfd, peer_pidfd):
        os.close(fd)


TITLE_SCRIPT = r"""
import os, subprocess, sys
from cutaway import linux
linux.find_process_title()
if linux.fork() == 0:
    for title in ("a very very long title that will be cut" * 9, "cutaway: shim 3f2a"):
        linux.set_process_title(title)
        ps = subprocess.run(["ps", "-o", "args=", "-p", str(os.getpid())], capture_output=True)
        title = ps.stdout.decode().strip()
        print(len(title), title, open("/proc/self/comm").read(), sep="\n", end="")
    sys.stdout.flush()
    os._exit(0)
os.wait()
"""


def test_the_process_title_is_what_ps_shows_and_is_cut_to_fit() -> None:
    command = [sys.executable, "-c", TITLE_SCRIPT]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[1].startswith("a very very long title")
    assert lines[2] == "a very very lon"
    assert lines[3:] == ["18", "cutaway: shim 3f2a", "cutaway: shim 3"]


def test_limits_are_read_and_set(in_child: InChild) -> None:
    def body() -> list[Any]:
        before = linux.prlimit(0, RLIMIT.NOFILE, (100, 200))
        with pytest.raises(linux.KernelError, match=r"prlimit\(0, NOFILE, \(2, 1\)\): Invalid"):
            linux.prlimit(0, RLIMIT.NOFILE, (2, 1))
        return [before, resource.getrlimit(resource.RLIMIT_NOFILE), linux.prlimit(0, RLIMIT.NOFILE)]

    before, by_python, by_us = in_child(CLONE(0), body)
    assert tuple(before) == resource.getrlimit(resource.RLIMIT_NOFILE)
    assert by_python == by_us == [100, 200]


def test_an_unlimited_limit_is_infinity(in_child: InChild) -> None:
    def body() -> Any:
        linux.prlimit(0, RLIMIT.CPU, (linux.RLIM_INFINITY, linux.RLIM_INFINITY))
        return resource.getrlimit(resource.RLIMIT_CPU)

    assert in_child(CLONE(0), body) == [resource.RLIM_INFINITY] * 2


def test_personality_and_io_priority(in_child: InChild) -> None:
    def body() -> list[int]:
        linux.ioprio_set(IOPRIO_WHO.PROCESS, 0, 2 << 13 | 7)
        linux.personality(0x0040000)
        return [linux.personality(0xFFFFFFFF)]

    assert in_child(CLONE(0), body) == [0x0040000]


def test_scheduling(in_child: InChild) -> None:
    def body() -> list[Any]:
        linux.sched_setattr(0, os.SCHED_BATCH, nice=7)
        batch = [os.sched_getscheduler(0), os.nice(0)]
        with pytest.raises(linux.KernelError, match=r"sched_setattr\(0, 0, 0, 5\): Invalid"):
            linux.sched_setattr(0, os.SCHED_OTHER, priority=5)
        return batch

    assert in_child(CLONE(0), body) == [os.SCHED_BATCH, 7]


@pytest.mark.parametrize("module", ["asyncio", "socket", "logging", "subprocess", "threading"])
def test_importing_the_door_loads_nothing_heavy(module: str) -> None:
    script = f"import sys, cutaway.linux; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-I", "-c", script]).returncode == 0
