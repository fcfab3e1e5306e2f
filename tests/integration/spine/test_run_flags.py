"""`run` with each isolation flag: what the container sees of it. Both clients, one engine."""

import re
from pathlib import Path

import pytest

from support.cgroup_files import by_version
from support.cli import Cli
from support.waiting import eventually

IMAGE = "busybox"


def cgroup(v1: str, v2: str) -> str:
    """Return the command that reads a file of the container's own cgroup."""
    return f"cat /sys/fs/cgroup/{by_version(v1, v2)}"


# (flags, command, what it prints)
SEEN = [
    pytest.param("", "echo hello; echo oops >&2", "hello\n", id="stdout alone is stdout"),
    pytest.param("--runtime runc", "echo by runc", "by runc\n", id="--runtime"),
    pytest.param("-e A=1 -e B=two", "echo $A $B", "1 two\n", id="-e"),
    pytest.param("-w /var/www", "pwd", "/var/www\n", id="-w"),
    pytest.param("-w /made/for/it", "pwd", "/made/for/it\n", id="-w is made"),
    pytest.param(
        "-u 33", "id", "uid=33(www-data) gid=33(www-data) groups=29(audio),33(www-data)\n", id="-u"
    ),
    pytest.param("-u www-data", "id -u; id -G", "33\n33 29\n", id="-u by name"),
    pytest.param("-u 12:34", "id -u; id -g", "12\n34\n", id="-u with group"),
    pytest.param("-u 5 --group-add audio --group-add 77", "id -G", "0 29 77\n", id="--group-add"),
    pytest.param(
        "-m 64m", cgroup("memory/memory.limit_in_bytes", "memory.max"), "67108864\n", id="-m"
    ),
    pytest.param(
        "--cpus 0.5",
        cgroup("cpu/cpu.cfs_[qp]*_us", "cpu.max"),
        by_version("100000\n50000\n", "50000 100000\n"),
        id="--cpus",
    ),
    pytest.param(
        "--cpu-shares 512",
        cgroup("cpu/cpu.shares", "cpu.weight"),
        by_version("512\n", "20\n"),
        id="-c",
    ),
    pytest.param(
        "--cpuset-cpus 1",
        cgroup("cpuset/cpuset.cpus", "cpuset.cpus") + "; nproc",
        "1\n1\n",
        id="cpuset",
    ),
    pytest.param("--pids-limit 17", cgroup("pids/pids.max", "pids.max"), "17\n", id="--pids-limit"),
    pytest.param(
        "--cap-drop ALL",
        "grep CapEff /proc/self/status",
        "CapEff:\t0000000000000000\n",
        id="--cap-drop ALL",
    ),
    pytest.param(
        "--cap-drop chown --cap-drop NET_RAW",
        "grep CapBnd /proc/self/status",
        "CapBnd:\t00000000a80405fa\n",
        id="--cap-drop",
    ),
    pytest.param(
        "--cap-add SYS_PTRACE",
        "grep CapEff /proc/self/status",
        "CapEff:\t00000000a80c25fb\n",
        id="--cap-add",
    ),
    pytest.param("", "grep CapEff /proc/self/status", "CapEff:\t00000000a80425fb\n", id="caps"),
    pytest.param(
        "--read-only", "touch /x 2>&1; echo $?", "touch: /x: Read-only file system\n1\n", id="ro"
    ),
    pytest.param(
        "--read-only --tmpfs /scratch:size=1m,mode=1770",
        "touch /scratch/x && stat -c %a /scratch; df -k /scratch | awk 'END{print $2}'",
        "1770\n1024\n",
        id="--tmpfs",
    ),
    pytest.param("--network none", "ls /sys/class/net", "lo\n", id="--network none"),
    pytest.param("", "ls /sys/class/net | tr '\\n' ' '", "eth0 lo ", id="--network bridge"),
    pytest.param(
        "--hostname box --domainname example.org",
        "hostname; cat /proc/sys/kernel/domainname; grep -c box /etc/hosts",
        "box\nexample.org\n1\n",
        id="--hostname",
    ),
    pytest.param("--ulimit nofile=99:100", "ulimit -n; ulimit -Hn", "99\n100\n", id="--ulimit"),
    pytest.param("--ulimit core=0", "ulimit -c", "0\n", id="--ulimit core"),
    pytest.param(
        "--sysctl net.ipv4.ip_forward=1 --sysctl kernel.msgmax=9999",
        "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax",
        "1\n9999\n",
        id="--sysctl",
    ),
    pytest.param("--shm-size 2m", "df -k /dev/shm | awk 'END{print $2}'", "2048\n", id="shm"),
    pytest.param("--init", "test $$ -gt 1 && echo not first", "not first\n", id="--init"),
    pytest.param(
        "--security-opt no-new-privileges",
        "grep NoNewPrivs /proc/self/status",
        "NoNewPrivs:\t1\n",
        id="no-new-privileges",
    ),
    pytest.param("", "grep -w Seccomp /proc/self/status", "Seccomp:\t2\n", id="seccomp"),
    pytest.param(
        "--security-opt seccomp=unconfined",
        "grep -w Seccomp /proc/self/status",
        "Seccomp:\t0\n",
        id="seccomp=unconfined",
    ),
    pytest.param(
        "--privileged",
        "grep -w Seccomp /proc/self/status; mkdir /mnt && mount -t tmpfs none /mnt && echo mounted",
        "Seccomp:\t0\nmounted\n",
        id="--privileged",
    ),
    pytest.param("", "mount -t tmpfs none /tmp 2>&1; echo $?", None, id="no mount"),
    pytest.param("--device /dev/null:/dev/nix:rw", "test -c /dev/nix && echo y", "y\n", id="dev"),
    pytest.param("--dns 9.9.9.9 --dns-search a.b", "cat /etc/resolv.conf", None, id="--dns"),
    pytest.param(
        "--add-host db:10.0.0.9", "grep -w db /etc/hosts", "10.0.0.9\tdb\n", id="add-host"
    ),
    pytest.param("--pid host", "ls /proc/$PPID/comm; test $$ -gt 1; echo $?", None, id="pid host"),
    pytest.param(
        "--oom-score-adj 123", "cat /proc/self/oom_score_adj", "123\n", id="--oom-score-adj"
    ),
    pytest.param("--env-file ENVFILE", "echo $FROM_FILE", "yes it is\n", id="--env-file"),
    pytest.param("--mac-address 02:00:00:00:00:77", "cat /sys/class/net/eth0/address",
                 "02:00:00:00:00:77\n", id="mac"),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "command", "seen"), SEEN)
