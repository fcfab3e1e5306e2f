"""Every query parameter of containers, execs, events and the system does what it says.

Each test names the parameters that it shows; one test compares them with the API's description.
"""

import base64
import calendar
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from cutaway.client import ApiError, Hijacked
from support import tars
from support.engine import EngineUnderTest
from support.waiting import eventually

DATA = json.loads((Path(__file__).parents[2] / "data" / "engine_api_1.56.json").read_text())
GROUPS = ("/containers", "/exec", "/events", "/commit", "/system", "/info", "/version", "/_ping")
SHOWN: set[tuple[str, str]] = set()
Run = Callable[..., str]
Test = TypeVar("Test", bound=Callable[..., None])


def shows(operation: str, *parameters: str) -> Callable[[Test], Test]:
    """Say which parameters a test shows."""
    SHOWN.update((operation, parameter) for parameter in parameters)
    return lambda test: test


def test_every_parameter_of_the_description_is_shown() -> None:
    described = {
        (f"{operation['method']} {operation['path']}", parameter)
        for operation in DATA["operations"]
        for parameter in operation["query"]
        if operation["path"].startswith(GROUPS)
    }
    assert described == SHOWN


def names(found: list[Any]) -> list[str]:
    return sorted(entry["Names"][0] for entry in found)


@shows("GET /containers/json", "all", "limit", "size", "filters")
@shows("GET /containers/{id}/json", "size")
def test_lists(engine: EngineUnderTest, run: Run) -> None:
    client = engine.client
    run("gone", "true")
    client.post("/containers/gone/wait")
    run("here")
    assert names(client.get("/containers/json")) == ["/here"]
    assert names(client.get("/containers/json", all=True)) == ["/gone", "/here"]
    assert names(client.get("/containers/json", limit=1)) == ["/here"]
    filters = json.dumps({"status": ["exited"]})
    assert names(client.get("/containers/json", filters=filters)) == ["/gone"]
    assert "SizeRootFs" not in client.get("/containers/json")[0]
    assert client.get("/containers/json", size=True)[0]["SizeRootFs"] > 0
    assert "SizeRootFs" not in client.get("/containers/here/json")
    assert client.get("/containers/here/json", size=True)["SizeRootFs"] > 0


@shows("POST /containers/create", "name", "platform")
@shows("POST /containers/{id}/rename", "name")
def test_names_and_platforms(engine: EngineUnderTest) -> None:
    client = engine.client
    client.post("/containers/create", {"Image": "busybox"}, name="first")
    client.post("/containers/first/rename", name="second")
    assert client.get("/containers/second/json")["Name"] == "/second"
    with pytest.raises(ApiError, match="does not match the specified platform"):
        client.post("/containers/create", {"Image": "busybox"}, platform="linux/s390x")


@shows("GET /containers/{id}/top", "ps_args")
def test_top(engine: EngineUnderTest, run: Run) -> None:
    run("box")
    found = engine.client.get("/containers/box/top", ps_args="-o pid,comm")
    assert found["Titles"] == ["PID", "COMMAND"]
    assert found["Processes"][0][1] == "sleep"


def unframed(frames: bytes) -> bytes:
    """Return what stdcopy frames carry."""
    text = b""
    while frames:
        size = int.from_bytes(frames[4:8], "big")
        text += frames[8 : 8 + size]
        frames = frames[8 + size :]
    return text


LOG = "GET /containers/{id}/logs"


