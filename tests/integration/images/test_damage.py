"""The engine starts whatever is damaged, says what, and a re-pull heals it."""

import json
import os
from pathlib import Path

import pytest

from support.images import busybox_layer, docker_archive
from support.registry import Registry


@pytest.fixture(scope="module")
def registry(killable_engine):
    registry = Registry(killable_engine.host)
    yield registry
    registry.close()


@pytest.fixture
def name(killable_engine, registry, archives: Path) -> str:
    """The name of an image that is here and in a registry."""
    engine = killable_engine
    name = f"{registry.address}/app:latest"
    docker_archive(archives / "app.tar", name, [busybox_layer(), b"\0" * 1024])
    engine.docker("load", "-q", "-i", str(archives / "app.tar"))
    engine.docker("push", "-q", name)
    engine.docker("rmi", name)
    engine.docker("pull", "-q", name)
    return name


def blobs(engine) -> Path:
    return engine.data_root / "images" / "blobs" / "sha256"


def overwrite(path: Path, data: bytes = b"rubbish") -> None:
    path.chmod(0o600)
    path.write_bytes(data)


def restart(engine) -> None:
    engine.stop()
    engine.start()
    assert "Traceback" not in engine.log.read_text()


@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
def test_a_damaged_blob_is_told_set_aside_and_healed_by_a_pull(killable_engine, name, part) -> None:
    engine = killable_engine
    found = engine.client.get(f"/images/{name}/json")
    digests = {"manifest": found["Descriptor"]["digest"], "config": found["Id"]}
    manifest = json.loads((blobs(engine) / digests["manifest"][7:]).read_bytes())
    digests["layer"] = manifest["layers"][0]["digest"]
    overwrite(blobs(engine) / digests[part][7:])
    restart(engine)
    assert engine.docker("images", "-q").returncode == 0
    told = engine.cutaway("system", "check", check=False)
    assert told.returncode == 1
    assert f"DAMAGED  {digests[part]}" in told.stdout
    assert f"pull {name}" in told.stdout or part != "layer"  # what to do
    assert os.listdir(engine.data_root / "images" / "quarantine")
    engine.docker("pull", "-q", name)
    assert engine.docker("run", "--rm", name, "echo", "healed").stdout == "healed\n"
    engine.docker("rmi", "-f", name)


@pytest.mark.parametrize(
    "place",
    ["engine.db", "images/index.json", "images/oci-layout", "images/tag-history.jsonl",
     "engine-id.json"],
)  # fmt: skip
def test_the_engine_starts_with_a_damaged_file(killable_engine, name, place) -> None:
    engine = killable_engine
    engine.stop()
    path = engine.data_root / place
    if path.exists():
        overwrite(path, b"\x00rubbish\xff" * 500)
    engine.start()
    assert "Traceback" not in engine.log.read_text()
    engine.docker("pull", "-q", name)
    assert engine.docker("run", "--rm", name, "echo", "well").stdout == "well\n"


def test_the_engine_starts_with_directories_gone_or_full_of_rubbish(killable_engine, name) -> None:
    engine = killable_engine
    engine.stop()
    root = engine.data_root
    for place in ("snapshots", "images/blobs/sha256", "images/ingest", "containers", "volumes"):
        (root / place).mkdir(exist_ok=True)
        (root / place / "rubbish").write_bytes(b"x")
        (root / place / "0123").mkdir(exist_ok=True)
    for path in (root / "snapshots").glob("*/fs"):
        engine.host.run("rm", "-rf", str(path))
    engine.start()
    assert "Traceback" not in engine.log.read_text()
    engine.docker("images")
    engine.docker("rmi", "-f", name, check=False)
    engine.docker("pull", "-q", name)
    assert engine.docker("run", "--rm", name, "echo", "well").stdout == "well\n"
