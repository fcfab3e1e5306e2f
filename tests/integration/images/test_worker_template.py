"""The process that workers are forked from: shared, replaced when it dies, gone when idle."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cutaway.images import worker_process
from cutaway.images.layers.errors import WorkerFailed
from cutaway.images.layers.unpack import unpack_layer
from cutaway.images.worker_process import Worker
from support.tars import build, file


def templates(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            name = (entry / "comm").read_text().strip()
        except OSError:
            continue
        if name == "cutaway: images" and int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(entry.name))
    return found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "fs").mkdir()
    return tmp_path


def unpack_one(place: Path, name: str = "a") -> None:
    fd = os.memfd_create("blob")
    os.write(fd, build([file(name)]))
    os.lseek(fd, 0, os.SEEK_SET)
    try:
        unpack_layer(fd, str(place))
    finally:
        os.close(fd)


def test_workers_share_one_template(place: Path) -> None:
    for number in range(5):
        unpack_one(place, str(number))
    assert len(templates(os.getpid())) == 1


def test_template_that_was_killed_is_started_again(place: Path) -> None:
    unpack_one(place)
    (template,) = templates(os.getpid())
    os.kill(template, signal.SIGKILL)
    unpack_one(place, "b")
    assert sorted(os.listdir(place / "fs")) == ["a", "b"]


def test_template_s_end_ends_its_workers_and_tells_who_waits(place: Path) -> None:
    reader, writer = os.pipe()  # never gives a byte
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            unpack_layer(reader, str(place))
        except BaseException as error:
            failures.append(error)

    unpack_one(place)
    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    (template,) = templates(os.getpid())
    os.kill(template, signal.SIGKILL)
    thread.join(10)
    os.close(reader)
    os.close(writer)
    assert isinstance(failures[0], WorkerFailed)


def test_worker_inherits_nothing_but_what_it_was_given(place: Path) -> None:
    secret = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(secret, True)
    reader, writer = os.pipe()
    worker = Worker(
        "unpack",
        {"diff_id": None, "floor_bytes": 0, "layer_formats": ["none"]},
        directory=str(place / "fs"),
        stdin=reader,
    )
    try:
        time.sleep(0.3)
        (template,) = templates(os.getpid())
        (child,) = Path(f"/proc/{template}/task/{template}/children").read_text().split()
        held = {os.readlink(f) for f in Path(f"/proc/{child}/fd").iterdir()}
        kinds = {name.partition(":")[0] for name in held}
        assert kinds <= {"pipe", "socket", "/dev/null", "/"}
        assert (Path(f"/proc/{child}/status").read_text()).count("Seccomp:\t2") == 1
        worker.close()
        assert (
            not Path(f"/proc/{child}").exists()
            or "Z" in Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        )
    finally:
        worker.close()
        for fd in (secret, reader, writer):
            os.close(fd)


def test_parent_s_end_ends_the_template(tmp_path: Path) -> None:
    (tmp_path / "fs").mkdir()
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
import os, time
from cutaway.images.layers.unpack import unpack_layer
from support.tars import build, file
fd = os.memfd_create("b"); os.write(fd, build([file("a")])); os.lseek(fd, 0, 0)
unpack_layer(fd, {str(tmp_path)!r})
print("done", flush=True)
time.sleep(100)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"done\n"
    (template,) = templates(child.pid)
    child.kill()
    child.wait()
    child.stdout.close()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{template}").exists() and time.monotonic() < deadline:
        if "Z" in Path(f"/proc/{template}/stat").read_text().rpartition(")")[2].split()[0]:
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{template}").exists()


def test_failure_to_start_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "_TEMPLATE", worker_process._Template())
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WorkerFailed, match="does not start"):
        unpack_one(place)
    monkeypatch.setattr(sys, "executable", "/bin/ls")
    with pytest.raises(WorkerFailed, match="does not start: .*cannot access"):
        unpack_one(place)
