"""Our client says what docker's says: the same command line, one engine, compared byte by byte."""

import re
from collections.abc import Iterator

import pytest

from support.engine import EngineUnderTest

VARYING = [
    (re.compile(r"\b[0-9a-f]{64}\b"), "ID"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "TIME"),
    (re.compile(r"(About a|Less than a|\d+) (second|minute)s?"), "AGE"),
    (re.compile(r"\bdocker\b"), "cutaway"),
    (re.compile(r"[ \t]+(\n|$)"), r"\1"),
    (re.compile(r"  +"), "  "),
]


def normal(text: str) -> str:
    for pattern, replacement in VARYING:
        text = pattern.sub(replacement, text)
    return text


@pytest.fixture(scope="module")
def populated(module_engine: EngineUnderTest) -> Iterator[EngineUnderTest]:
    """Containers in every state, to be looked at and not changed."""
    # Our command speaks the newest version, docker's an older one: answers differ by version.
    plain = module_engine.environment()
    module_engine.environment = lambda: {**plain, "DOCKER_API_VERSION": "1.50"}  # type: ignore[method-assign]
    run = module_engine.docker
    run("run", "-d", "--name", "runs", "-e", "A=1", "--label", "tier=web", "-m", "64m",
        "-v", "vol:/data", "busybox", "sleep", "600")  # fmt: skip
    run("run", "--name", "failed", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3",
        check=False)  # fmt: skip
    run("create", "--name", "fresh", "busybox")
    run("run", "-d", "--name", "still", "busybox", "sleep", "600")
    run("pause", "still")
    run("tag", "busybox", "some.host:5000/team/tool:v1")
    yield module_engine
    module_engine.remove_containers()
    run("rmi", "some.host:5000/team/tool:v1")
    run("volume", "rm", "vol")
    module_engine.wait_until_clean()


LOOKS = [
    "ps", "ps -a", "ps -aq", "ps -a --no-trunc", "ps -as", "ps -n 2", "ps -l",
    "ps -a --filter status=paused", "ps -a --filter label=tier=web --format {{.Names}}",
    "ps -a --format {{json|.}}", "ps -a --format table|{{.Names}}\\t{{.Status}}",
    "ps -a --format {{.ID}}:{{.Image}}:{{.Command}}:{{.RunningFor}}:{{.Mounts}}:{{.Networks}}",
    "images", "images -a", "images -q",
    "images --format {{.Repository}}:{{.Tag}}", "images busybox", "images nothing",
    "images --filter dangling=true", "images --format {{json|.}}",
    "inspect runs", "inspect failed", "inspect fresh", "inspect busybox", "inspect runs failed",
    "inspect -s runs", "inspect --type image busybox", "inspect --type container runs",
    "inspect -f {{.State.Status}} runs failed fresh still",
    "inspect -f {{json|.Config.Env}} runs", "inspect -f {{range|.Mounts}}{{.Name}}{{end}} runs",
    "inspect -f {{.HostConfig.Memory}}|{{.State.Pid|}} runs",
    "inspect -f {{len|.Config.Env}}:{{index|.Config.Labels|\"tier\"}} runs",
    "inspect -f {{if|.State.Running}}up{{else}}down{{end}} runs fresh",
    "inspect -f {{.Nope}} runs", "inspect -f {{ runs", "inspect nothing", "inspect runs nothing",
    "logs failed", "logs -n 1 failed", "logs -t failed", "logs --details failed", "logs nothing",
    "logs fresh", "port runs", "port nothing", "top runs", "top runs -o pid,comm", "top fresh",
    "diff runs", "history busybox", "history --no-trunc -H=false busybox",
    "history -q busybox", "history --format {{.CreatedBy}} busybox",
    "network ls", "network inspect bridge", "network ls --format {{.Name}}:{{.Driver}}",
    "volume ls", "volume inspect vol", "volume ls -q", "volume inspect nothing",
    "wait failed", "wait nothing", "version --format {{.Server.Version}}",
    "info --format {{.Driver}}:{{.CgroupVersion}}:{{.Containers}}",
    "exec runs sh -c 'exit|4'", "exec runs nothing", "exec fresh true", "exec nothing true",
    "exec still true", "start runs", "stop failed", "kill failed", "kill -s NOPE runs",
    "pause still", "unpause runs", "rm runs", "rm nothing", "rmi nothing",
    "rename runs failed", "rename runs", "tag nothing x", "tag busybox UPPER", "attach failed",
    "attach nothing", "attach still", "start nothing", "restart nothing", "stop nothing",
    "run --name runs busybox true", "run nothing.invalid/x:y true", "run UPPER true",
    "run busybox nothing", "run busybox /etc/passwd",
    "run -m 1k busybox", "run -m lots busybox", "run --cpus many busybox", "run --cpus 900 busybox",
    "run -u nobody-here busybox", "run -v x busybox", "run -v /a:/b:/c:/d busybox",
    "run -v rel/path:/x busybox", "run --mount type=bind,source=/nothing/here,target=/x busybox",
    "run --network nothing busybox", "run --ulimit nofile=9:1 busybox", "run --ulimit x=1 busybox",
    "run --sysctl kernel.hostname=x busybox", "run --cap-add NOPE busybox",
    "run --ip 1.2.3.4 busybox",
    "run --security-opt nope busybox", "run --restart nope busybox", "run --pid nope busybox",
    "run --stop-signal NOPE busybox", "run -w rel busybox", "run --rm --restart always busybox",
    "run --isolation hyperv busybox", "run --nope busybox", "run -p nope busybox", "run",
    "run --device /dev/nothing busybox true", "run --runtime nope busybox true",
    "run --platform windows/amd64 busybox true", "run --platform linux/s390x busybox true",
    "run --hostname -bad- busybox true", "run --name -bad- busybox true",
    "run --env-file /nothing busybox", "run --memory-swappiness 101 busybox true",
    "run --cpuset-cpus 99 busybox true", "run --pids-limit x busybox true",
    "run --tmpfs rel busybox true", "run --log-driver nope busybox true", "create", "ps nothing",
    "nothing", "container nothing", "load -i /nothing", "import /nothing", "save nothing",
    "cp runs:/nothing /tmp/x", "cp runs:/etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("line", LOOKS)
def test_same_output(populated: EngineUnderTest, line: str) -> None:
    # A "|" in a word stands for a space.
    words = [word.replace("|", " ").strip("'") for word in line.split(" ")]
    theirs = populated.docker(*words, check=False, stdin=-3)
    ours = populated.cutaway(*words, check=False, stdin=-3)
    ours_out, theirs_out = normal(ours.stdout), normal(theirs.stdout)
    if line.startswith("images"):
        # docker keeps one image's names in a Go map: their order changes from call to call.
        ours_out, theirs_out = (sorted(text.splitlines()) for text in (ours_out, theirs_out))
    assert ours_out == theirs_out
    assert normal(ours.stderr) == normal(theirs.stderr)
    assert ours.returncode == theirs.returncode


def test_nothing_was_changed_by_looking(populated: EngineUnderTest) -> None:
    names = populated.docker("ps", "-a", "--format", "{{.Names}}").stdout.split()
    created = {"failed", "fresh", "runs", "still"}
    assert created <= set(names)
