"""SIGKILLs under attached clients, execs, health checks: no output, status or restart is lost."""

import io
import os
import re
import socket
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import pytest

from cutaway.errors import CutawayError
from support.engine import EngineUnderTest
from support.killing import Attempt, KillLoop, Operation
from support.waiting import eventually

pytestmark = pytest.mark.long

COUNT = "i=0; while :; do echo {} $i; i=$((i+1)); usleep 3000; done"
HEALTH = {"Test": ["CMD", "true"], "Interval": 20_000_000, "Retries": 1}


class Listener:
    """A client that reads a raw stream to its end, in a thread."""

    def __init__(self, connection: socket.socket, begun: bytes) -> None:
        self._connection = connection
        self._received = [begun]
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with closing(self._connection):
            while chunk := self._connection.recv(65536):
                self._received.append(chunk)

    def text(self) -> str:
        """What has come so far; the container has a terminal, so there are no frames."""
        return b"".join(self._received).decode().replace("\r\n", "\n")

    def end(self) -> str:
        """Wait for the end of the stream, and return all of it."""
        self._thread.join(15)
        assert not self._thread.is_alive(), "the client's stream did not end"
        return self.text()


class Scene:
    """A container that counts aloud, watched by an attached client, an exec and a health check."""

    def __init__(self, attempt: Attempt) -> None:
        client = attempt.client
        self.engine = attempt.engine
        command = ["sh", "-c", COUNT.format("main")]
        body = {"Image": "busybox", "Cmd": command, "Tty": True, "Healthcheck": HEALTH,
                "StopSignal": "SIGKILL"}  # fmt: skip
        self.id: str = client.post("/containers/create", body, name=attempt.name)["Id"]
        query = {"stream": True, "stdout": True, "stderr": True}
        attached = client.hijack(f"/containers/{self.id}/attach", query=query)
        self.attached = Listener(attached.socket, attached.pending)
        client.post(f"/containers/{self.id}/start")
        words = ["sh", "-c", COUNT.format("exec")]
        wish = {"Cmd": words, "Tty": True, "AttachStdout": True, "AttachStderr": True}
        self.exec_id: str = client.post(f"/containers/{self.id}/exec", wish)["Id"]
        joined = client.hijack(f"/exec/{self.exec_id}/start", body={"Tty": True})
        self.exec = Listener(joined.socket, joined.pending)
        eventually(lambda: self.attached.text() and self.exec.text())
        self.pid = self.state()["Pid"]

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.engine.client.get(f"/containers/{self.id}/json")["State"]
        return found

    def logs(self) -> str:
        path = f"/containers/{self.id}/logs"
        answer = self.engine.client.request("GET", path, query={"stdout": True, "stderr": True})
        return answer.read().decode().replace("\r\n", "\n")

    def require_life(self) -> None:
        """The same process runs, its clients get what it says now, and its checks go on."""
        state = self.state()
        assert (state["Running"], state["Pid"]) == (True, self.pid), state
        for listener in (self.attached, self.exec):
            known = len(listener.text())
            eventually(lambda known=known, listener=listener: len(listener.text()) > known)  # type: ignore[misc]
        assert self.engine.client.get(f"/exec/{self.exec_id}/json")["Running"]
        eventually(lambda: self.state()["Health"]["Status"] == "healthy")

    def end(self) -> None:
        """End it, and compare what its clients got and what the log has with what was said."""
        with suppress(CutawayError):  # it has ended already
            self.engine.client.post(f"/containers/{self.id}/kill")
        eventually(lambda: self.state()["Status"] == "exited")
        heard, logged = self.attached.end(), self.logs()
        require_count(logged, "main")
        assert logged.startswith(heard) or heard.startswith(logged)
        assert abs(len(logged) - len(heard)) < 16  # the half line that SIGKILL cut off
        require_count(self.exec.end(), "exec")


def require_count(text: str, word: str) -> None:
    """Every number from 0 on is there once, in order."""
    whole = text[: text.rfind("\n") + 1]
    numbers = [int(n) for n in re.findall(rf"^{word} (\d+)$", whole, re.MULTILINE)]
    assert numbers == list(range(len(numbers))), text
    assert whole.count("\n") == len(numbers), text


SCENES: dict[str, Scene] = {}