def test_flag_does_its_work(
    cli: Cli, tmp_path: Path, flags: str, command: str, seen: str | None
) -> None:
    (tmp_path / "env").write_text("# comment\nFROM_FILE=yes it is\n")
    flags = flags.replace("ENVFILE", str(tmp_path / "env"))
    output = cli("run", "--rm", *flags.split(), IMAGE, "sh", "-c", command)
    if seen is not None:
        assert output == seen


def test_no_signal_is_blocked_or_ignored(cli: Cli) -> None:
    output = cli("run", "--rm", IMAGE, "cat", "/proc/self/status")
    fields = dict(line.split(":\t") for line in output.splitlines() if ":\t" in line)
    assert int(fields["SigIgn"], 16) == int(fields["SigBlk"], 16) == 0
    assert int(fields["CapInh"], 16) == int(fields["CapAmb"], 16) == 0


def test_network_host_is_the_machine_s(cli: Cli) -> None:
    names = cli("run", "--rm", "--network", "host", IMAGE, "ls", "/sys/class/net").split()
    assert sorted(names) == sorted(cli.engine.host.links())


def test_stdin_reaches_the_container_and_ends(cli: Cli) -> None:
    assert cli("run", "-i", "--rm", IMAGE, "cat", stdin="a\nb\n") == "a\nb\n"
    assert cli("run", "-i", "--rm", IMAGE, "wc", "-c", stdin="x" * 300_000) == "300000\n"


def test_stdout_and_stderr_stay_apart(cli: Cli) -> None:
    done = cli.run("run", "--rm", IMAGE, "sh", "-c", "echo out; echo err >&2; exit 7", code=7)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize("code", [0, 1, 3, 125, 126, 127, 137, 255])
def test_exit_code_is_the_program_s(cli: Cli, code: int) -> None:
    cli("run", "--rm", IMAGE, "sh", "-c", f"exit {code}", code=code)


@pytest.mark.parametrize(("signal", "code"), [("TERM", 143), ("KILL", 137), ("SEGV", 139)])
def test_program_that_dies_of_a_signal(cli: Cli, signal: str, code: int) -> None:
    # PID 1 is spared by its own namespace; the signal kills a child that PID 1 stands for.
    cli("run", "--rm", IMAGE, "sh", "-c", f"sh -c 'kill -{signal} $$'; exit $?", code=code)