@shows(LOG, "follow", "since", "stderr", "stdout", "tail", "timestamps", "until")
def test_logs(engine: EngineUnderTest, run: Run) -> None:
    script = "echo 1; echo 2 >&2; sleep 0.2; echo 3; while ! test -e /end; do sleep 0.05; done"
    run("box", "sh", "-c", script)

    def logs(**query: object) -> str:
        read = engine.client.request(
            "GET", "/containers/box/logs", query={"stdout": True, "stderr": True, **query}
        )
        return unframed(read.read()).decode()

    eventually(lambda: logs().endswith("3\n"))
    assert logs(stderr=False) == "1\n3\n"
    assert logs(stdout=False) == "2\n"
    assert logs(tail=1) == "3\n"
    stamp, _, text = logs(tail=1, timestamps=True).partition(" ")
    assert text == "3\n"
    whole, _, fraction = stamp.removesuffix("Z").partition(".")
    last = f"{calendar.timegm(time.strptime(whole, '%Y-%m-%dT%H:%M:%S'))}.{fraction:0<9}"
    assert logs(since=last) == "3\n"
    assert logs(stderr=False, until=last) in {"1\n", "1\n3\n"}
    assert "1\n" not in logs(since=last, until=last)
    followed: list[str] = []
    follower = threading.Thread(target=lambda: followed.append(logs(follow=True)))
    follower.start()
    engine.docker("exec", "box", "touch", "/end")
    follower.join()
    assert sorted(followed[0].split()) == ["1", "2", "3"]


@shows("GET /containers/{id}/stats", "stream", "one-shot")
def test_stats(engine: EngineUnderTest, run: Run) -> None:
    run("box")
    path = "/containers/box/stats"
    once = engine.client.get(path, stream=False, **{"one-shot": True})
    assert "system_cpu_usage" not in once["precpu_stats"]
    assert engine.client.get(path, stream=False)["precpu_stats"]["system_cpu_usage"]
    stream = engine.client.request("GET", path, query={"stream": True})
    documents = stream.documents()
    assert next(documents)["id"] == next(documents)["id"]
    stream.close()


SIZES = "trap 'stty size' WINCH; echo up; while :; do sleep 0.05; done"


@shows("POST /containers/{id}/resize", "h", "w")
@shows("POST /exec/{id}/resize", "h", "w")
def test_resize(engine: EngineUnderTest, run: Run) -> None:
    run("box", "sh", "-c", SIZES, Tty=True)
    eventually(lambda: "up" in engine.docker("logs", "box").stdout)
    engine.client.post("/containers/box/resize", h=30, w=100)
    eventually(lambda: "30 100" in engine.docker("logs", "box").stdout)
    exec_id = make_exec(engine, "sh", "-c", SIZES, Tty=True, AttachStdout=True)
    stream = engine.client.hijack(f"/exec/{exec_id}/start", body={"Tty": True})
    read_until(stream, b"up")
    engine.client.post(f"/exec/{exec_id}/resize", h=31, w=101)
    assert b"31 101" in read_until(stream, b"31 101")
    stream.socket.close()


def make_exec(engine: EngineUnderTest, *command: str, **fields: object) -> str:
    body = {"Cmd": command, **fields}
    identifier: str = engine.client.post("/containers/box/exec", body)["Id"]
    return identifier


def read_until(stream: Hijacked, text: bytes = b"") -> bytes:
    """Read a raw stream until a text has come; to its end without one."""
    stream.socket.settimeout(20)
    received = stream.pending
    while not (text and text in received) and (piece := stream.socket.recv(65536)):
        received += piece
    if not text:
        stream.socket.close()
    return received


ATTACH = "POST /containers/{id}/attach"
WEB_SOCKET = "GET /containers/{id}/attach/ws"
SPEAKER = ("sh", "-c", "echo out; echo err >&2; read line; echo got $line; read line")


@shows(ATTACH, "logs", "stderr", "stdin", "stdout", "stream")
def test_attach(engine: EngineUnderTest, run: Run) -> None:
    def attach(**query: object) -> Hijacked:
        return engine.client.hijack("/containers/box/attach", query=query)

    run("box", *SPEAKER, OpenStdin=True)
    eventually(lambda: engine.docker("logs", "box").stderr)
    assert read_until(attach(logs=True, stdout=True))[8:] == b"out\n"
    assert read_until(attach(logs=True, stderr=True))[8:] == b"err\n"
    deaf = attach(stream=True, stdout=True)
    deaf.socket.sendall(b"unheard\n")
    talker = attach(stream=True, stdin=True, stdout=True)
    talker.socket.sendall(b"hello\n")
    assert read_until(talker, b"hello\n")[8:] == b"got hello\n"
    deaf.socket.close()
    talker.socket.close()


