"""What the API's container operations do to a real container, not only what they answer."""

import base64
import io
import json
import os
import socket
import tarfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cutaway.client import ApiError
from support.cgroup_files import by_version
from support.engine import EngineUnderTest
from support.waiting import eventually, require_within

Run = Callable[..., str]
TAR = {"Content-Type": "application/x-tar"}


def shell(engine: EngineUnderTest, name: str, script: str) -> str:
    return engine.docker("exec", name, "sh", "-c", script).stdout


def tar_of(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def test_top_shows_the_container_s_processes_without_running_any(
    engine: EngineUnderTest, run: Run
) -> None:
    run("box", "sh", "-c", "sleep 77 & exec sleep 88")

    def top() -> dict[str, list[Any]]:
        return dict(engine.client.get("/containers/box/top", ps_args="-o pid,ppid,args"))

    eventually(lambda: sorted(row[2] for row in top()["Processes"]) == ["sleep 77", "sleep 88"])
    shown = top()
    assert shown["Titles"] == ["PID", "PPID", "COMMAND"]
    first = engine.client.get("/containers/box/json")["State"]["Pid"]
    assert {row[1] for row in shown["Processes"] if row[2] == "sleep 77"} == {str(first)}
    with pytest.raises(ApiError) as refused:
        engine.client.get("/containers/box/top", ps_args="-o nonsense")
    assert 400 <= refused.value.status < 500


def test_stats_once_at_once_and_as_a_stream(engine: EngineUnderTest, run: Run) -> None:
    run("busy", "sh", "-c", "while :; do :; done", HostConfig={"Memory": 64 << 20, "PidsLimit": 9})
    once = engine.client.get("/containers/busy/stats", stream=False)
    assert once["precpu_stats"]["cpu_usage"]["total_usage"] > 0
    used = once["cpu_stats"]["cpu_usage"]["total_usage"]
    assert used - once["precpu_stats"]["cpu_usage"]["total_usage"] > 50_000_000
    assert once["memory_stats"]["limit"] == 64 << 20
    assert once["pids_stats"] == {"current": 1, "limit": 9}
    assert set(once["networks"]) == {"eth0"}
    began = time.monotonic()
    shot = engine.client.get("/containers/busy/stats", **{"stream": False, "one-shot": True})
    require_within(0.5, began)
    assert shot["precpu_stats"]["cpu_usage"]["total_usage"] == 0
    response = engine.client.request("GET", "/containers/busy/stats")
    samples = response.documents()
    first, second = next(samples), next(samples)
    assert second["precpu_stats"] == first["cpu_stats"]
    assert second["cpu_stats"]["system_cpu_usage"] > first["cpu_stats"]["system_cpu_usage"]
    response.close()


def test_update_changes_the_living_cgroup_and_the_record(engine: EngineUnderTest, run: Run) -> None:
    run("box", HostConfig={"Memory": 64 << 20, "MemorySwap": 128 << 20})
    changes = {"Memory": 48 << 20, "CpuShares": 300, "PidsLimit": 7, "CpuQuota": 20000,
               "CpuPeriod": 100000,
               "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}}  # fmt: skip
    assert engine.client.post("/containers/box/update", changes)["Warnings"] is None
    groups = "/sys/fs/cgroup"
    files = by_version(
        ("memory/memory.limit_in_bytes", "cpu/cpu.shares", "pids/pids.max", "cpu/cpu.cfs_quota_us"),
        ("memory.max", "cpu.weight", "pids.max", "cpu.max"),
    )
    seen = shell(engine, "box", f"cd {groups}; cat {' '.join(files)}")
    weight = by_version("300", "12")
    assert seen.split()[:4] == [str(48 << 20), weight, "7", "20000"]
    kept = engine.client.get("/containers/box/json")["HostConfig"]
    assert {k: kept[k] for k in changes} == changes


def test_rename_is_heard_by_names_events_and_the_list(engine: EngineUnderTest, run: Run) -> None:
    identifier = run("old")
    run("taken")
    since = time.time()
    engine.client.post("/containers/old/rename", name="new")
    assert engine.client.get("/containers/new/json")["Id"] == identifier
    with pytest.raises(ApiError, match="No such container: old"):
        engine.client.get("/containers/old/json")
    with pytest.raises(ApiError, match='The container name "/taken" is already in use'):
        engine.client.post("/containers/new/rename", name="taken")
    told = [
        event["Actor"]["Attributes"]
        for event in engine.client.request(
            "GET", "/events", query={"since": f"{since:.9f}", "until": f"{time.time():.9f}",
                                     "filters": json.dumps({"event": ["rename"]})},
        ).documents()
    ]  # fmt: skip
    assert [(a["oldName"], a["name"]) for a in told] == [("/old", "new")]


def names_of_the_last_layer(engine: EngineUnderTest, image: str) -> set[str]:
    saved = engine.client.request("GET", f"/images/{image}/get").read()
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        (described,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        layer = archive.extractfile(described["Layers"][-1])
        with tarfile.open(fileobj=layer) as tar:
            return set(tar.getnames())


def test_changes_export_and_commit_agree(engine: EngineUnderTest, run: Run) -> None:
    run("box")
    shell(engine, "box", "echo new >/new; rm /etc/group; chmod 600 /etc/passwd; mkdir -p /d/e")
    changes = {c["Path"]: c["Kind"] for c in engine.client.get("/containers/box/changes")}
    assert changes == {
        "/d": 1, "/d/e": 1, "/etc": 0, "/etc/group": 2, "/etc/passwd": 0, "/new": 1,
    }  # fmt: skip
    exported = engine.client.request("GET", "/containers/box/export").read()
    with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
        names = set(tar.getnames())
        assert {"new", "d/e", "etc/passwd", "bin/busybox"} <= names
        assert "etc/group" not in names
        assert tar.getmember("etc/passwd").mode == 0o600
    engine.client.request(
        "POST", "/commit",
        query={"container": "box", "repo": "made", "tag": "1", "author": "me", "comment": "why",
               "changes": ["ENV A=b", 'CMD ["cat", "/new"]']},
        body={"Labels": {"x": "y"}},
    ).close()  # fmt: skip
    try:
        made = engine.client.get("/images/made:1/json")
        assert made["Config"]["Cmd"] == ["cat", "/new"]
        assert "A=b" in made["Config"]["Env"]
        assert (made["Author"], made["Comment"]) == ("me", "why")
        assert engine.docker("run", "--rm", "made:1").stdout == "new\n"
        assert engine.docker("run", "--rm", "made:1", "ls", "/etc").stdout.count("group") == 0
        # No place that was only made to mount on: dockerd has those in a layer of their own.
        assert names_of_the_last_layer(engine, "made:1") == {
            ".", "d", "d/e", "etc", "etc/.wh.group", "etc/passwd", "new",
        }  # fmt: skip
    finally:
        engine.client.delete("/images/made:1", force=True)


@pytest.mark.parametrize("state", ["running", "created", "exited"])
def test_archives_go_in_and_out_in_every_state(
    engine: EngineUnderTest, run: Run, state: str
) -> None:
    fields = {"HostConfig": {"Binds": ["filesvol:/vol"]}}
    if state == "created":
        engine.client.post("/containers/create", {"Image": "busybox", **fields}, name="box")
    else:
        run("box", *(("true",) if state == "exited" else ()), **fields)
    if state == "exited":
        engine.client.post("/containers/box/wait")
    try:
        for directory in ("/tmp", "/vol"):
            engine.client.request(
                "PUT", "/containers/box/archive", query={"path": directory},
                body=tar_of(file=b"content"), headers=TAR,
            ).close()  # fmt: skip
            got = engine.client.request(
                "GET", "/containers/box/archive", query={"path": f"{directory}/file"}
            )
            stat = json.loads(base64.b64decode(got.headers["x-docker-container-path-stat"]))
            assert (stat["name"], stat["size"]) == ("file", 7)
            with tarfile.open(fileobj=io.BytesIO(got.read())) as tar:
                member = tar.extractfile("file")
                assert member is not None
                assert member.read() == b"content"
        mountpoint = Path(engine.client.get("/volumes/filesvol")["Mountpoint"])
        assert (mountpoint / "file").read_bytes() == b"content"
    finally:
        engine.client.delete("/containers/box", force=True)
        engine.client.delete("/volumes/filesvol")


def test_archives_do_not_leave_the_container_by_links(
    engine: EngineUnderTest, run: Run, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    canary.write_text("host")
    run("box")
    shell(engine, "box", f"ln -s / /up; ln -s {tmp_path} /out; ln -s ../../../../.. /climb")
    for path in (f"/up{tmp_path}", "/out", f"/climb{tmp_path}"):
        with pytest.raises(ApiError):
            engine.client.request(
                "PUT", "/containers/box/archive", query={"path": path},
                body=tar_of(canary=b"owned"), headers=TAR,
            ).close()  # fmt: skip
        with pytest.raises(ApiError):
            engine.client.request(
                "GET", "/containers/box/archive", query={"path": f"{path}/canary"}
            ).close()
    inside = tar_of(**{"../../../../../../" + str(canary).lstrip("/"): b"owned"})
    try:
        engine.client.request(
            "PUT", "/containers/box/archive", query={"path": "/tmp"}, body=inside, headers=TAR
        ).close()
    except ApiError as error:
        assert error.status < 500  # noqa: PT017 -- refused or kept inside: both are right
    assert canary.read_text() == "host"


def test_prune_takes_what_its_filters_say(engine: EngineUnderTest, run: Run) -> None:
    run("running")
    for name, labels in (("kept", {"keep": "1"}), ("plain", {}), ("gone", {"go": "1"})):
        run(name, "true", Labels=labels)
        engine.client.post(f"/containers/{name}/wait")

    def prune(**filters: list[str]) -> int:
        answer = engine.client.post("/containers/prune", None, filters=json.dumps(filters))
        return len(answer["ContainersDeleted"] or ())

    assert prune(until=["1h"]) == 0
    assert prune(label=["go=1"]) == 1
    assert prune(**{"label!": ["keep"]}) == 1
    left = {c["Names"][0] for c in engine.client.get("/containers/json", all=True)}
    assert left == {"/running", "/kept"}
    assert prune() == 1
    with pytest.raises(ApiError, match="invalid filter"):
        prune(nonsense=["1"])


def test_disk_usage_counts_layers_volumes_and_containers(engine: EngineUnderTest, run: Run) -> None:
    run("box", HostConfig={"Binds": ["dfvol:/data"]})
    shell(
        engine,
        "box",
        "head -c 3145728 /dev/zero >/big; head -c 2097152 /dev/zero >/data/x",
    )
    try:
        usage = engine.client.request("GET", "/system/df").json()
        assert usage["ContainerUsage"]["TotalCount"] == 1
        assert usage["VolumeUsage"]["TotalSize"] >= 2 << 20
        assert usage["ImageUsage"]["TotalCount"] == 1
        (box,) = engine.client.get("/containers/json", size=True)
        assert 3 << 20 <= box["SizeRw"] < 4 << 20
        assert box["SizeRootFs"] > box["SizeRw"]
    finally:
        engine.client.delete("/containers/box", force=True)
        engine.client.delete("/volumes/dfvol")


def test_history_of_events_survives_a_crash_of_the_engine(
    engine: EngineUnderTest, run: Run
) -> None:
    since = f"{time.time():.9f}"
    identifier = run("box", "sh", "-c", "exit 4")
    engine.client.post("/containers/box/wait")
    eventually(lambda: engine.client.get("/containers/box/json")["State"]["Status"] == "exited")
    engine.kill()
    engine.start()
    query = {"since": since, "until": f"{time.time():.9f}"}
    events = list(engine.client.request("GET", "/events", query=query).documents())
    mine = [e for e in events if e["Type"] == "container" and e["Actor"]["ID"] == identifier]
    assert [e["Action"] for e in mine] == ["create", "start", "die"]
    assert mine[-1]["Actor"]["Attributes"]["exitCode"] == "4"
    times = [e["timeNano"] for e in events]
    assert times == sorted(times)
    query["filters"] = json.dumps({"container": ["box"], "event": ["die", "start"]})
    chosen = list(engine.client.request("GET", "/events", query=query).documents())
    assert [e["Action"] for e in chosen] == ["start", "die"]


def test_info_and_version_tell_the_machine_as_it_is(engine: EngineUnderTest, run: Run) -> None:
    run("box")
    info = engine.client.get("/info")
    assert (info["Containers"], info["ContainersRunning"], info["Images"]) == (1, 1, 1)
    assert info["NCPU"] == os.cpu_count()
    assert info["KernelVersion"] == os.uname().release
    assert info["MemTotal"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert info["DockerRootDir"] == str(engine.data_root)
    assert info["Swarm"]["LocalNodeState"] == "inactive"
    version = engine.client.get("/version")
    assert (version["ApiVersion"], version["MinAPIVersion"]) == ("1.56", "1.24")
    assert version["Components"][0]["Name"] == "Engine"
    assert info["ServerVersion"] == version["Version"]


def test_every_filter_of_the_list_chooses(engine: EngineUnderTest, run: Run) -> None:
    ports = {"80/tcp": {}}
    host = {"Binds": ["listvol:/data"], "PortBindings": {"80/tcp": [{"HostPort": "18080"}]}}
    first = run("first", Labels={"a": "1"}, ExposedPorts=ports, HostConfig=host)
    run("second", "sh", "-c", "exit 7", Labels={"a": "2"})
    engine.client.post("/containers/second/wait")
    quiet = {"Image": "busybox", "HostConfig": {"NetworkMode": "none"}}
    engine.client.post("/containers/create", quiet, name="third")

    def chosen(**filters: list[str]) -> list[str]:
        listed = engine.client.get("/containers/json", all=True, filters=json.dumps(filters))
        return [entry["Names"][0][1:] for entry in listed]

    everything = ["third", "second", "first"]
    expected: list[tuple[dict[str, list[str]], list[str]]] = [
        ({}, everything),
        ({"id": [first[:9]]}, ["first"]),
        ({"name": ["^/(first|third)$"]}, ["third", "first"]),
        ({"label": ["a"]}, ["second", "first"]),
        ({"label": ["a=2"]}, ["second"]),
        ({"status": ["created", "exited"]}, ["third", "second"]),
        ({"exited": ["7"]}, ["second"]),
        ({"ancestor": ["busybox"]}, everything),
        ({"before": ["second"]}, ["first"]),
        ({"since": ["second"]}, ["third"]),
        ({"volume": ["listvol"]}, ["first"]),
        ({"volume": ["/data"]}, ["first"]),
        ({"network": ["none"]}, ["third"]),
        ({"publish": ["80"]}, ["first"]),
        ({"expose": ["70-90/tcp"]}, ["first"]),
        ({"health": ["none"]}, everything),
        ({"is-task": ["true"]}, []),
        ({"label": ["a"], "status": ["running"]}, ["first"]),
    ]
    try:
        for filters, names in expected:
            assert (filters, chosen(**filters)) == (filters, names)
        assert [c["Names"][0] for c in engine.client.get("/containers/json", limit=1)] == ["/third"]
    finally:
        engine.remove_containers()
        engine.client.delete("/volumes/listvol")


def test_a_client_of_the_next_run_does_not_end_with_the_last_one(
    engine: EngineUnderTest,
) -> None:
    engine.docker("create", "--name", "box", "busybox", "echo", "hi")
    assert [engine.docker("start", "-a", "box").stdout for _ in range(6)] == ["hi\n"] * 6


@pytest.fixture
def slow_reader(engine: EngineUnderTest) -> Iterator[socket.socket]:
    """A client that has asked for all output of "box" and has not read the answer's head yet."""
    engine.docker("create", "--name", "box", "busybox", "echo", "said at once")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(engine.socket)
        path = "/containers/box/attach?stdout=1&stream=1&logs=1"
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\n\r\n".encode())
        client.recv(1, socket.MSG_PEEK)  # the answer is there
        yield client


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(partial(client.recv, 65536), b""))


def test_a_program_waits_for_who_was_told_to_be_attached(
    engine: EngineUnderTest, slow_reader: socket.socket
) -> None:
    engine.client.post("/containers/box/start")
    engine.client.post("/containers/box/wait")
    assert read_all(slow_reader).endswith(b"said at once\n")


def test_who_is_attached_to_a_container_that_is_gone_is_let_go(
    engine: EngineUnderTest, slow_reader: socket.socket
) -> None:
    engine.client.delete("/containers/box")
    assert read_all(slow_reader).startswith(b"HTTP/1.1 101 ")
