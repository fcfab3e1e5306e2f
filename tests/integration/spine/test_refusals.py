"""What can't be done: one sentence in Docker's words, the right exit code, and nothing left behind.

A registry that lies, stalls or sends rubbish is in ``images/test_pull_hostile.py`` and
``test_pull_faults.py``, a full disk in ``images/test_full_disk.py``, malformed JSON in
``conformance/bad_input``.
"""

import re

import pytest

from cutaway.client import ApiError
from support.cli import Cli
from support.engine import EngineUnderTest

# (flags and image and command, exit code, what is said)
REFUSED = [
    # unknown images, and registries that are not there
    ("127.0.0.1:1/nope true", 125, r"dial tcp 127\.0\.0\.1:1: connect: connection refused"),
    ("no.such.host.invalid/x true", 125, r"lookup no\.such\.host\.invalid: no such host"),
    ("UPPER true", 125, r"invalid reference format: repository name .* must be lowercase"),
    ("busybox:no/tag true", 125, "invalid reference format"),
    # the program
    ("busybox nosuch", 127, r'exec: "nosuch": executable file not found in \$PATH'),
    ("--entrypoint /nosuch busybox", 127, 'exec: "/nosuch": stat /nosuch: no such file or dir'),
    ("busybox /etc/passwd", 126, 'exec: "/etc/passwd": permission denied'),
    ("busybox /etc", 126, 'exec: "/etc": is a directory'),
    ("-w /etc/passwd busybox true", 125, "Cannot mkdir: /etc/passwd is not a directory"),
    ("-w /etc/passwd/in busybox true", 125, "Cannot mkdir: /etc/passwd/in is not a directory"),
    ("-u nosuch busybox true", 125, "unable to find user nosuch: no matching entries in passwd"),
    ("-u 5000000000 busybox true", 125, "uids and gids must be in range 0-2147483647"),
    ("--group-add nosuch busybox true", 125, "unable to find group nosuch: no matching entries"),
    # values of flags
    ("-m banana busybox true", 125, r"""invalid argument "banana" for "-m, --memory" flag"""),
    ("-m 1k busybox true", 125, "Minimum memory limit allowed is 6MB"),
    ("-m 64m --memory-swap 1m busybox true", 125, "Minimum memoryswap limit should be larger"),
    ("--cpus 1000 busybox true", 125, r"range of CPUs is from 0\.01 to \d+\.00, as there are only"),
    ("--cpuset-cpus 999 busybox true", 125, "Requested CPUs are not available"),
    ("--pids-limit x busybox true", 125, 'invalid argument "x" for "--pids-limit" flag'),
    ("--ulimit nosuch=5 busybox true", 125, "invalid ulimit type: nosuch"),
    ("--cap-add NOSUCH busybox true", 125, 'invalid CapAdd: unknown capability: "CAP_NOSUCH"'),
    ("--security-opt nosuch=1 busybox true", 125, 'invalid --security-opt 2: "nosuch=1"'),
    ("--sysctl kernel.nosuch=1 busybox true", 125, "sysctl 'kernel.nosuch=1' is not allowed"),
    ("--sysctl net.ipv4.nosuch=1 busybox true", 125, "net.ipv4.nosuch.*No such file or directory"),
    ("--network nosuch busybox true", 125, "network nosuch not found"),
    ("--pid container:nosuch busybox true", 125, "No such container: nosuch"),
    ("--ipc nosuch busybox true", 125, "invalid IPC mode: nosuch"),
    ("--runtime nosuch busybox true", 125, "unknown or invalid runtime name: nosuch"),
    ("--stop-signal NOSUCH busybox true", 125, "invalid signal: NOSUCH"),
    ("--tmpfs /x:nosuch=1 busybox true", 125, "invalid tmpfs option 'nosuch=1'"),
    ("--gpus all busybox true", 125, r'device driver "" with capabilities: \[\[gpu\]\]'),
    # what is not there, or not free
    ("--mount type=bind,source=/no/such,target=/x busybox true", 125,
     'invalid mount config for type "bind": bind source path does not exist: /no/such'),
    ("--device /dev/nosuch busybox true", 125,
     'error gathering device information while adding custom device "/dev/nosuch"'),
    ("-v /etc/passwd:/var/www busybox true", 125, "mount a directory onto a file"),
    ("--name taken busybox true", 125, 'Conflict. The container name "/taken" is already in use'),
    # limits that only the kernel can refuse
    ("--pids-limit 99999999999 busybox true", 125, r"pids\.max.*Invalid argument.*choose another"),
    ("--device-read-bps /dev/null:1mb busybox true", 125, r"read_bps_device.*(name one|choose)"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "code", "said"), REFUSED, ids=[r[0] for r in REFUSED])
def test_refused_by_one_sentence(docker: Cli, words: str, code: int, said: str) -> None:
    docker("create", "--name", "taken", "busybox")
    heard = docker.fails("run", "--rm", *words.split(), code=code)
    assert re.search(said, heard), heard
    assert "Traceback" not in heard
    docker("rm", "taken")
    assert docker("ps", "-aq") == ""
    docker.engine.wait_until_clean()


def test_an_image_of_another_platform_is_not_this_one(docker: Cli) -> None:
    heard = docker.fails("create", "--pull", "never", "--platform", "linux/s390x", "busybox")
    assert "No such image" in heard or "platform" in heard


@pytest.mark.parametrize(
    ("config", "status", "said"),
    [
        ({"WorkingDir": "/etc/passwd"}, 400, "Cannot mkdir: /etc/passwd is not a directory"),
        ({"Cmd": ["nosuch"]}, 400, "executable file not found in $PATH"),
        ({"Cmd": ["/etc"]}, 400, "is a directory"),
        ({"User": "nosuch"}, 400, "unable to find user nosuch"),
    ],
)
def test_a_start_that_the_caller_got_wrong_is_400(
    engine: EngineUnderTest, config: dict[str, object], status: int, said: str
) -> None:
    body = {"Image": "busybox", "Cmd": ["true"], **config}
    name = engine.client.post("/containers/create", body)["Id"]
    with pytest.raises(ApiError) as refusal:
        engine.client.post(f"/containers/{name}/start")
    assert refusal.value.status == status
    assert said in str(refusal.value)
    assert engine.client.get(f"/containers/{name}/json")["State"]["Status"] == "created"
    assert "Traceback" not in engine.log.read_text()