@shows(ATTACH, "detachKeys")
@shows("POST /containers/{id}/start", "detachKeys")
def test_detach_keys(engine: EngineUnderTest) -> None:
    body = {"Image": "busybox", "Cmd": ["cat"], "Tty": True, "OpenStdin": True}
    engine.client.post("/containers/create", body, name="box")
    keys = {"detachKeys": "ctrl-a,b"}
    query = {"stream": True, "stdin": True, "stdout": True, **keys}
    stream = engine.client.hijack("/containers/box/attach", query=query)
    # At a start the keys say nothing more, as with dockerd: the attached client has named its own.
    engine.client.post("/containers/box/start", **keys)
    stream.socket.sendall(b"\x01b")
    read_until(stream)
    assert engine.client.get("/containers/box/json")["State"]["Running"]


class WebSocket:
    """Just enough of RFC 6455 to talk to a container."""

    def __init__(self, engine: EngineUnderTest, **query: object) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(engine.socket)
        parameters = "&".join(f"{key}={value}" for key, value in query.items())
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET /containers/box/attach/ws?{parameters} HTTP/1.1\r\nHost: d\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        self._file = self._socket.makefile("rb")
        assert b"101" in self._file.readline()
        while self._file.readline() != b"\r\n":
            pass

    def send(self, data: bytes) -> None:
        self._socket.sendall(bytes([0x81, 0x80 | len(data)]) + b"\0\0\0\0" + data)

    def receive(self, until: bytes = b"") -> bytes:
        """Read frames until a text has come, or the close frame."""
        received = b""
        while not until or until not in received:
            head = self._file.read(2)
            if len(head) < 2 or head[0] & 0x0F == 8:
                break
            received += self._file.read(head[1])
        return received

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@shows(WEB_SOCKET, "detachKeys", "logs", "stderr", "stdin", "stdout", "stream")
def test_web_socket(engine: EngineUnderTest, run: Run) -> None:
    def said(**query: object) -> bytes:
        web_socket = WebSocket(engine, **query)
        try:
            return web_socket.receive()
        finally:
            web_socket.close()

    run("box", *SPEAKER, OpenStdin=True)
    eventually(lambda: engine.docker("logs", "box").stderr)
    assert said(logs=1, stdout=1) == b"out\n"
    assert said(logs=1, stderr=1) == b"err\n"
    talker = WebSocket(engine, stream=1, stdin=1, stdout=1)
    talker.send(b"hello\n")
    assert talker.receive(b"hello\n") == b"got hello\n"
    talker.close()
    engine.client.delete("/containers/box", force=True)
    run("box", "cat", Tty=True, OpenStdin=True)
    leaver = WebSocket(engine, stream=1, stdin=1, stdout=1, detachKeys="ctrl-a")
    leaver.send(b"\x01")
    leaver.receive()
    leaver.close()
    assert engine.client.get("/containers/box/json")["State"]["Running"]


STUBBORN = "trap 'echo usr1; exit 9' USR1; trap '' TERM; echo up; while :; do sleep 0.05; done"


@shows("POST /containers/{id}/stop", "signal", "t")
@shows("POST /containers/{id}/restart", "signal", "t")
@shows("POST /containers/{id}/kill", "signal")
def test_signals_and_timeouts(engine: EngineUnderTest) -> None:
    body = {"Image": "busybox", "Cmd": ["sh", "-c", STUBBORN], "StopTimeout": 600}
    engine.client.post("/containers/create", body, name="box")

    def started() -> None:
        engine.client.post("/containers/box/start")

    def ups(count: int) -> None:
        eventually(lambda: engine.docker("logs", "box").stdout.count("up\n") == count)

    def exit_code() -> int:
        engine.client.post("/containers/box/wait")
        code: int = engine.client.get("/containers/box/json")["State"]["ExitCode"]
        return code

    started()
    ups(1)
    engine.client.post("/containers/box/restart", signal="USR1")
    assert "usr1" in engine.docker("logs", "box").stdout
    ups(2)
    engine.client.post("/containers/box/restart", t=0)
    ups(3)
    engine.client.post("/containers/box/stop", signal="USR1")
    assert exit_code() == 9
    started()
    ups(4)
    engine.client.post("/containers/box/stop", t=0)
    assert exit_code() == 137
    started()
    ups(5)
    engine.client.post("/containers/box/kill", signal="SIGUSR1")
    assert exit_code() == 9


