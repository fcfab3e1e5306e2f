"""The life of a container through both clients: create, start, logs, exec, stop, kill, wait, rm."""

import json
import re
import subprocess
import time
from pathlib import Path

from support.cgroup_files import by_version
from support.cli import Cli
from support.engine import EngineUnderTest
from support.waiting import eventually

IMAGE = "busybox"
COUNT = "i=0; while [ $i -lt 5 ]; do echo line $i; i=$((i+1)); sleep 0.02; done"


def test_create_start_wait_inspect_rm(cli: Cli) -> None:
    identifier = cli("create", "--name", "box", "-e", "A=b", IMAGE, "sh", "-c", "exit 3").strip()
    assert re.fullmatch(r"[0-9a-f]{64}", identifier)
    assert cli("ps", "-a", "--format", "{{.Names}} {{.Status}}") == "box Created\n"
    assert cli("ps", "-q") == ""
    assert cli("start", "box") == "box\n"
    assert cli("wait", "box") == "3\n"
    document = json.loads(cli("inspect", "box"))[0]
    assert document["Id"] == identifier
    assert document["Name"] == "/box"
    assert document["Path"] == "sh"
    assert document["Args"] == ["-c", "exit 3"]
    assert "A=b" in document["Config"]["Env"]
    state = document["State"]
    assert (state["Status"], state["ExitCode"], state["Running"]) == ("exited", 3, False)
    assert state["StartedAt"] < state["FinishedAt"]
    assert re.match(r"box Exited \(3\)", cli("ps", "-a", "--format", "{{.Names}} {{.Status}}"))
    assert cli("rm", "box") == "box\n"
    assert cli("ps", "-aq") == ""


def test_start_attached_gives_output_and_exit_code(cli: Cli) -> None:
    cli("create", "--name", "box", IMAGE, "sh", "-c", "echo hi; exit 4")
    assert cli("start", "-a", "box", code=4) == "hi\n"
    assert cli("start", "-a", "box", code=4) == "hi\n"
    assert cli("logs", "box") == "hi\nhi\n"


def test_stop_sends_term_then_kill(cli: Cli) -> None:
    cli("run", "-d", "--name", "polite", IMAGE, "sh", "-c",
        "trap 'exit 5' TERM; while :; do sleep 0.1; done")  # fmt: skip
    cli("run", "-d", "--name", "deaf", IMAGE, "sleep", "600")
    assert cli("stop", "polite") == "polite\n"
    assert cli("stop", "-t", "1", "deaf") == "deaf\n"
    assert cli("wait", "polite", "deaf") == "5\n137\n"
    assert cli("stop", "deaf") == "deaf\n"  # stopping what is stopped succeeds


def test_kill_sends_the_signal_asked_for(cli: Cli) -> None:
    script = "trap 'echo hup' HUP; echo up; while :; do sleep 0.1; done"
    cli("run", "-d", "--name", "box", IMAGE, "sh", "-c", script)
    eventually(lambda: cli("logs", "box") == "up\n")
    cli("kill", "-s", "HUP", "box")
    eventually(lambda: cli("logs", "box") == "up\nhup\n")
    assert cli("kill", "box") == "box\n"
    assert cli("wait", "box") == "137\n"
    assert "is not running" in cli.fails("kill", "box")


def test_restart_is_a_new_run_of_the_same_container(cli: Cli) -> None:
    cli("run", "-d", "--name", "box", IMAGE, "sh", "-c", "echo run; touch /was-here; sleep 600")
    eventually(lambda: cli("logs", "box") == "run\n")
    before = cli("inspect", "-f", "{{.State.Pid}}", "box")
    cli("restart", "-t", "0", "box")
    assert cli("inspect", "-f", "{{.State.Pid}}", "box") != before
    eventually(lambda: cli("logs", "box") == "run\nrun\n")
    cli("exec", "box", "test", "-e", "/was-here")


