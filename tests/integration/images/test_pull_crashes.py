"""Pulls that are killed, run twice at once, or meet a damaged store."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from cutaway.errors import CutawayError
from cutaway.images.cancellation import Cancelled
from cutaway.oci import Digest, Reference
from support.hostile_registry import Exchange, make_image

_PULL = """
import sys
from cutaway.images.pull import PullRequest, pull
from cutaway.images.registry.settings import RegistrySettings
from cutaway.images.snapshots import Snapshots
from cutaway.images.store import ImageStore
from cutaway.oci import Reference
snapshots = Snapshots(sys.argv[1] + "/snapshots")
store = ImageStore(sys.argv[1], snapshots)
pull(store, snapshots, PullRequest(Reference.parse(sys.argv[2])))
"""


def slowly(data: bytes):
    def rule(exchange: Exchange) -> None:
        asked = exchange.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        exchange.send_response(206 if start else 200)
        if start:
            where = f"bytes {start}-{len(data) - 1}/{len(data)}"
            exchange.send_header("Content-Range", where)
        exchange.send_header("Content-Length", str(len(data) - start))
        exchange.end_headers()
        for position in range(start, len(data), 50_000):
            exchange.wfile.write(data[position : position + 50_000])
            exchange.wfile.flush()
            time.sleep(0.03)

    return rule


def test_a_killed_pull_leaves_a_sound_store_and_the_next_one_resumes(store, registry):
    image = make_image(layers=4, size=400_000)
    registry.put(image)
    for layer in image.manifest["layers"]:
        digest = layer["digest"]
        registry.on("GET", f"/v2/app/blobs/{digest}", slowly(image.blobs[digest]))
    name = f"{registry.address}/app"
    seeded = random.Random(5)
    killed = 0
    for _ in range(15):
        command = [sys.executable, "-c", _PULL, str(store.root), name]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            process.wait(seeded.uniform(0.2, 1.2))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        store.open()
        content = store.images.content
        for digest in store.blobs():
            assert content.verify(Digest(digest))
        for known in store.images.list():
            assert not known.damage
            assert store.images.is_unpacked(known)
        assert os.listdir(store.root / "snapshots" / "tmp") == []
        if store.images.list():
            store.images.remove(name)
    assert killed > 3

    pulled = store.pull(name)

    assert store.images.is_unpacked(pulled)
    assert store.partial() == []
    resumed = [s for s in registry.requests(r"/v2/app/blobs/.*") if "Range" in s.headers]
    assert resumed


def test_two_pulls_at_once_fetch_each_blob_once(store, registry):
    image = make_image(layers=3, size=300_000)
    registry.put(image)
    for layer in image.manifest["layers"]:
        digest = layer["digest"]
        registry.on("GET", f"/v2/app/blobs/{digest}", slowly(image.blobs[digest]))
    results, errors = [], []

    def work() -> None:
        try:
            results.append(store.pull(f"{registry.address}/app"))
        except CutawayError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert len({r.id for r in results}) == 1
    for layer in image.manifest["layers"]:
        assert len(registry.requests(f"/v2/app/blobs/{layer['digest']}")) == 1
    assert os.listdir(store.root / "snapshots" / "tmp") == []


def test_a_pull_that_waits_for_another_can_be_cancelled(store, registry):
    image = make_image(size=300_000)
    registry.put(image)
    layer = Digest(image.manifest["layers"][0]["digest"])
    cancelled = threading.Event()
    threading.Timer(0.3, cancelled.set).start()

    with store.images.content.exclusive(layer), pytest.raises(Cancelled):
        store.pull(f"{registry.address}/app", is_cancelled=cancelled.is_set)


def test_removing_an_image_during_the_pull_of_another_that_shares_its_layers(store, registry):
    base = make_image(layers=2, size=1000)
    registry.put(base, name="base")
    more = make_image(layers=3, size=1000)  # the same two layers and one more
    registry.put(more)
    top = more.manifest["layers"][2]["digest"]
    removed = threading.Event()

    def rule(exchange: Exchange) -> None:
        store.images.remove(f"{registry.address}/base")
        removed.set()
        exchange.serve()

    registry.on("GET", f"/v2/app/blobs/{top}", rule)
    store.pull(f"{registry.address}/base")

    pulled = store.pull(f"{registry.address}/app")

    assert removed.is_set()
    assert store.images.is_unpacked(pulled)
    for layer in pulled.layers:
        assert store.images.content.verify(layer.digest)


def damage(store, digest: str, *, truncate: bool) -> None:
    path = store.images.content.path(Digest(digest))
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        if truncate:
            file.truncate(10)
        else:
            file.seek(30)
            file.write(b"damage")


@pytest.mark.parametrize("truncate", [True, False])
def test_a_pull_heals_a_damaged_config(store, registry, truncate):
    registry.put(make_image())
    image = store.pull(f"{registry.address}/app")
    damage(store, image.id, truncate=truncate)
    store.open()
    assert store.images.find(f"{registry.address}/app").damage

    healed = store.pull(f"{registry.address}/app")

    assert store.images.resolve(f"{registry.address}/app") == healed
    assert os.listdir(store.root / "images" / "quarantine")


@pytest.mark.parametrize("truncate", [True, False])
def test_a_pull_heals_a_damaged_layer_that_must_be_unpacked(store, registry, truncate):
    image = make_image()
    registry.put(image)
    layer = image.manifest["layers"][0]["digest"]
    first = store.pull(f"{registry.address}/app")
    damage(store, layer, truncate=truncate)
    store.snapshots.remove(first.chain_id)

    again = store.pull(f"{registry.address}/app")

    assert store.images.is_unpacked(again)
    assert store.images.content.verify(Digest(layer))


def test_a_pull_of_what_is_here_fetches_only_the_manifest(store, registry):
    registry.put(make_image(layers=2))
    store.pull(f"{registry.address}/app")
    registry.seen.clear()

    store.pull(f"{registry.address}/app")

    assert [s.path for s in registry.seen][-2:] == ["/v2/", "/v2/app/manifests/latest"]
    assert store.statuses().count("Already exists") == 1
    assert store.events[-1]["status"] == (
        f"Status: Image is up to date for {registry.address}/app:latest"
    )


def test_progress_reads_as_dockers(store, registry):
    image = make_image(layers=1, size=1000)
    digest = registry.put(image)
    short = image.manifest["layers"][0]["digest"][7:19]

    store.pull(f"{registry.address}/app:latest")

    assert store.events[0] == {"status": "Pulling from app", "id": "latest"}
    assert store.statuses(short) == [
        "Pulling fs layer",
        "Downloading",
        "Verifying Checksum",
        "Download complete",
        "Extracting",
        "Pull complete",
    ]
    assert [e["status"] for e in store.events[-2:]] == [
        f"Digest: {digest}",
        f"Status: Downloaded newer image for {registry.address}/app:latest",
    ]
    assert store.images.find_name(Reference.parse(f"{registry.address}/app:latest"))