@shows("POST /containers/{id}/wait", "condition")
def test_wait(engine: EngineUnderTest, run: Run) -> None:
    run("box", "sh", "-c", "exit 3")

    def waiter(condition: str) -> Iterator[Any]:
        """Begin to wait; the answer has begun, so the engine knows."""
        response = engine.client.request(
            "POST", "/containers/box/wait", query={"condition": condition}
        )
        return response.documents()

    assert next(waiter("not-running"))["StatusCode"] == 3
    next_exit, removed = waiter("next-exit"), waiter("removed")
    engine.client.post("/containers/box/start")
    assert next(next_exit)["StatusCode"] == 3
    engine.client.delete("/containers/box")
    assert next(removed)["StatusCode"] == 3
    with pytest.raises(ApiError, match='invalid condition: "never"'):
        waiter("never")


@shows("DELETE /containers/{id}", "force", "link", "v")
def test_delete(engine: EngineUnderTest, run: Run) -> None:
    client = engine.client
    volumes = []
    for name in ("keeps", "takes"):
        run(name, Volumes={"/anonymous": {}})
        volumes.append(client.get(f"/containers/{name}/json")["Mounts"][0]["Name"])
    with pytest.raises(ApiError, match="stop the container before removing or force remove"):
        client.delete("/containers/keeps")
    client.delete("/containers/keeps", force=True)
    client.delete("/containers/takes", force=True, v=True)
    left = [volume["Name"] for volume in client.get("/volumes")["Volumes"]]
    assert left == volumes[:1]
    client.delete(f"/volumes/{volumes[0]}")
    run("db")
    run("web", HostConfig={"Links": ["db:alias"]})
    client.delete("/containers/web/alias", link=True)
    assert client.get("/containers/web/json")["HostConfig"]["Links"] is None


ARCHIVE = "/containers/box/archive"


@shows("PUT /containers/{id}/archive", "copyUIDGID", "noOverwriteDirNonDir", "path")
@shows("GET /containers/{id}/archive", "path")
@shows("HEAD /containers/{id}/archive", "path")
def test_archive(engine: EngineUnderTest, run: Run) -> None:
    run("box", User="33:29")
    entry, data = tars.file("mine", b"content")
    entry.uid, entry.gid = 5, 6
    tar = tars.build([(entry, data)])

    def put(tar: bytes, **query: object) -> None:
        headers = {"Content-Type": "application/x-tar"}
        request = engine.client.request
        request("PUT", ARCHIVE, query={"path": "/tmp", **query}, body=tar, headers=headers).close()

    def owner() -> str:
        return engine.docker("exec", "box", "stat", "-c", "%u:%g", "/tmp/mine").stdout

    put(tar)
    assert owner() == "5:6\n"
    put(tar, copyUIDGID=True)
    assert owner() == "33:29\n"
    over = tars.build([tars.file("tmp", b"no directory")])
    with pytest.raises(ApiError, match="cannot overwrite directory"):
        put(over, path="/", noOverwriteDirNonDir=True)
    for method in ("GET", "HEAD"):
        got = engine.client.request(method, ARCHIVE, query={"path": "/tmp/mine"})
        stat = json.loads(base64.b64decode(got.headers["x-docker-container-path-stat"]))
        assert (stat["name"], stat["size"]) == ("mine", 7)
        got.close()


@shows("POST /containers/prune", "filters")
def test_prune(engine: EngineUnderTest) -> None:
    for name in ("one", "two"):
        body = {"Image": "busybox", "Labels": {"l": name}}
        engine.client.post("/containers/create", body, name=name)
    engine.client.post("/containers/prune", filters=json.dumps({"label": ["l=one"]}))
    assert names(engine.client.get("/containers/json", all=True)) == ["/two"]


EVENTS = "GET /events"


