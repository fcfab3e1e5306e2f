"""SIGKILL at thirty random moments of create, start, run, stop, rm, pull and load."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from support.engine import EngineUnderTest
from support.images import busybox_layer, docker_archive
from support.killing import Attempt, KillLoop, Operation
from support.registry import Registry

_SLEEPER = {"Image": "busybox", "Cmd": ["sleep", "60"], "StopSignal": "SIGKILL"}
_PUBLISHED = {
    "Image": "busybox",
    "Cmd": ["true"],
    "HostConfig": {"AutoRemove": True, "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}},
}


@pytest.fixture(scope="module")
def pullable(module_engine: EngineUnderTest, archives: Path) -> Iterator[str]:
    """Return the name of an image that is in a registry but not in the engine."""
    registry = Registry(module_engine.host)
    try:
        archive = archives / "pullable.tar"
        name = f"{registry.address}/pullable:latest"
        docker_archive(archive, name, [busybox_layer(), b"\0" * 1024])
        module_engine.docker("load", "-q", "-i", str(archive))
        module_engine.docker("push", "-q", name)
        module_engine.docker("rmi", name)
        yield name
    finally:
        registry.close()


@pytest.fixture(scope="module")
def loadable(archives: Path) -> bytes:
    """Return an archive of an image that the engine does not have."""
    archive = archives / "loadable.tar"
    layers = [busybox_layer(), b"\0" * 10240]
    docker_archive(archive, "loadable:latest", layers, {"Labels": {"for": "load"}})
    return archive.read_bytes()


def create(attempt: Attempt) -> None:
    attempt.client.post("/containers/create", _SLEEPER, name=attempt.name)


def start(attempt: Attempt) -> None:
    attempt.client.post(f"/containers/{attempt.name}/start")


def create_and_start(attempt: Attempt) -> None:
    create(attempt)
    start(attempt)


def run(attempt: Attempt) -> None:
    """Do what ``docker run --rm -p 8080:80 busybox true`` does, but for the output."""
    attempt.client.post("/containers/create", _PUBLISHED, name=attempt.name)
    path = f"/containers/{attempt.name}/wait"
    waiting = attempt.client.request("POST", path, query={"condition": "removed"})
    with closing(waiting):
        start(attempt)
        waiting.read()


def stop(attempt: Attempt) -> None:
    attempt.client.post(f"/containers/{attempt.name}/stop")


def remove(attempt: Attempt) -> None:
    attempt.client.delete(f"/containers/{attempt.name}", force=True)


def pull(name: str, attempt: Attempt) -> None:
    repository, _, tag = name.rpartition(":")
    query = {"fromImage": repository, "tag": tag}
    list(attempt.client.request("POST", "/images/create", query=query).documents())


def load(archive: bytes, attempt: Attempt) -> None:
    list(attempt.client.request("POST", "/images/load", body=archive).documents())


def test_killed_at_thirty_moments_it_is_back_at_once_and_nothing_is_left(
    module_engine: EngineUnderTest, pullable: str, loadable: bytes
) -> None:
    operations = (
        Operation("create", act=create),
        Operation("start", prepare=create, act=start),
        Operation("run", act=run),
        Operation("stop", prepare=create_and_start, act=stop),
        Operation("rm", prepare=create_and_start, act=remove),
        Operation("pull", act=partial(pull, pullable)),
        Operation("load", act=partial(load, loadable)),
    )
    loop = KillLoop(module_engine, seed=20261124)
    loop.run(operations, kills=30)
    assert loop.killed == {"engine": 30}


@pytest.mark.parametrize("victim", ["launcher", "shim", "maker"])
def test_a_helper_killed_at_any_moment_is_noticed_at_once_and_leaves_nothing(
    killable_engine: EngineUnderTest, victim: str
) -> None:
    """No request hangs: it succeeds, or says that the helper was killed."""
    operations = (
        Operation("start", prepare=create, act=start),
        Operation("run", act=run),
        Operation("rm", prepare=create_and_start, act=remove),
    )
    loop = KillLoop(killable_engine, seed=14, victims=(victim,))
    loop.run(operations, kills=30)
    assert loop.killed[victim] > 15