def test_rm_refuses_the_running_and_force_kills(cli: Cli) -> None:
    cli("run", "-d", "--name", "box", IMAGE, "sleep", "600")
    message = cli.fails("rm", "box")
    assert "cannot remove container" in message
    assert "is running" in message
    assert cli("rm", "-f", "box") == "box\n"
    assert "No such container: box" in cli.fails("rm", "box")
    assert "No such container: box" in cli.fails("rm", "-f", "box", code=0)


def test_logs_tail_since_timestamps(cli: Cli) -> None:
    cli("run", "--name", "box", IMAGE, "sh", "-c", f"{COUNT}; echo err >&2")
    done = cli.run("logs", "box")
    assert done.stdout == "".join(f"line {i}\n" for i in range(5))
    assert done.stderr == "err\n"
    assert cli("logs", "-n", "2", "box") == "line 4\n"  # the other line is on stderr
    assert cli("logs", "--tail", "0", "box") == ""
    stamped = cli("logs", "-t", "box").splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line 0", stamped[0])
    third = stamped[2].split()[0]
    # Lines that came at once may have one time.
    since = [line.split(" ", 1)[1] for line in stamped if line.split()[0] >= third]
    until = [line.split(" ", 1)[1] for line in stamped if line.split()[0] <= third]
    assert cli("logs", "--since", third, "box").splitlines() == since
    assert cli("logs", "--until", third, "box").splitlines() == until
    assert cli("logs", "--since", "1h", "box").count("\n") == 5


def test_logs_follow_ends_with_the_container(cli: Cli) -> None:
    cli("run", "-d", "--name", "box", IMAGE, "sh", "-c",
        "mkfifo /go; echo one; cat /go; echo two")  # fmt: skip
    eventually(lambda: cli("logs", "box") == "one\n")
    with cli.terminal("logs", "-f", "box") as follower:
        follower.expect(b"one")
        cli("exec", "box", "sh", "-c", "echo now > /go")
        follower.expect(b"now")
        follower.expect(b"two")
        assert follower.wait() == 0


def test_long_output_is_complete_and_in_order(cli: Cli) -> None:
    script = "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done"
    expected = "".join(f"{i}\n" for i in range(20000))
    assert cli("run", "--name", "box", IMAGE, "sh", "-c", script) == expected
    assert cli("logs", "box") == expected


def test_a_line_without_end_and_a_very_long_one(cli: Cli) -> None:
    script = "head -c 100000 /dev/zero | tr '\\0' x; echo; printf end"
    expected = "x" * 100_000 + "\nend"
    assert cli("run", "--name", "box", IMAGE, "sh", "-c", script) == expected
    assert cli("logs", "box") == expected


def test_exec(cli: Cli) -> None:
    cli("run", "-d", "--name", "box", "-e", "A=1", "-w", "/tmp", IMAGE, "sleep", "600")
    assert cli("exec", "box", "sh", "-c", "echo $A; pwd") == "1\n/tmp\n"
    assert cli("exec", "-e", "B=2", "-w", "/etc", "-u", "33", "box", "sh", "-c",
               "echo $B; pwd; id -u") == "2\n/etc\n33\n"  # fmt: skip
    assert cli("exec", "-i", "box", "cat", stdin="typed\n") == "typed\n"
    cli("exec", "box", "sh", "-c", "exit 9", code=9)
    assert "executable file not found" in str(cli.run("exec", "box", "nope", code=127))
    cli("exec", "-d", "box", "touch", "/tmp/detached")
    eventually(lambda: "detached" in cli("exec", "box", "ls", "/tmp"))
    status = cli("exec", "box", "cat", "/proc/self/status")
    assert "CapEff:\t00000000a80425fb" in status
    assert "Seccomp:\t2" in status
    cli("exec", "--privileged", "box", "grep", "Seccomp:\t0", "/proc/self/status", code=1)