def set_scene(attempt: Attempt) -> None:
    SCENES[attempt.name] = Scene(attempt)


def post(path: str, body: Any = None, **query: object) -> Callable[[Attempt], object]:
    """Return the act of a request about the scene's container."""

    def act(attempt: Attempt) -> None:
        scene = SCENES[attempt.name]
        attempt.client.post(f"/containers/{scene.id}/{path}", body, **query)

    return act


def pause_and_unpause(attempt: Attempt) -> None:
    post("pause")(attempt)
    post("unpause")(attempt)


def rename(attempt: Attempt) -> None:
    post("rename", name=f"{attempt.name}-renamed")(attempt)


def read(*paths: str) -> Callable[[Attempt], object]:
    def act(attempt: Attempt) -> None:
        for path in paths:
            attempt.client.get(f"/containers/{SCENES[attempt.name].id}/{path}")

    return act


def require(condition: bool) -> None:
    """Fail as an operation does: it is let go when the operation was cut."""
    if not condition:
        raise ValueError("the answer is not the one that was to come")


def another_exec(attempt: Attempt) -> None:
    wish = {"Cmd": ["sh", "-c", "echo hi; exit 3"], "AttachStdout": True}
    made = attempt.client.post(f"/containers/{SCENES[attempt.name].id}/exec", wish)
    with closing(attempt.client.request("POST", f"/exec/{made['Id']}/start", body={})) as answer:
        require(b"hi\n" in answer.read())
    eventually(lambda: attempt.client.get(f"/exec/{made['Id']}/json")["ExitCode"] == 3)


def copy_in_and_commit(attempt: Attempt) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("new"))
    path = f"/containers/{SCENES[attempt.name].id}/archive"
    query = {"path": "/tmp"}
    attempt.client.request("PUT", path, query=query, body=out.getvalue()).close()
    attempt.client.post("/commit", {}, container=SCENES[attempt.name].id)


def require_life(attempt: Attempt) -> None:
    scene = SCENES[attempt.name]
    with suppress(CutawayError):  # it was not paused
        attempt.client.post(f"/containers/{scene.id}/unpause")
    scene.require_life()


def end(attempt: Attempt) -> None:
    SCENES.pop(attempt.name).end()


def require_new_run_or_end(attempt: Attempt) -> None:
    """After a cut restart it runs, or it has ended and says by what."""
    state = SCENES[attempt.name].state()
    assert state["Running"] or state["EndedBy"]["By"] == "stop", state


def end_restarted(attempt: Attempt) -> None:
    scene = SCENES.pop(attempt.name)
    attempt.client.delete(f"/containers/{scene.id}", force=True)
    heard = scene.attached.end()
    require_count(
        heard[: heard.rfind("main 0\n")] if heard.count("main 0\n") > 1 else heard, "main"
    )
    require_count(scene.exec.end(), "exec")


def exit_with_7(attempt: Attempt) -> None:
    path = f"/containers/{attempt.name}"
    with closing(
        attempt.client.request("POST", f"{path}/wait", query={"condition": "next-exit"})
    ) as w:
        attempt.client.post(f"{path}/start")
        assert w.json()["StatusCode"] == 7


def create_brief(attempt: Attempt) -> None:
    body = {"Image": "busybox", "Cmd": ["sh", "-c", "echo said; exit 7"]}
    attempt.client.post("/containers/create", body, name=attempt.name)


def require_its_status(attempt: Attempt) -> None:
    def is_known() -> bool:
        state = attempt.client.get(f"/containers/{attempt.name}/json")["State"]
        if state["Status"] == "created":
            return True  # killed before its start, or the start was taken back
        return (state["Status"], state["ExitCode"]) == ("exited", 7)

    eventually(is_known)
    shown = attempt.engine.docker("logs", attempt.name).stdout
    state = attempt.client.get(f"/containers/{attempt.name}/json")["State"]
    assert shown == ("said\n" if state["Status"] == "exited" else "")


def create_again_and_again(attempt: Attempt) -> None:
    policy = {"Name": "on-failure", "MaximumRetryCount": 2}
    body = {
        "Image": "busybox",
        "Cmd": ["sh", "-c", "echo run; exit 1"],
        "Labels": {"com.cutaway.restart-delay": "20ms"},
        "HostConfig": {"RestartPolicy": policy},
    }
    attempt.client.post("/containers/create", body, name=attempt.name)
    attempt.client.post(f"/containers/{attempt.name}/start")


