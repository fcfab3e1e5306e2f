"""The same image and flags by ``--runtime runc`` and the built-in runtime: the same container.

What differs by design stands in ``support.inside``, with its reason.
"""

import shlex
import shutil
from pathlib import Path

import pytest

from support.cli import Cli
from support.engine import EngineUnderTest
from support.images import busybox_archive
from support.inside import DIFFERENCES, PROBE, Difference, look

pytestmark = pytest.mark.skipif(shutil.which("runc") is None, reason="runc is not installed")

FLAGS = (
    "",
    "-e A=b -e C=",
    "-w /tmp",
    "-w /made/for/it",
    "-u 33",
    "-u www-data",
    "-u 12:34",
    "-u 5 --group-add audio",
    "--group-add 77",
    "-m 64m",
    "-m 64m --memory-swap 128m",
    "-m 64m --memory-swap -1",
    "-m 64m --memory-reservation 32m",
    "-m 64m --memory-swappiness 10",
    "-m 64m --oom-kill-disable",
    "--cpus 0.5",
    "--cpu-period 50000 --cpu-quota 20000",
    "--cpu-shares 512",
    "--cpuset-cpus 0",
    "--cpuset-mems 0",
    "--pids-limit 50",
    "--pids-limit -1",
    "--cap-drop ALL",
    "--cap-drop ALL --cap-add CHOWN",
    "--cap-drop NET_RAW --cap-drop MKNOD",
    "--cap-add SYS_ADMIN",
    "--cap-add NET_ADMIN --cap-add SYS_TIME",
    "--cap-add ALL --cap-drop SYS_MODULE",
    "-u 33 --cap-add NET_BIND_SERVICE",
    "--read-only",
    "--read-only --tmpfs /scratch:size=1m,mode=1770",
    "--tmpfs /run:exec,uid=5",
    "--privileged",
    "--privileged --read-only",
    "--privileged --cap-drop ALL",
    "--network none",
    "--network host",
    "--security-opt seccomp=unconfined",
    "--security-opt no-new-privileges",
    "-u 33 --security-opt no-new-privileges",
    "--security-opt systempaths=unconfined",
    "--ulimit nofile=99:100",
    "--ulimit core=0 --ulimit cpu=10",
    "--ulimit nproc=64 --ulimit stack=8388608",
    "--sysctl net.ipv4.ip_forward=1",
    "--sysctl kernel.msgmax=9999 --sysctl net.core.somaxconn=77",
    "--hostname box",
    "--hostname box --domainname example.org",
    "--pid host",
    "--ipc host",
    "--ipc none",
    "--ipc shareable --shm-size 4m",
    "--shm-size 2m",
    "--uts host",
    "--cgroupns host",
    "--cgroupns private",
    "--device /dev/null:/dev/nix:r",
    "--device /dev/full:/dev/brim",
    "--device-cgroup-rule 'c 42:* rwm'",
    "--oom-score-adj 123",
    "--blkio-weight 300",
    "-v /etc/hostname:/note:ro",
    "-v /usr/share/misc:/data",
    "--mount type=bind,source=/etc,target=/conf,readonly,bind-propagation=rslave",
    "--mount type=tmpfs,target=/t,tmpfs-size=65536,tmpfs-mode=700",
    "--dns 9.9.9.9 --add-host db:10.0.0.9",
    "--env LANG=C --label x=y --stop-signal USR1",
    "--cap-drop ALL -u 33 --read-only --network none --pids-limit 9 -m 32m",
)


def test_there_are_sixty_combinations() -> None:
    assert len(FLAGS) == len(set(FLAGS)) >= 60


@pytest.mark.parametrize("flags", FLAGS)
def test_runc_and_the_built_in_runtime_make_the_same_container(
    engine: EngineUnderTest, flags: str
) -> None:
    assert look(run(engine, "cutaway", flags)) == look(run(engine, "runc", flags))


@pytest.fixture(scope="module")
def plain(module_engine: EngineUnderTest) -> tuple[str, str]:
    """What both runtimes' containers say without a flag."""
    return run(module_engine, "cutaway", ""), run(module_engine, "runc", "")


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_each_difference_is_still_there(plain: tuple[str, str], difference: Difference) -> None:
    others = [other for other in DIFFERENCES if other is not difference]
    ours, theirs = (look(output, others) for output in plain)
    assert ours[difference.section] != theirs[difference.section]


def run(engine: EngineUnderTest, runtime: str, flags: str) -> str:
    """Run the probe, see it end as it should, and return what it printed."""
    words = shlex.split(flags)
    if "--hostname" not in words and "--uts" not in words:
        words += ["--hostname", "same"]
    command = ("--runtime", runtime, *words, "busybox", "sh", "-c", PROBE)
    done = engine.docker("run", "--rm", *command, check=False)
    assert done.returncode == 23, done.stderr
    return done.stdout


@pytest.mark.parametrize(("runtime", "pid1"), [("cutaway", "cutaway"), ("runc", "docker-init")])
def test_an_init_stays_before_the_program(
    module_engine: EngineUnderTest, runtime: str, pid1: str
) -> None:
    docker = Cli("docker", module_engine)
    words = ("--init", "--runtime", runtime, "busybox")
    said = docker("run", "--rm", *words, "sh", "-c", "cat /proc/1/comm; exit 5", code=5)
    assert said.startswith(pid1)
    orphans = '(sleep 0.01 &); while [ -n "$(pidof sleep)" ]; do :; done; ls -d /proc/[1-9]*'
    assert docker("run", "--rm", *words, "sh", "-c", orphans).count("/proc/") <= 3
    docker("run", "-d", "--name", "box", *words, "sleep", "600")
    docker("stop", "-t", "60", "box")  # the program gets a signal that PID 1 would ignore
    assert docker("inspect", "-f", "{{.State.ExitCode}}", "box") == "143\n"
    docker("rm", "box")


def test_no_program_for_an_init_is_a_sentence(archives: Path) -> None:
    engine = EngineUnderTest("--init-path", "/nonexistent/init")
    engine.start()
    try:
        docker = Cli("docker", engine)
        docker("load", "-q", "-i", str(busybox_archive(archives)))
        said = docker.fails("run", "--init", "--runtime", "runc", "busybox", "true", code=125)
        assert "--init with an external runtime needs /nonexistent/init on the host" in said
    finally:
        engine.close()
