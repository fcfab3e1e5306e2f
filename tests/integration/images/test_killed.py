"""SIGKILL at a hundred moments of pull, push, build, load, import, squash and prune."""

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random

import pytest

from support.engine import EngineUnderTest
from support.images import busybox_layer, docker_archive
from support.killing import Attempt, KillLoop, Operation
from support.registry import Registry

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

PIECE = 1_500_000


@pytest.fixture(scope="module")
def registry(killable_engine: EngineUnderTest) -> Iterator[Registry]:
    """Return a registry of Debian's beside the engine."""
    registry = Registry(killable_engine.host)
    yield registry
    registry.close()


def layer(number: int) -> bytes:
    """Return a tar of what does not compress, so that a transfer takes its time."""
    return tar_of({f"data{number}/{n}": Random(number * 9 + n).randbytes(PIECE) for n in range(2)})


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture(scope="module")
def pullable(killable_engine: EngineUnderTest, registry: Registry, archives: Path) -> str:
    """Return the name of an image that is in the registry but not in the engine."""
    name = f"{registry.address}/pullable"
    archive = archives / "pull.tar"
    docker_archive(archive, f"{name}:latest", [busybox_layer(), layer(1), layer(2)])
    killable_engine.docker("load", "-q", "-i", str(archive))
    killable_engine.docker("push", "-q", name)
    killable_engine.docker("rmi", name)
    return name


@pytest.fixture(scope="module")
def local(killable_engine: EngineUnderTest, archives: Path) -> str:
    """Return the name of an image in the engine, of two layers more than busybox has."""
    archive = archives / "local.tar"
    layers = [busybox_layer(), layer(3), tar_of({"data3/0": b"replaced", "note": b"x"})]
    docker_archive(archive, "local:latest", layers)
    killable_engine.docker("load", "-q", "-i", str(archive))
    return "local:latest"


def stream(attempt: Attempt, path: str, **request: object) -> list[dict]:
    """Send a request and read its whole stream; an error in it is one."""
    with closing(attempt.client.request("POST", path, **request)) as response:
        messages = list(response.documents())
    errors = [m["error"] for m in messages if "error" in m]
    if errors:
        raise OSError(errors[0])
    return messages


def pull(name: str, attempt: Attempt) -> None:
    stream(attempt, "/images/create", query={"fromImage": name, "tag": "latest"})


def pulled(name: str, attempt: Attempt) -> None:
    """Pull again, which resumes: the image is then whole and runs."""
    pull(name, attempt)
    attempt.client.post("/containers/create", {"Image": name, "Cmd": ["true"]}, name=attempt.name)
    attempt.client.post(f"/containers/{attempt.name}/start")


def tag(local: str, registry: Registry, attempt: Attempt) -> None:
    repo = f"{registry.address}/{attempt.name}"
    attempt.client.request("POST", f"/images/{local}/tag", query={"repo": repo}).close()


def push(registry: Registry, attempt: Attempt) -> None:
    name = f"{registry.address}/{attempt.name}"
    stream(attempt, f"/images/{name}/push", query={"tag": "latest"}, headers={})


def untag(registry: Registry, attempt: Attempt) -> None:
    push(registry, attempt)  # whatever arrived before, this makes it whole
    attempt.client.delete(f"/images/{registry.address}/{attempt.name}")


def load(archive: bytes, attempt: Attempt) -> None:
    stream(attempt, "/images/load", body=archive)


def import_(tar: bytes, attempt: Attempt) -> None:
    stream(attempt, "/images/create", query={"fromSrc": "-", "repo": attempt.name}, body=tar)


def squash(local: str, attempt: Attempt) -> None:
    body = {"Image": local, "Keep": "busybox", "Name": attempt.name}
    stream(attempt, "/cutaway/images/squash", body=body)


def build(attempt: Attempt) -> None:
    dockerfile = f"FROM busybox\nRUN echo {attempt.name} >/a\nCOPY data /data\n"
    context = tar_of({"Dockerfile": dockerfile.encode(), "data": Random(7).randbytes(PIECE)})
    query = {"t": attempt.name}
    stream(
        attempt, "/build", query=query, body=context, headers={"Content-Type": "application/x-tar"}
    )


def leave_something(tar: bytes, attempt: Attempt) -> None:
    """Make an image without a name, for prune to find."""
    stream(attempt, "/images/create", query={"fromSrc": "-"}, body=tar)


def prune(attempt: Attempt) -> None:
    filters = json.dumps({"dangling": ["true"]})
    attempt.client.request("POST", "/images/prune", query={"filters": filters}).close()


def prune_builds(attempt: Attempt) -> None:
    attempt.client.request("POST", "/build/prune", query={"all": "true"}).close()


def test_killed_at_a_hundred_moments_the_store_is_sound_and_the_next_run_resumes(
    killable_engine: EngineUnderTest, registry: Registry, pullable: str, local: str, archives: Path
) -> None:
    archive = archives / "loaded.tar"
    docker_archive(archive, "loaded:latest", [busybox_layer(), layer(4)])
    tar = tar_of({"data": Random(5).randbytes(2 * PIECE)})
    operations = (
        Operation("pull", act=partial(pull, pullable), check=partial(pulled, pullable)),
        Operation(
            "push",
            prepare=partial(tag, local, registry),
            act=partial(push, registry),
            restore=partial(untag, registry),
        ),
        Operation("build", act=build, restore=prune_builds),
        Operation("load", act=partial(load, archive.read_bytes())),
        Operation("import", act=partial(import_, tar)),
        Operation("squash", act=partial(squash, local)),
        Operation("prune", prepare=partial(leave_something, tar), act=prune, restore=prune),
    )
    loop = KillLoop(killable_engine, seed=4)
    loop.run(operations, kills=100)
    assert loop.killed == {"engine": 100}
