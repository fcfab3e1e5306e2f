"""A start that fails says what was tried, why it failed, and what to do; a stop that will, too."""

from pathlib import Path

import pytest

from support.engine import EngineUnderTest
from support.waiting import eventually

ARM64 = (183).to_bytes(2, "little")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with programs that don't run."""
    directory = tmp_path_factory.mktemp("programs")
    directory.chmod(0o755)
    foreign = bytearray(Path("/bin/busybox").read_bytes()[:4096])
    foreign[18:20] = ARM64
    for name, data in {
        "script": b"#!/usr/bin/python9\n",
        "windows": b"#!/bin/sh\r\necho hi\r\n",
        "foreign": bytes(foreign),
        "text": b"echo hi\n",
        "plain": b"#!/bin/sh\n",
    }.items():
        (directory / name).write_bytes(data)
        (directory / name).chmod(0o644 if name == "plain" else 0o755)
    (directory / "directory").mkdir()
    return directory


@pytest.mark.parametrize(
    ("program", "code", "sentence"),
    [
        ("/e/script", 127, "/e/script needs /usr/bin/python9, which the image does not have"),
        ("/e/windows", 127, "first line ends with a carriage return, as on Windows"),
        ("/e/foreign", 125, "/e/foreign is built for arm64, this machine is"),
        ("/e/text", 125, 'if it is a script, its first line lacks "#!"'),
        ("/e/plain", 126, "permission denied: /e/plain lacks the execute permission: chmod +x"),
        ("/e/directory", 126, "is a directory"),
        ("-it", 127, "options come before the image"),
        ("nosuch", 127, 'exec: "nosuch": executable file not found in $PATH'),
    ],
)
def test_a_program_that_does_not_run(
    engine: EngineUnderTest, files: Path, program: str, code: int, sentence: str
) -> None:
    words = ("run", "--rm", "-v", f"{files}:/e", "busybox", program)
    done = engine.docker(*words, check=False)
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert "Error waiting" not in done.stderr  # said once, not by `wait`, too


def test_a_program_on_a_noexec_mount(engine: EngineUnderTest) -> None:
    engine.host.run("mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", "/mnt")
    try:
        engine.host.run("cp", "/bin/busybox", "/mnt")
        words = ("run", "--rm", "-v", "/mnt:/m", "busybox", "/m/busybox", "true")
        done = engine.docker(*words, check=False)
    finally:
        engine.host.run("umount", "/mnt")
    assert done.returncode == 126
    assert "/m/busybox is on a file system mounted noexec" in done.stderr


@pytest.mark.parametrize("bind", ["directory:/bin/sh", "text:/etc"])
def test_a_directory_on_a_file_and_a_file_on_a_directory(
    engine: EngineUnderTest, files: Path, bind: str
) -> None:
    done = engine.docker("run", "--rm", "-v", f"{files}/{bind}", "busybox", "true", check=False)
    assert done.returncode == 125
    assert "Not a directory" in done.stderr
    assert "Are you trying to mount a directory onto a file (or vice-versa)?" in done.stderr


def test_an_exec_that_does_not_run_says_the_same(engine: EngineUnderTest) -> None:
    engine.docker("run", "-d", "--name", "box", "busybox", "sleep", "600")
    done = engine.docker("exec", "box", "-it", check=False)
    assert done.returncode == 127
    assert "options come before" in done.stdout + done.stderr
    done = engine.docker("exec", "box", "/etc/passwd", check=False)
    assert done.returncode == 126
    assert "lacks the execute permission" in done.stdout + done.stderr


def test_a_stop_that_will_take_its_whole_time_is_foretold(engine: EngineUnderTest) -> None:
    waits = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    engine.docker("run", "-d", "--name", "deaf", "busybox", "sleep", "600")
    engine.docker("run", "-d", "--name", "init", "--init", "busybox", "sleep", "600")
    engine.docker("run", "-d", "--name", "handler", "busybox", "sh", "-c", waits)
    eventually(lambda: "ready" in engine.docker("logs", "handler").stdout)
    said = engine.cutaway("stop", "-t", "1", "deaf").stderr
    assert (
        "WARNING: deaf: PID 1 does not handle SIGTERM: a stop waits its whole timeout "
        "(10 s unless told otherwise) and then kills it" in said
    )
    reason = engine.client.get("/containers/deaf/json")["State"]["EndedBy"]["Reason"]
    assert reason == "docker stop sent SIGTERM, and SIGKILL 1 s later, as it went on"
    for name in ("init", "handler"):
        assert engine.cutaway("stop", name).stderr == ""


def test_a_start_whose_bundle_cannot_be_decided_or_written_leaves_its_shim_nothing_to_do(
    engine: EngineUnderTest,
) -> None:
    engine.docker("create", "--name", "owner", "busybox", "sleep", "600")
    engine.docker("create", "--name", "guest", "--network", "container:owner", "busybox", "true")
    refused = engine.docker("start", "guest", check=False)
    assert "cannot join network of a non running container" in refused.stderr
    bundle = engine.exec_root / "containers" / engine.client.get("/containers/owner/json")["Id"]
    (bundle / "config.json/in the way").mkdir(parents=True)
    assert "config.json" in engine.docker("start", "owner", check=False).stderr
    eventually(lambda: not bundle.exists())
    engine.docker("start", "owner")
    engine.docker("start", "-a", "guest")