@shows("POST /commit", "author", "changes", "comment", "container", "pause", "repo", "tag")
@shows(EVENTS, "filters", "since", "until")
def test_commit_and_events(engine: EngineUnderTest, run: Run) -> None:
    identifier = run("box")
    began = time.time()
    query = {"container": "box", "repo": "made", "author": "me", "comment": "why"}
    for tag, pause in (("one", True), ("two", False)):
        changes = ["ENV A=1", "USER 7"]
        engine.client.post("/commit", {}, tag=tag, pause=pause, changes=changes, **query)
    image = engine.client.get("/images/made:two/json")
    assert (image["Author"], image["Comment"]) == ("me", "why")
    assert image["Config"]["User"] == "7"
    assert "A=1" in image["Config"]["Env"]

    def actions(since: float, until: float, **filters: list[str]) -> list[str]:
        answer = engine.client.request(
            "GET",
            "/events",
            query={"since": since, "until": until, "filters": json.dumps(filters)},
        )
        return [event["Action"] for event in answer.documents()]

    ended = time.time()
    container = {"type": ["container"], "container": [identifier]}
    assert actions(began, ended, **container) == ["pause", "unpause", "commit", "commit"]
    assert actions(began, ended, **container, event=["pause"]) == ["pause"]
    assert actions(0, began, **container) == ["create", "start"]
    engine.docker("rmi", "made:one", "made:two")


@shows("GET /system/df", "type", "verbose")
def test_disk_usage(engine: EngineUnderTest, run: Run) -> None:
    run("box")
    found = engine.client.get("/system/df", type=["container"])
    assert found["ContainerUsage"]["TotalCount"] == 1
    assert "ImageUsage" not in found
    assert not found["ContainerUsage"].get("Items")
    found = engine.client.get("/system/df", type=["container", "image"], verbose=True)
    assert [item["Names"] for item in found["ContainerUsage"]["Items"]] == [["/box"]]
    assert found["ImageUsage"]["TotalCount"] == 1


EXEC_FIELDS = {
    *("AttachStdin", "AttachStdout", "AttachStderr", "ConsoleSize", "DetachKeys", "Tty", "Env"),
    *("Cmd", "Privileged", "User", "WorkingDir"),
}


def test_every_field_of_an_exec(engine: EngineUnderTest, run: Run) -> None:
    run("box")
    shown: set[str] = set()

    def execute(*command: str, sent: bytes = b"", **fields: Any) -> bytes:
        shown.update(("Cmd", *fields))
        body = {"Tty": True} if fields.get("Tty") else {}
        path = f"/exec/{make_exec(engine, *command, **fields)}/start"
        stream = engine.client.hijack(path, body=body)
        stream.socket.sendall(sent)
        received = read_until(stream)
        return unframed(received) if stream.multiplexed else received

    out: dict[str, Any] = {"AttachStdout": True}
    script = "echo $A; id -u; pwd; grep CapEff /proc/self/status"
    plain = execute("sh", "-c", script, **out, Env=["A=1"], User="33", WorkingDir="/etc")
    assert plain == b"1\n33\n/etc\nCapEff:\t0000000000000000\n"
    powers = execute("grep", "CapEff", "/proc/self/status", **out, Privileged=True)
    assert int(powers.split()[-1], 16) & 1 << 21, "SYS_ADMIN"
    assert execute("stty", "size", **out, Tty=True, ConsoleSize=[33, 99]) == b"33 99\r\n"
    assert execute("sh", "-c", "echo 1; echo 2 >&2", AttachStderr=True) == b"2\n"
    keys = {"Tty": True, "DetachKeys": "ctrl-a"}
    assert execute("cat", sent=b"\x01", AttachStdin=True, **out, **keys) == b""
    assert shown == EXEC_FIELDS
    detached = make_exec(engine, "touch", "/made")
    engine.client.post(f"/exec/{detached}/start", {"Detach": True})
    eventually(lambda: not engine.client.get(f"/exec/{detached}/json")["Running"])
    assert engine.client.get(f"/exec/{detached}/json")["ExitCode"] == 0
