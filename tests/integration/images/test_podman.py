"""Podman, another implementation of it all: it reads what we push and our store, we its push."""

import json
import shutil

import pytest

from support.images import busybox_archive
from support.registry import Registry

pytestmark = pytest.mark.skipif(not shutil.which("podman"), reason="no podman")


@pytest.fixture(scope="module")
def registry(module_engine):
    registry = Registry(module_engine.host)
    yield registry
    registry.close()


@pytest.fixture
def podman(engine):
    """Run podman beside the engine, with a store of its own."""

    def run(*words: str) -> str:
        place = engine.directory / "podman"  # podman wants a short path
        own = [
            "--root", f"{place}/root", "--runroot", f"{place}/run",
            "--tmpdir", f"{place}/tmp", "--storage-driver=vfs", "--events-backend=none",
            "--cgroup-manager=cgroupfs",
        ]  # fmt: skip
        return str(engine.host.run("podman", *own, *words, timeout=120).stdout)

    return run


def test_podman_reads_what_we_pushed_and_our_store_and_we_read_what_it_pushed(
    engine, registry, podman, archives
) -> None:
    ours, theirs = f"{registry.address}/ours:1", f"{registry.address}/theirs:1"
    engine.docker("load", "-q", "-i", str(busybox_archive(archives)))
    engine.docker("tag", "busybox", ours)
    engine.docker("push", "-q", ours)
    (image,) = json.loads(engine.docker("inspect", ours).stdout)

    assert f"sha256:{podman('pull', '-q', '--tls-verify=false', ours).strip()}" == image["Id"]
    store = f"oci:{engine.data_root}/images:docker.io/library/busybox:latest"
    assert f"sha256:{podman('pull', '-q', store).strip()}" == image["Id"]

    podman("tag", ours, theirs)
    podman("push", "-q", "--tls-verify=false", theirs)
    engine.docker("rmi", ours)
    engine.docker("pull", "-q", theirs)
    (again,) = json.loads(engine.docker("inspect", theirs).stdout)
    assert (again["Id"], again["RootFS"]) == (image["Id"], image["RootFS"])
    assert engine.docker("run", "--rm", theirs, "echo", "read").stdout == "read\n"