@pytest.mark.parametrize("mode", ["rw", "ro"])
def test_bind_mount(cli: Cli, tmp_path: Path, mode: str) -> None:
    (tmp_path / "note").write_text("from the host\n")
    command = "cat /data/note; touch /data/new 2>/dev/null || echo refused"
    output = cli("run", "--rm", "-v", f"{tmp_path}:/data:{mode}", IMAGE, "sh", "-c", command)
    if mode == "ro":
        assert output == "from the host\nrefused\n"
    else:
        assert output == "from the host\n"
        assert (tmp_path / "new").exists()


def test_bind_mount_by_mount_flag(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("x")
    flag = f"type=bind,source={tmp_path},target=/data,readonly"
    assert cli("run", "--rm", "--mount", flag, IMAGE, "cat", "/data/note") == "x"


def test_v_makes_a_missing_source(cli: Cli, tmp_path: Path) -> None:
    cli("run", "--rm", "-v", f"{tmp_path}/new:/data", IMAGE, "touch", "/data/x")
    assert (tmp_path / "new" / "x").exists()


def test_named_volume_outlives_its_containers(cli: Cli) -> None:
    cli("run", "--rm", "-v", "keep:/data", IMAGE, "sh", "-c", "echo kept > /data/x")
    try:
        assert cli("run", "--rm", "-v", "keep:/data", IMAGE, "cat", "/data/x") == "kept\n"
    finally:
        cli("volume", "rm", "keep")


def test_entrypoint(cli: Cli) -> None:
    assert cli("run", "--rm", "--entrypoint", "echo", IMAGE, "a b") == "a b\n"


def test_init_reaps_forwards_and_ends_as_the_program_did(cli: Cli) -> None:
    script = "(sleep 0.01 &); trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done"
    name = cli("run", "-d", "--init", IMAGE, "sh", "-c", script).strip()
    eventually(lambda: "up" in cli("logs", name))
    eventually(lambda: not re.search(r"^ *Z", cli("exec", name, "ps", "-o", "stat"), re.M))
    cli("stop", name)
    assert cli("wait", name) == "5\n"


def test_init_makes_a_program_without_handlers_stoppable(cli: Cli) -> None:
    name = cli("run", "-d", "--init", IMAGE, "sleep", "60").strip()
    cli("stop", name)
    assert cli("wait", name) == "143\n"


def test_stop_signal(cli: Cli) -> None:
    script = "trap 'echo usr1; exit 9' USR1; echo up; while :; do sleep 0.1; done"
    name = cli("run", "-d", "--stop-signal", "USR1", IMAGE, "sh", "-c", script).strip()
    cli("stop", name)
    assert cli("wait", name) == "9\n"
    assert cli("logs", name) == "up\nusr1\n"
    assert cli("inspect", "-f", "{{.Config.StopSignal}}", name) == "USR1\n"


def test_seccomp_profile_from_a_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(
        '{"defaultAction": "SCMP_ACT_ALLOW",'
        ' "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}'
    )
    option = f"seccomp={tmp_path}/profile.json"
    done = cli.run("run", "--rm", "--security-opt", option, IMAGE, "mkdir", "/x", code=1)
    assert "Operation not permitted" in done.stderr


def test_memory_limit_kills(cli: Cli) -> None:
    name = cli("create", "-m", "16m", "--memory-swap", "16m", IMAGE,
               "sh", "-c", "head -c 64m /dev/zero | tail").strip()  # fmt: skip
    cli("start", name)
    assert cli("wait", name) == "137\n"
    assert cli("inspect", "-f", "{{.State.OOMKilled}}", name) == "true\n"


def test_cidfile(cli: Cli, tmp_path: Path) -> None:
    cli("run", "--rm", "--cidfile", str(tmp_path / "id"), IMAGE, "true")
    assert re.fullmatch(r"[0-9a-f]{64}", (tmp_path / "id").read_text())


def test_two_containers_reach_each_other(cli: Cli) -> None:
    server = cli("run", "-d", IMAGE, "nc", "-ll", "-p", "7", "-e", "echo", "hi").strip()
    address = cli("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", server)
    script = f"for i in 1 2 3 4 5 6 7 8 9; do nc {address.strip()} 7 && exit; sleep 0.1; done"
    assert cli("run", "--rm", IMAGE, "sh", "-c", script) == "hi\n"
