"""``cutaway plan run``: it says what ``run`` does, and its script runs the program likewise."""

import json
from collections import Counter

import pytest

from support.engine import EngineUnderTest

LOOK = (
    "id; pwd; hostname; ls /dev; grep -E '^(Cap|Groups|NoNewPrivs)' /proc/self/status; "
    "cat /proc/self/oom_score_adj; umask; cut -d' ' -f2 /proc/mounts | sort; ulimit -n; "
    "cat /proc/keys /sys/firmware/* 2>&1; echo x > /proc/sys/kernel/hostname; touch /made; "
    "ip -o addr | cut -d' ' -f2-6; cat /etc/hosts; env | sort"
)


@pytest.mark.parametrize(
    "flags",
    [
        ("-p", "8080:80", "-m", "64m", "--ulimit", "nofile=100:200", "--oom-score-adj", "5"),
        (
            "--user",
            "www-data",
            "--group-add",
            "7",
            "-w",
            "/tmp",
            "-v",
            "data:/data",
            "--read-only",
            "-e",
            "A=b c",
        ),
        ("--network", "host", "--cap-add", "SYS_TIME", "--tmpfs", "/t", "--cap-drop", "MKNOD"),
    ],
)
def test_the_script_does_what_run_does(
    module_engine: EngineUnderTest, flags: tuple[str, ...]
) -> None:
    words = ("--name", "same", "--hostname", "here", *flags, "busybox", "sh", "-c", LOOK)
    script = module_engine.directory / "script"
    script.write_text(module_engine.cutaway("plan", "run", "--shell", *words).stdout)
    ran = module_engine.docker("run", "--rm", *words, check=False)
    by_hand = module_engine.host.run("sh", str(script), check=False)
    assert by_hand.stdout == ran.stdout, by_hand.stderr
    assert "uid=" in ran.stdout


def test_the_plan_has_the_steps_and_actors_of_the_story(module_engine: EngineUnderTest) -> None:
    words = ("-p", "8080:80", "busybox", "true")
    plan = json.loads(module_engine.cutaway("plan", "run", "--json", *words).stdout)["steps"]
    module_engine.cutaway("run", "--name", "told", *words)
    story = json.loads(module_engine.cutaway("story", "--json", "told").stdout)["records"]
    planned = Counter((step["actor"], step["kind"]) for step in plan)
    assert planned.pop(("engine", "PrepareSnapshot")) == 1  # at create: a story is of a start
    assert Counter((step["actor"], step["kind"]) for step in story) == planned
    assert (plan[0]["kind"], story[0]["kind"]) == ("CreateNetworkNamespace",) * 2


def test_what_an_image_says_is_no_command_of_the_script(module_engine: EngineUnderTest) -> None:
    canary = module_engine.directory / "canary"
    attack = f"$(touch {canary})"
    for flag, value in (
        ("-u", f"x{attack}"),
        ("-w", f"/w{attack}"),
        ("-v", f"/v{attack}"),
        ("-e", f'A=x\nLEVEL1\n){attack}"\n'),
    ):
        words = ("--network", "none", flag, value, "busybox", "true")
        script = module_engine.cutaway("plan", "run", "--shell", *words).stdout
        done = module_engine.host.run("sh", "-c", script, check=False)
        assert not canary.exists(), script
        assert done.returncode == 0, done.stderr