def wait_for_restarts(attempt: Attempt) -> None:
    def is_over() -> bool:
        shown = attempt.client.get(f"/containers/{attempt.name}/json")
        return bool(shown["State"]["Status"] == "exited")

    eventually(is_over)


def require_all_restarts(attempt: Attempt) -> None:
    wait_for_restarts(attempt)
    shown = attempt.client.get(f"/containers/{attempt.name}/json")
    assert (shown["RestartCount"], shown["State"]["ExitCode"]) == (2, 1)
    assert attempt.engine.docker("logs", attempt.name).stdout == "run\n" * 3


def alive(name: str, act: Callable[[Attempt], object]) -> Operation:
    """An operation that its container outlives."""
    return Operation(name, prepare=set_scene, act=act, check=require_life, restore=end)


OPERATIONS = (
    alive("exec", another_exec),
    alive("pause, unpause", pause_and_unpause),
    alive("rename", rename),
    alive("update", post("update", {"Memory": 64 << 20, "MemorySwap": 64 << 20})),
    alive("top, stats, changes", read("top", "changes", "stats?stream=false&one-shot=true")),
    alive("cp, commit", copy_in_and_commit),
    Operation("stop", prepare=set_scene, act=post("stop"), restore=end),
    Operation("kill", prepare=set_scene, act=post("kill"), restore=end),
    Operation(
        "restart", prepare=set_scene, act=post("restart"), check=require_new_run_or_end,
        restore=end_restarted,
    ),
    Operation("exit", prepare=create_brief, act=exit_with_7, check=require_its_status),
    Operation(
        "restart policy", prepare=create_again_and_again, act=wait_for_restarts,
        check=require_all_restarts,
    ),
)  # fmt: skip


@pytest.mark.timeout(600)
def test_300_sigkills_of_the_engine_lose_nothing(killable_engine: EngineUnderTest) -> None:
    loop = KillLoop(killable_engine, seed=3)
    loop.run(OPERATIONS, kills=300)
    assert loop.killed == {"engine": 300}


def set_two_scenes(attempt: Attempt) -> None:
    set_scene(attempt)
    body = {"Image": "busybox", "Cmd": ["sleep", "600"], "StopSignal": "SIGKILL"}
    attempt.client.post("/containers/create", body, name=f"{attempt.name}-other")
    attempt.client.post(f"/containers/{attempt.name}-other/start")


def require_one_loss_at_most(attempt: Attempt) -> None:
    """A container runs as before, or it is lost with its shim, and that is what it says."""
    lost = 0
    for name in (SCENES[attempt.name].id, f"{attempt.name}-other"):

        def is_settled(name: str = name) -> bool:
            state = attempt.client.get(f"/containers/{name}/json")["State"]
            return os.path.exists(f"/proc/{state['Pid']}/ns/pid") or state["Status"] == "exited"

        eventually(is_settled)
        state = attempt.client.get(f"/containers/{name}/json")["State"]
        if not state["Running"]:
            assert (state["EndedBy"]["By"], state["ExitCode"]) == ("shim", 137), state
            lost += 1
    assert lost <= 1
    attempt.client.get("/containers/json", all=True)


def end_or_remove(attempt: Attempt) -> None:
    scene = SCENES.pop(attempt.name)
    attempt.client.delete(f"/containers/{scene.id}", force=True)
    for listener, word in ((scene.attached, "main"), (scene.exec, "exec")):
        require_count(listener.end(), word)


@pytest.mark.parametrize("victims", [("shim", "keeper"), ("launcher", "template")])
def test_a_killed_shim_loses_its_container_only_and_a_killed_launcher_none(
    killable_engine: EngineUnderTest, victims: tuple[str, ...]
) -> None:
    operations = tuple(
        Operation(
            operation.name, prepare=set_two_scenes, act=operation.act,
            check=require_one_loss_at_most if "shim" in victims else require_life,
            restore=end_or_remove,
        )
        for operation in OPERATIONS[:6]
    )  # fmt: skip
    loop = KillLoop(killable_engine, seed=4, victims=victims)
    loop.run(operations, kills=24)
    assert sum(loop.killed.values()) == 24
