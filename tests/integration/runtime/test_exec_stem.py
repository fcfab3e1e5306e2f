"""The stem of an exec: unseen by the container, used when it is there, missed by nobody."""

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cutaway import linux
from cutaway.runtime import Container, RuntimeFailure, Stdio
from support.bundles import Bundle, make_config
from support.waiting import eventually

WAY_THERE = (
    "cd /proc/self; for n in mnt pid net uts ipc; do readlink ns/$n; done; cat cgroup; "
    "grep -E 'Cap|NoNewPrivs|Seccomp:|Sig(Blk|Ign|Cgt)|Umask' status; ls fd; ps"
)


def run(bundle: Bundle, during: Callable[[Container], Any]) -> Any:
    """Return what ``during`` returns of a container that runs; then it is killed."""

    def with_end(container: Container) -> Any:
        try:
            return during(container)
        finally:
            linux.pidfd_send_signal(container.pidfd, signal.SIGKILL)

    return bundle.run(make_config("sleep", "100"), during=with_end).more


def enter(container: Container, *args: str) -> tuple[int | None, str]:
    """Exec in a container; return the exit code and the output."""
    output, null = os.memfd_create("exec"), os.open("/dev/null", os.O_RDWR)
    try:
        process: dict[str, Any] = {"cwd": "/", "args": list(args), "env": ["PATH=/bin:/usr/bin"]}
        made = container.exec_process(process, Stdio(null, output, output))
        code = os.waitstatus_to_exitcode(os.waitpid(made.pid, 0)[1])
        return code, os.pread(output, 65536, 0).decode()
    finally:
        os.close(output)
        os.close(null)


def find_stems() -> list[int]:
    """Return this process's children that are stems: the maker's, and those of execs."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [
        int(pid)
        for pid in children
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"cutaway: stem")
    ]


def prepare(container: Container) -> int:
    """Have a stem; return its pid once it waits."""
    before = find_stems()
    container.prepare_exec()
    eventually(lambda: len(find_stems()) > len(before))
    [stem] = set(find_stems()) - set(before)
    return stem


def test_a_process_of_a_stem_is_as_any_other(bundle: Bundle) -> None:
    def during(container: Container) -> Any:
        without = enter(container, "sh", "-c", WAY_THERE)
        prepare(container)
        return without, enter(container, "sh", "-c", WAY_THERE)

    (code, without), (_, of_stem) = run(bundle, during)
    assert code == 0
    assert "CapEff" in without
    # but for the pids: each exec's is the next
    assert [line.split()[-1] for line in of_stem.splitlines()] == [
        line.split()[-1] for line in without.splitlines()
    ]


def test_the_container_neither_sees_nor_counts_a_stem(bundle: Bundle) -> None:
    def during(container: Container) -> Any:
        stem = prepare(container)
        _, processes = enter(container, "ps", "-o", "args")
        prepare(container)
        return stem, container.pids(), [container.pid], processes

    stem, pids, init, processes = run(bundle, during)
    assert pids == init
    assert stem not in pids
    assert processes.splitlines() == ["COMMAND", "sleep 100", "ps -o args"]


def test_a_stem_that_was_killed_is_done_without(bundle: Bundle) -> None:
    def during(container: Container) -> Any:
        stem = prepare(container)
        os.kill(stem, signal.SIGKILL)
        os.waitpid(stem, 0)
        return enter(container, "sh", "-c", "exit 9")

    assert run(bundle, during) == (9, "")


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("nothere", 127, 'exec: "nothere": executable file not found in $PATH'),
        ("/bin/arm", 126, "exec /bin/arm: exec format error"),
    ],
)
def test_a_program_that_cannot_run(bundle: Bundle, name: str, code: int, text: str) -> None:
    (bundle.rootfs / "bin" / "arm").write_bytes(b"\x7fELF")
    (bundle.rootfs / "bin" / "arm").chmod(0o755)

    def during(container: Container) -> Any:
        prepare(container)
        with pytest.raises(RuntimeFailure) as caught:
            enter(container, name)
        return caught.value

    failure = run(bundle, during)
    assert text in str(failure)
    assert str(failure).startswith("OCI runtime exec failed: exec failed: ")
    assert failure.exit_code == code


def test_a_large_environment_reaches_the_process(bundle: Bundle) -> None:
    """More than a message between processes holds."""

    def during(container: Container) -> Any:
        prepare(container)
        words = [f"{number:09d}" for number in range(10)] * 2000
        return enter(container, "sh", "-c", "echo $#", "sh", *words * 4)

    assert run(bundle, during) == (0, "80000\n")


def test_a_stem_ends_with_its_container(bundle: Bundle) -> None:
    def during(container: Container) -> bool:
        stem = prepare(container)
        container.mark_stopped()
        eventually(lambda: stem not in find_stems())
        return True

    assert run(bundle, during)


def test_a_stem_ends_with_who_made_it(bundle: Bundle) -> None:
    """However that ends: by SIGKILL."""

    def during(container: Container) -> bool:
        reader, writer = os.pipe()
        shim = linux.fork()
        if shim == 0:
            os.write(writer, str(prepare(container)).encode())
            signal.pause()
        stem = linux.pidfd_open(int(os.read(reader, 16)))
        os.kill(shim, signal.SIGKILL)
        os.waitpid(shim, 0)
        return bool(select.select([stem], [], [], 15)[0])

    assert run(bundle, during)


def test_no_stem_is_left_to_who_takes_over(bundle: Bundle) -> None:
    def during(container: Container) -> bool:
        stem = prepare(container)
        container.hand_over()
        return Path(f"/proc/{stem}").exists()

    assert run(bundle, during) is False
