"""The build cache between machines: in a registry, in a directory, and what may be believed."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.cli import Cli
from support.engine import EngineUnderTest
from support.images import busybox_archive
from support.registry import Registry

DOCKERFILE = """\
FROM busybox AS tools
RUN echo tool > /tool
FROM busybox
COPY f /f
COPY --from=tools /tool /tool
RUN --mount=type=cache,id=kept,target=/c date >> /c/log; cat /f /tool > /made
"""


@pytest.fixture
def registry(engine: EngineUnderTest) -> Iterator[Registry]:
    registry = Registry(engine.host)
    yield registry
    registry.close()


@pytest.fixture(scope="module")
def other_engine(module_engine: EngineUnderTest, archives: Path) -> Iterator[EngineUnderTest]:
    other = EngineUnderTest(host=module_engine.host).start()
    try:
        other.docker("load", "-q", "-i", str(busybox_archive(archives)))
        yield other
    finally:
        other.close()


@pytest.fixture
def elsewhere(other_engine: EngineUnderTest) -> Iterator[Cli]:
    """Another machine: an engine with nothing but the base image, in the same network."""
    yield Cli("cutaway", other_engine)
    forget(Cli("cutaway", other_engine))


@pytest.fixture
def source(tmp_path: Path) -> str:
    directory = tmp_path / "context"
    directory.mkdir()
    (directory / "Dockerfile").write_text(DOCKERFILE)
    (directory / "f").write_text("file\n")
    return str(directory)


def build(cutaway: Cli, *words: str) -> str:
    return cutaway("build", "--progress", "plain", "-t", "made", *words)


def claims(cutaway: Cli) -> list[str]:
    """Return what the engine keeps of what other machines say."""
    usage = cutaway.engine.client.get("/system/df", verbose=True)["BuildCacheUsage"]
    return [
        item["Description"] for item in usage.get("Items", ()) if "(says " in item["Description"]
    ]


def blobs(cutaway: Cli) -> int:
    return len(list((cutaway.engine.data_root / "images/blobs/sha256").iterdir()))


def forget(cutaway: Cli) -> None:
    cutaway("rmi", "-f", "made")
    cutaway("builder", "prune", "-a", "-f")


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_registry_carries_the_steps_from_machine_to_machine(
    cutaway, elsewhere, registry, source, mode
):
    name = f"{registry.address}/cache:{mode}"
    build(cutaway, "--cache-to", f"type=registry,ref={name},mode={mode}", source)
    assert build(elsewhere, source).count("CACHED") == 0
    forget(elsewhere)
    told = build(elsewhere, "--explain", "--cache-from", f"type=registry,ref={name}", source)
    # The step of another stage is only in a cache of all stages.
    assert told.count("CACHED") == (4 if mode == "max" else 3)
    assert f"why: done elsewhere, says {name}" in told
    assert elsewhere("run", "--rm", "made", "cat", "/made") == "file\ntool\n"


def test_a_directory_carries_the_steps_and_skopeo_reads_it(
    engine, cutaway, elsewhere, source, tmp_path
):
    place = tmp_path / "cache"
    build(cutaway, "--cache-to", f"type=local,dest={place},mode=max", source)
    raw = engine.host.run("skopeo", "inspect", "--raw", f"oci:{place}").stdout
    assert json.loads(raw)["artifactType"] == "application/vnd.cutaway.buildcache.v1"
    told = build(elsewhere, "--cache-from", f"type=local,src={place}", source)
    assert told.count("CACHED") == 4
    # What hit is kept: the next export has it, and needs no blob of the first.
    build(elsewhere, "--cache-from", f"type=local,src={place}",
          "--cache-to", f"type=local,dest={place}", source)  # fmt: skip
    forget(elsewhere)
    assert build(elsewhere, "--cache-from", f"type=local,src={place}", source).count("CACHED") == 3


def test_export_and_import_with_cache_mounts(cutaway, elsewhere, source, tmp_path):
    place = str(tmp_path / "all")
    build(cutaway, source)
    cutaway("build", "cache", "export", "--mounts", place)
    assert "cache mount kept: not taken" in elsewhere("build", "cache", "import", place)
    told = elsewhere("build", "cache", "import", "--mounts", place)
    assert "4 steps with 4 layers" in told
    assert "cache mount kept\n" in told
    assert "cache mount kept: not taken" in elsewhere("build", "cache", "import", "--mounts", place)
    assert build(elsewhere, source).count("CACHED") == 0  # it does not name the cache
    assert len(claims(elsewhere)) == 4
    lines = "FROM busybox\nRUN --mount=type=cache,id=kept,target=/c wc -l < /c/log > /n\n"
    Path(source, "Dockerfile").write_text(lines)
    build(elsewhere, source)
    assert elsewhere("run", "--rm", "made", "cat", "/n") == "2\n"  # one of each machine


def test_import_from_a_registry_and_build_without_it(cutaway, elsewhere, registry, source):
    name = f"{registry.address}/cache:all"
    build(cutaway, source)
    before = blobs(cutaway)
    cutaway("build", "cache", "export", name)
    assert blobs(cutaway) == before
    before = blobs(elsewhere)
    assert f"--cache-from type=registry,ref={name}" in elsewhere("build", "cache", "import", name)
    assert blobs(elsewhere) - before == 4  # the layers, and neither manifest nor document
    registry.process.terminate()
    registry.process.wait()
    told = build(elsewhere, "--cache-from", f"type=registry,ref={name}", source)
    assert f"[Warning] the cache {name} can't be read: " in told
    assert told.count("CACHED") == 4


# What somebody who controls a cache can try


@pytest.fixture
def exported(cutaway: Cli, source: str, tmp_path: Path) -> Path:
    place = tmp_path / "exported"
    build(cutaway, "--cache-to", f"type=local,dest={place},mode=max", source)
    forget(cutaway)
    return place


def blob(place: Path, descriptor: dict) -> Path:
    return place / "blobs/sha256" / descriptor["digest"].removeprefix("sha256:")


def rewrite(place: Path, change: Callable[[dict], None]) -> None:
    """Change what the cache says, and make its manifest fit."""

    def put(document: dict) -> dict:
        data = json.dumps(document).encode()
        name = hashlib.sha256(data).hexdigest()
        (place / "blobs/sha256" / name).write_bytes(data)
        return {"digest": f"sha256:{name}", "size": len(data)}

    index = json.loads((place / "index.json").read_text())
    manifest = json.loads(blob(place, index["manifests"][0]).read_text())
    config = json.loads(blob(place, manifest["config"]).read_text())
    change(config)
    manifest["config"] |= put(config)
    index["manifests"][0] |= put(manifest)
    (place / "index.json").write_text(json.dumps(index))


def step(config: dict, instruction: str) -> dict:
    (found,) = [s for s in config["steps"] if s["description"].startswith(instruction)]
    return found


def test_a_changed_layer_is_refused(cutaway, exported, source):
    config: dict = {}
    rewrite(exported, config.update)
    path = blob(exported, step(config, "COPY f")["layer"])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    text = cutaway.fails("build", "cache", "import", str(exported))
    assert "filesystem layer verification failed" in text
    assert claims(cutaway) == []


def test_a_layer_that_is_not_of_its_diff_id_is_a_miss(cutaway, exported, source):
    def swap(config: dict) -> None:
        one, other = step(config, "RUN /bin/sh -c echo tool"), step(config, "COPY f")
        one["layer"] = other["layer"]

    rewrite(exported, swap)
    told = build(cutaway, "--explain", "--cache-from", f"type=local,src={exported}", source)
    assert f"why: {exported} claims to have it, but: " in told
    assert cutaway("run", "--rm", "made", "cat", "/tool") == "tool\n"


def test_a_false_claim_hits_only_in_builds_that_name_its_cache(cutaway, exported, source):
    """Nobody can see that a claim is false: so it is asked only where its cache is named."""

    def lie(config: dict) -> None:
        one, other = step(config, "RUN /bin/sh -c echo tool"), step(config, "COPY f")
        one |= {"layer": other["layer"], "diffId": other["diffId"]}

    rewrite(exported, lie)
    cutaway("build", "cache", "import", str(exported))
    assert build(cutaway, source).count("CACHED") == 0
    # What was done here comes before what others say.
    assert build(cutaway, "--cache-from", f"type=local,src={exported}", source).count("CACHED") == 4
    assert cutaway("run", "--rm", "made", "cat", "/tool") == "tool\n"


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda c: c.update(version=2), "the cache is of version 2"),
        (lambda c: c["steps"][0].update(layer={"digest": "../../x"}), "steps[0].layer"),
        (lambda c: c["steps"][0].pop("diffId"), "a layer without its diff id"),
        (lambda c: c["steps"][0]["layer"].update(mediaType="text/html"), "text/html is no layer"),
        (lambda c: c["steps"][0]["layer"].update(digest=f"sha256:{'0' * 64}"), "is not whole"),
    ],
)
def test_a_cache_that_contradicts_itself_is_refused(cutaway, exported, change, refusal):
    def everywhere(config: dict) -> None:
        config["steps"].sort(key=lambda s: "layer" not in s)
        change(config)

    rewrite(exported, everywhere)
    assert refusal in cutaway.fails("build", "cache", "import", str(exported))
    assert claims(cutaway) == []


def test_an_image_is_no_cache(engine, cutaway, registry, source):
    name = f"{registry.address}/busybox"
    engine.docker("tag", "busybox", name)
    engine.docker("push", "-q", name)
    assert "this is no build cache" in cutaway.fails("build", "cache", "import", name)
    assert "[Warning] the cache" in build(cutaway, "--cache-from", f"type=registry,ref={name}",
                                          source)  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ("--cache-to", "type=gha"),
        ("--cache-to", "type=local,dest=x,mode=most"),
        ("--cache-from", "type=registry"),
        ("--cache-from", "type=local,src=x,mode=max"),
    ],
)
def test_a_place_that_can_not_be_is_refused_before_the_build(cutaway, source, words):
    assert f"invalid {words[0]} '{words[1]}'" in cutaway.fails("build", *words, source)


def test_a_directory_with_other_files_is_not_written_to(cutaway, source, tmp_path):
    place = tmp_path / "mine"
    place.mkdir()
    (place / "letter").write_text("dear")
    text = cutaway.fails("build", "--cache-to", f"type=local,dest={place}", source)
    assert "is not empty, and is no build cache" in text
    assert [p.name for p in place.iterdir()] == ["letter"]
    shutil.rmtree(place)
