"""Every parameter of the classic ``POST /build``: a step of the build sees it, or it is refused."""

import io
import json
import re
import tarfile
from typing import Any

import pytest

from cutaway.client import ApiError
from support.engine import EngineUnderTest

CGROUP = "cat /sys/fs/cgroup/{v2} /sys/fs/cgroup/{v1} 2>/dev/null"


def context(**files: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def build(engine: EngineUnderTest, text: str, /, **query: Any) -> list[dict[str, Any]]:
    body = context(**{query.get("dockerfile", "Dockerfile"): text, "f": "file\n"})
    answer = engine.client.request(
        "POST", "/build", query=query, body=iter([body]),
        headers={"Content-Type": "application/x-tar"},
    )  # fmt: skip
    return list(answer.documents())


def told(documents: list[dict[str, Any]]) -> str:
    return "".join(d.get("stream", "") or d.get("error", "") for d in documents)


def image(engine: EngineUnderTest, documents: list[dict[str, Any]]) -> dict[str, Any]:
    (identity,) = [d["aux"]["ID"] for d in documents if "ID" in (d.get("aux") or {})]
    found: dict[str, Any] = engine.client.get(f"/images/{identity}/json")
    return found


# What a command prints under a parameter: (query, command, what its output has).
SEEN = {
    "buildargs": ({"buildargs": '{"A":"given"}'}, "echo got $A", "got given"),
    "networkmode": ({"networkmode": "none"}, "ip -o link | wc -l", "\n1\n"),
    "extrahosts": ({"extrahosts": "db:10.9.8.7"}, "grep -w db /etc/hosts", r"10\.9\.8\.7\s+db"),
    "memory": (
        {"memory": 64 << 20},
        CGROUP.format(v2="memory.max", v1="memory/memory.limit_in_bytes"),
        r"\b67108864\b",
    ),
    "memswap": (
        {"memory": 64 << 20, "memswap": 96 << 20},
        CGROUP.format(v2="memory.swap.max", v1="memory/memory.memsw.limit_in_bytes"),
        r"\b(33554432|100663296)\b",  # v2 counts swap alone
    ),
    "cpushares": (
        {"cpushares": 512}, CGROUP.format(v2="cpu.weight", v1="cpu/cpu.shares"), r"\b(20|59|512)\b",
    ),
    "cpuquota": (
        {"cpuquota": 40000, "cpuperiod": 80000},
        CGROUP.format(v2="cpu.max", v1="cpu/cpu.cfs_quota_us"),
        r"\b40000\b",
    ),
    "cpuperiod": (
        {"cpuquota": 40000, "cpuperiod": 80000},
        CGROUP.format(v2="cpu.max", v1="cpu/cpu.cfs_period_us"),
        r"\b80000\b",
    ),
    "cpusetcpus": ({"cpusetcpus": "0"}, "grep Cpus_allowed_list /proc/self/status", r":\s+0\n"),
    "cpusetmems": ({"cpusetmems": "0"}, "grep Mems_allowed_list /proc/self/status", r":\s+0\n"),
    "shmsize": ({"shmsize": 32 << 20}, "df -k /dev/shm", r"\b32768\b"),
    "ulimits": (
        {"ulimits": '[{"Name":"nofile","Soft":123,"Hard":456}]'}, "ulimit -Sn; ulimit -Hn",
        "123\n456\n",
    ),
    "securityopt": (
        {"securityopt": '["seccomp=unconfined"]'}, "grep ^Seccomp: /proc/self/status", r":\s+0\n",
    ),
    "isolation": ({"isolation": "default"}, "echo here", "here"),
    "dockerfile": ({"dockerfile": "other"}, "echo other", "other"),
    "platform": ({"platform": "linux/amd64"}, "uname -m", "x86_64"),
    "rm": ({"rm": "0"}, "echo kept", "kept"),
    "forcerm": ({"forcerm": "1"}, "echo gone", "gone"),
    "outputs": ({"outputs": '[{"Type":"image"}]'}, "echo image", "image"),
    "version": ({"version": "1"}, "echo one", "one"),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN)
def test_a_command_sees_the_parameter(engine: EngineUnderTest, name: str) -> None:
    query, command, seen = SEEN[name]
    dockerfile = f"FROM busybox\nARG A\nRUN {command} || true\n"
    output = told(build(engine, dockerfile, nocache=True, **query))
    assert "Successfully built" in output
    assert re.search(seen, output.partition("Running in")[2]), output
    assert engine.client.get("/containers/json", all=True) == []


def test_what_the_image_gets(engine: EngineUnderTest) -> None:
    dockerfile = "FROM busybox AS one\nLABEL own=1\nFROM one AS two\nRUN exit 1\n"
    documents = build(
        engine, dockerfile, t=["a:1", "b"], target="one", labels='{"given":"2","own":"3"}'
    )
    made = image(engine, documents)
    assert made["RepoTags"] == ["a:1", "b:latest"]
    assert made["Config"]["Labels"] == {"given": "2", "own": "3"}
    assert "Successfully tagged a:1\nSuccessfully tagged b:latest\n" in told(documents)


def test_the_cache_parameters(engine: EngineUnderTest) -> None:
    dockerfile = "FROM busybox\nRUN echo cached > /f\n"
    first = image(engine, build(engine, dockerfile, t="kept"))
    assert "Using cache" in told(build(engine, dockerfile))
    assert "Using cache" in told(build(engine, dockerfile, cachefrom=f'["{first["Id"]}"]'))
    assert "Using cache" not in told(build(engine, dockerfile, cachefrom='["busybox"]'))
    assert "Using cache" not in told(build(engine, dockerfile, nocache=True))


def test_squash_leaves_one_layer_above_the_base(engine: EngineUnderTest) -> None:
    made = image(engine, build(engine, "FROM busybox\nCOPY f /\nRUN rm /f; :> /g\n", squash=True))
    assert len(made["RootFS"]["Layers"]) == 2


def test_quiet_tells_the_id_and_nothing_else(engine: EngineUnderTest) -> None:
    documents = build(engine, "FROM busybox\nRUN echo loud\n", q=True)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", told(documents))


def test_pull_asks_the_registry_also_for_what_is_here(engine: EngineUnderTest) -> None:
    # Nobody answers in a host without a way out: the image that is here is not taken instead.
    name = "127.0.0.1:9/busybox"
    engine.docker("tag", "busybox", name)
    assert "Successfully built" in told(build(engine, f"FROM {name}\n"))
    assert "connection refused" in told(build(engine, f"FROM {name}\n", pull=True))


# (query, what the refusal says)
REFUSED = [
    ({"version": "2"}, "set DOCKER_BUILDKIT=0 to use the classic builder"),
    ({"outputs": '[{"Type":"local"}]'}, "can't make the output 'local'"),
    ({"outputs": "x"}, "invalid outputs: x"),
    ({"platform": "windows/amd64/x/y"}, "platform"),
    ({"buildargs": "x"}, "buildargs"),
    ({"labels": '{"a":1}'}, "invalid labels"),
    ({"cachefrom": '["type=s3"]'}, "invalid cache source 'type=s3'"),
    ({"memory": "lots"}, "memory"),
    ({"memory": 1 << 20}, "Minimum memory limit allowed is 6MB"),
    ({"memory": 64 << 20, "memswap": 32 << 20}, "Minimum memoryswap limit"),
    ({"cpushares": -1}, "CPU shares"),
    ({"cpuperiod": 1}, "CPU cfs period"),
    ({"cpuquota": 1}, "CPU cfs quota"),
    ({"cpusetcpus": "7000"}, "Requested CPUs are not available"),
    ({"shmsize": -1}, "SHM size"),
    ({"isolation": "hyperv"}, "only supports 'default'"),
    ({"networkmode": "nowhere"}, "nowhere"),
    ({"extrahosts": "nonsense"}, "nonsense"),
    ({"securityopt": '["what=ever"]'}, "what=ever"),
    ({"t": "UPPER"}, "must be lowercase"),
    ({"target": "none"}, "none"),
    ({"session": "none"}, "no such build session"),
    ({"remote": "ftp://nowhere"}, "neither a URL nor a git address"),
]


@pytest.mark.parametrize(("query", "refusal"), REFUSED, ids=lambda v: json.dumps(v)[:40])
def test_what_can_not_be_is_refused(
    engine: EngineUnderTest, query: dict[str, Any], refusal: str
) -> None:
    try:
        output = told(build(engine, "FROM busybox\nRUN true\n", nocache=True, **query))
    except ApiError as error:
        output = str(error)
    assert refusal in output
    assert "Successfully built" not in output