def test_exec_in_what_does_not_run(cli: Cli) -> None:
    cli("create", "--name", "box", IMAGE)
    assert re.search(r"container [0-9a-f]{64} is not running", cli.fails("exec", "box", "true"))


def test_rm_flag_removes_even_when_the_client_is_gone(cli: Cli) -> None:
    client = subprocess.Popen(
        [*cli.engine.host.enter(), *(["docker"] if cli.program == "docker"
         else cli.engine.our_command), "run", "--rm", "--name", "box", IMAGE, "sh", "-c",
         "echo up; sleep 0.5"],
        env=cli.engine.environment(), stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
    finally:
        client.kill()
        client.wait()
        client.stdout.close()
    eventually(lambda: cli("ps", "-aq") == "")


def test_pause_and_unpause(cli: Cli) -> None:
    cli("run", "-d", "--name", "box", IMAGE, "sleep", "600")
    cli("pause", "box")
    assert "(Paused)" in cli("ps", "--format", "{{.Status}}")
    assert "is paused" in cli.fails("exec", "box", "true")
    cli("unpause", "box")
    cli("exec", "box", "true")


def test_rename_top_and_port(cli: Cli) -> None:
    cli("run", "-d", "--name", "box", IMAGE, "sleep", "600")
    cli("rename", "box", "crate")
    assert "sleep 600" in cli("top", "crate")
    assert cli("port", "crate") == ""
    assert cli("ps", "--format", "{{.Names}}") == "crate\n"


def test_filters_of_ps(cli: Cli) -> None:
    cli("run", "-d", "--name", "one", "--label", "tier=web", IMAGE, "sleep", "600")
    cli("run", "--name", "two", IMAGE, "sh", "-c", "exit 3", code=3)

    def names(*filters: str) -> list[str]:
        flags = [word for text in filters for word in ("--filter", text)]
        return cli("ps", "-a", *flags, "--format", "{{.Names}}").split()

    assert names("status=running") == ["one"]
    assert names("exited=3") == ["two"]
    assert names("label=tier=web") == names("label=tier") == ["one"]
    assert names("name=tw") == ["two"]
    assert names("ancestor=busybox") == ["two", "one"]
    assert cli("ps", "-l", "--format", "{{.Names}}") == "two\n"
    assert cli("ps", "-n", "1", "-q", "--no-trunc").strip().isalnum()


def test_cp_both_ways(cli: Cli, tmp_path: Path) -> None:
    cli("run", "-d", "--name", "box", IMAGE, "sleep", "600")
    (tmp_path / "note").write_text("carried\n")
    cli("cp", str(tmp_path / "note"), "box:/tmp/note")
    assert cli("exec", "box", "cat", "/tmp/note") == "carried\n"
    cli("cp", "box:/tmp/note", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "carried\n"


def test_events_tell_a_whole_life(cli: Cli) -> None:
    name = f"life-{cli.program}"
    shape = ("--filter", f"container={name}", "--format",
             '{{.Action}}:{{index .Actor.Attributes "exitCode"}}<')  # fmt: skip
    actions = ["create:<", "attach:<", "start:<", "die:2<", "destroy:<"]
    with cli.terminal("events", "--since", "1m", *shape) as events:
        cli("run", "--rm", "--name", name, IMAGE, "sh", "-c", "exit 2", code=2)
        for action in actions:
            events.expect(action.encode())
    assert cli("events", "--since", "1m", "--until", f"{time.time()}", *shape).split() == actions


def test_story_and_plan(engine: EngineUnderTest) -> None:
    engine.cutaway("run", "-d", "--name", "box", IMAGE, "sleep", "600")
    story = engine.cutaway("story", "box").stdout
    assert "eth0" in story
    assert "pids.max" in story
    plan = engine.cutaway("plan", "run", "--rm", "-m", "64m", IMAGE, "true").stdout
    assert by_version("memory.limit_in_bytes", "memory.max") in plan
    assert len(engine.docker("ps", "-aq").stdout.split()) == 1
