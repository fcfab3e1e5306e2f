"""What code that took over a sealed worker can still do: every way out is tried."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_PREAMBLE = """
import ctypes, errno, json, os, socket, sys, signal, subprocess, threading
from cutaway import linux
from cutaway.images.layers import confine
before = os.open("/etc/hostname", os.O_RDONLY) if os.path.exists("/etc/hostname") else -1
os.umask(0)
libc = ctypes.CDLL(None, use_errno=True)
confine.enter_directory(is_read_only=%(read_only)r)
confine.limit_resources()
confine.seal(confine.%(capabilities)s)
def attempt(act):
    try:
        result = act()
    except BaseException as error:
        return f"{type(error).__name__} {getattr(error, 'errno', '')}".strip()
    return f"done {result}"
def call(name, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(name, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result
"""


def run_sealed(
    place: Path,
    body: str,
    *,
    read_only: bool = False,
    capabilities: str = "WRITE_TREE_CAPABILITIES",
) -> dict[str, str]:
    """Run statements in a sealed worker; ``found`` is what they leave."""
    code = _PREAMBLE % {"read_only": read_only, "capabilities": capabilities}
    code += "found = {}\n" + body + "\nos.write(1, json.dumps(found).encode())\n"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=place, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "canary").write_text("tweet")
    inside = tmp_path / "inside"
    inside.mkdir()
    return inside


def test_nothing_of_the_host_is_in_reach(place: Path) -> None:
    found = run_sealed(
        place,
        """
for path in ("/etc/passwd", "/proc", "../canary", "/../canary", sys.executable):
    found[path] = attempt(lambda: os.open(path, os.O_RDONLY))
found["root"] = ",".join(sorted(os.listdir(os.open("/", os.O_RDONLY))))
""",
    )
    assert found.pop("root") == ""
    assert set(found.values()) == {"FileNotFoundError 2"}


def test_system_calls_that_lead_out_are_refused(place: Path) -> None:
    found = run_sealed(
        place,
        """
acts = {
    "unshare user namespace": lambda: linux.unshare(linux.CLONE.NEWUSER),
    "unshare mounts": lambda: linux.unshare(linux.CLONE.NEWNS),
    "mount": lambda: linux.mount("proc", "/", "proc"),
    "umount": lambda: linux.umount2("/", linux.MNT.DETACH),
    "open_tree": lambda: linux.open_tree(linux.AT_FDCWD, "/", linux.OPEN_TREE.CLONE),
    "mount_setattr": lambda: linux.mount_setattr(linux.AT_FDCWD, "/", linux.AT.RECURSIVE,
                                                 attr_clr=linux.MOUNT_ATTR.NODEV),
    "fsopen": lambda: linux.fsopen("proc"),
    "chroot": lambda: os.chroot("/"),
    "setns": lambda: linux.setns(0),
    "socket": lambda: socket.socket(),
    "fork": lambda: os.fork(),
    "clone3 a process": lambda: linux.clone3(linux.CLONE(0)),
    "execve": lambda: os.execve("/bin/sh", ["sh"], {}),
    "ptrace": lambda: call(101, 0, 0, 0, 0),
    "process_vm_readv": lambda: call(310, os.getppid(), 0, 0, 0, 0, 0),
    "pidfd_open": lambda: os.pidfd_open(1),
    "kill": lambda: os.kill(os.getppid(), 0),
    "bpf": lambda: call(321, 0, 0, 0),
    "keyctl": lambda: linux.join_session_keyring("x"),
    "io_uring_setup": lambda: call(425, 1, 0),
    "userfaultfd": lambda: call(323, 0),
    "memfd_create": lambda: os.memfd_create("x"),
    "open_by_handle_at": lambda: call(304, 0, 0, 0),
    "name_to_handle_at": lambda: call(303, 0, b"/", 0, 0, 0),
    "init_module": lambda: call(175, 0, 0, b""),
    "setuid": lambda: os.setuid(1000),
    "prctl": lambda: linux.prctl(linux.PR.SET_DUMPABLE, 1),
    "ioctl": lambda: call(16, 0, 0, 0),
    "a 32-bit number": lambda: call(0x40000000 | 1, 1, b"", 0),
}
for name, act in acts.items():
    found[name] = attempt(act)
""",
    )
    refused = {name for name, said in found.items() if not said.startswith("done")}
    assert refused == set(found)
    assert {said.rpartition(" ")[2] for said in found.values()} <= {"1", "38"}  # EPERM, ENOSYS


def test_device_made_by_a_layer_can_not_be_opened(place: Path) -> None:
    found = run_sealed(
        place,
        """
import stat
os.mknod("/zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
found["open"] = attempt(lambda: os.open("/zero", os.O_RDONLY))
""",
    )
    assert found == {"open": "PermissionError 13"}


def test_capabilities_are_those_that_writing_files_takes(place: Path) -> None:
    found = run_sealed(
        place,
        """
import stat
root = os.open("/", os.O_RDONLY)
os.mkdir("d", dir_fd=root)
fd = os.open("/d", os.O_RDONLY)
found["trusted"] = attempt(lambda: os.setxattr(fd, "trusted.overlay.opaque", b"y"))
found["chown"] = attempt(lambda: os.fchown(fd, 5, 5))
""",
    )
    assert found["trusted"] == "PermissionError 1"
    assert found["chown"] == "done None"


def test_reading_worker_can_not_write(place: Path) -> None:
    (place / "f").write_text("x")
    found = run_sealed(
        place,
        """
found["read"] = attempt(lambda: os.read(os.open("/f", os.O_RDONLY), 9).decode())
found["write"] = attempt(lambda: os.open("/f", os.O_WRONLY))
found["make"] = attempt(lambda: os.mkdir("d", dir_fd=os.open("/", os.O_RDONLY)))
""",
        read_only=True,
        capabilities="READ_TREE_CAPABILITIES",
    )
    assert found["read"] == "done x"
    assert found["write"] == found["make"] == "OSError 30"


def test_imports_fail_even_if_the_layer_ships_the_module(place: Path) -> None:
    for name in ("colorsys", "warnings2"):
        (place / f"{name}.py").write_text("open('/imported', 'w')")
    found = run_sealed(
        place,
        """
sys.path[:] = ["/", ""]
for name in ("colorsys", "warnings2"):
    found[name] = attempt(lambda: __import__(name))
""",
    )
    assert set(found.values()) == {"ImportError"}
    assert not (place / "imported").exists()


def test_threads_still_work(place: Path) -> None:
    found = run_sealed(
        place,
        """
done = []
thread = threading.Thread(target=lambda: done.append(attempt(lambda: linux.unshare(
    linux.CLONE.NEWNS))))
thread.start()
thread.join()
found["thread"] = done[0]
""",
    )
    assert found["thread"].endswith(" 1")
