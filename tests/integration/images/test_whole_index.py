"""Whole indexes: pulled for all platforms, looked at, run for another platform, pushed, removed."""

import io
import json
import subprocess
import tarfile
from dataclasses import replace

import pytest

from cutaway.errors import NotFound
from cutaway.images.archives.load import load_images
from cutaway.images.archives.save import save_images
from cutaway.images.push import PushRequest, push
from cutaway.images.variants import find_variant, register_variant, variants
from cutaway.oci import Platform, Reference
from support.hostile_registry import (
    CONFIG_TYPE,
    INDEX_TYPE,
    QUICK,
    described,
    digest_of,
    make_image,
)
from support.image_store import Store


@pytest.fixture
def index(registry):
    """Serve an index of two platforms and an attestation; return its digest."""
    members = []
    for architecture in ("amd64", "arm64", "unknown"):
        image = make_image(layers=2, platform=architecture, salt=architecture)
        platform = {"os": "linux", "architecture": architecture}
        if architecture == "unknown":
            platform["os"] = "unknown"
        digest = registry.put(image, tag=architecture)
        data = registry.manifests[f"app/manifests/{digest}"][0]
        members.append(described(data, image.media_type, platform=platform))
    document = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": members}
    return registry.put_manifest(json.dumps(document).encode(), INDEX_TYPE)


@pytest.fixture
def whole(store, registry, index):
    """Pull it whole."""
    return store.pull(f"{registry.address}/app", all_platforms=True, platform="linux/amd64")


def name_of(registry, repository="app"):
    return Reference.parse(f"{registry.address}/{repository}").with_default_tag()


def test_every_blob_is_kept_and_this_machines_image_is_the_one_that_is_unpacked(
    store, registry, index, whole
) -> None:
    assert str(whole.index.digest) == index
    assert store.blobs() == set(registry.blobs) | {
        digest_of(data) for data, _ in registry.manifests.values()
    }
    assert {s.name for s in store.snapshots.walk()} == set(whole.chain_ids)
    assert [str(image.platform) for image in store.images.list()] == ["linux/amd64"]


def test_a_pull_without_the_word_keeps_one_platform(store, registry, index) -> None:
    image = store.pull(f"{registry.address}/app", platform="linux/arm64")
    assert image.index is None
    assert [str(i.platform) for i in variants(store.images, image)] == ["linux/arm64"]


def test_images_of_other_platforms_are_found_in_it(store, registry, whole) -> None:
    assert find_variant(store.images, whole, "app", "") is whole
    assert find_variant(store.images, whole, "app", "linux/amd64") is whole
    other = find_variant(store.images, whole, "app", "arm64")
    assert str(other.platform) == "linux/arm64"
    assert other.id != whole.id
    assert [str(i.platform) for i in variants(store.images, whole)] == [
        "linux/amd64",
        "linux/arm64",
    ]
    with pytest.raises(NotFound) as caught:
        find_variant(store.images, whole, "app", "linux/s390x")
    assert str(caught.value) == (
        "image with reference app was found but its platform (linux/amd64) does not match "
        "the specified platform (linux/s390x)"
    )


def test_a_variant_is_unpacked_when_it_is_used(store, registry, whole) -> None:
    other = find_variant(store.images, whole, "app", "linux/arm64")
    used = register_variant(store.images, store.snapshots, other)
    assert used.id == other.id
    assert used.chain_id in store.snapshots
    assert [n.digest for n in used.repo_digests] == [other.manifest.digest]
    assert store.images.find_name(name_of(registry)).id == whole.id


def test_it_survives_a_restart_and_a_collection(store, registry, whole) -> None:
    before = store.blobs()
    store.open()
    again = store.images.find_name(name_of(registry))
    assert again == whole
    store.images.collect_garbage(grace_s=0)
    assert store.blobs() == before


def test_its_last_name_takes_all_of_it_along(store, registry, whole) -> None:
    second = Reference.parse("other:tag")
    store.images.tag(whole.id, second)
    assert store.images.index_of(second.with_default_tag()) == whole.index
    store.images.remove(f"{registry.address}/app")
    assert len(store.blobs()) == 13  # 3 x (manifest, config, 2 layers) and the index
    store.images.remove("other:tag")
    assert store.is_empty()


def test_push_sends_every_member_and_the_same_index(store, registry, index, whole, make_registry):
    target = make_registry()
    store.images.tag(whole.id, name_of(target, "copy"))
    pushed = push(
        store.images, PushRequest(reference=name_of(target, "copy"), settings=QUICK)
    )  # fmt: skip
    assert pushed == {"latest": index}
    assert target.blobs == registry.blobs
    kept, media_type = target.manifests["copy/manifests/latest"]
    assert (digest_of(kept), media_type) == (index, INDEX_TYPE)
    assert len(target.manifests) == 4
    # The members went before what names them.
    puts = [s.path.rpartition("/")[2] for s in target.seen if s.method == "PUT"]
    assert puts[-1] == "latest"


def test_push_of_one_platform_sends_that_image_alone(store, registry, whole, make_registry) -> None:
    target = make_registry()
    store.images.tag(whole.id, name_of(target, "copy"))
    request = PushRequest(reference=name_of(target, "copy"), settings=QUICK, platform="linux/arm64")
    push(store.images, request)
    (data, _) = target.manifests["copy/manifests/latest"]
    assert data == registry.manifests["app/manifests/arm64"][0]
    assert list(target.manifests) == ["copy/manifests/latest"]


@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
def test_a_member_that_is_missing_fails_the_pull_and_leaves_nothing(
    store, registry, index, part
) -> None:
    data, _ = registry.manifests["app/manifests/arm64"]
    manifest = json.loads(data)
    lost = {
        "manifest": None,
        "config": manifest["config"]["digest"],
        "layer": manifest["layers"][1]["digest"],
    }[part]
    if lost is None:
        del registry.manifests[f"app/manifests/{digest_of(data)}"]
    else:
        del registry.blobs[lost]
    with pytest.raises(NotFound):
        store.pull(f"{registry.address}/app", all_platforms=True, platform="linux/amd64")
    assert store.is_empty()


def test_other_tools_see_the_index_in_our_store(store, registry, index, whole) -> None:
    (tagged, _) = json.loads((store.root / "images" / "index.json").read_text())["manifests"]
    assert (tagged["digest"], tagged["mediaType"]) == (index, INDEX_TYPE)
    assert tagged["annotations"]["org.opencontainers.image.ref.name"] == str(name_of(registry))
    assert CONFIG_TYPE not in json.dumps(tagged)


# Archives


@pytest.fixture
def other(tmp_path) -> Store:
    """Another machine."""
    (tmp_path / "other").mkdir()
    return Store(tmp_path / "other")


def saved(store, *names, platforms=()) -> bytes:
    archive = bytearray()
    save_images(store.images, names, archive.extend, platforms=platforms)
    return bytes(archive)


def load(store, archive, *platforms) -> list[str]:
    wanted = [Platform.parse(text) for text in platforms]
    read = io.BytesIO(archive).read
    return [str(x) for x in load_images(store.images, store.snapshots, read, platforms=wanted)]


def platforms_of(store, image) -> list[str]:
    return [str(one.platform) for one in variants(store.images, image)]


def test_a_whole_index_survives_save_and_load(store, other, registry, whole) -> None:
    name = name_of(registry)
    archive = saved(store, str(name))
    assert load(other, archive) == [f"Loaded image: {name.familiar}"]
    again = other.images.find_name(name)
    assert (again.id, again.index) == (whole.id, whole.index)
    assert other.blobs() == store.blobs()
    assert saved(other, str(name)) == archive
    pushed = push(other.images, PushRequest(name, settings=QUICK))
    assert pushed == {"latest": whole.index.digest}


def test_single_platforms_are_saved_and_loaded(store, other, registry, whole) -> None:
    name = str(name_of(registry))
    load(other, saved(store, name, platforms=["linux/arm64"]))
    (alone,) = other.images.list()
    assert (str(alone.platform), alone.index) == ("linux/arm64", None)
    other.images.remove(name)
    assert other.is_empty()

    load(other, saved(store, name), "linux/arm64")
    (loaded,) = other.images.list()
    assert loaded == replace(alone, tagged_at=loaded.tagged_at)
    other.images.remove(name)
    assert other.is_empty()


def test_several_platforms_make_a_smaller_index(store, other, registry, whole) -> None:
    name, both = str(name_of(registry)), ["linux/amd64", "linux/arm64"]
    for archive, wanted in ((saved(store, name, platforms=both), []), (saved(store, name), both)):
        load(other, archive, *wanted)
        (image,) = other.images.list()
        assert platforms_of(other, image) == both
        assert len(other.blobs()) == 2 * 4 + 1  # 2 x (manifest, config, 2 layers) and the index
        other.images.remove(name)
        assert other.is_empty()


def test_a_platform_that_is_not_there_is_told_in_dockers_words(store, other, registry, whole):
    name = str(name_of(registry))
    with pytest.raises(NotFound, match=r"does not match the specified platform \(linux/s390x\)"):
        saved(store, name, platforms=["linux/s390x"])
    for archive in (saved(store, name), saved(store, name, platforms=["linux/arm64"])):
        with pytest.raises(NotFound) as caught:
            load(other, archive, "linux/ppc64le")
        assert str(caught.value) == (
            "requested platform (linux/ppc64le) not found: image might be filtered out"
        )
        assert other.is_empty()


def test_an_index_without_all_of_its_members_is_loaded_as_the_image_that_is_there(
    store, other, registry, whole
) -> None:
    """As a dockerd with containerd's store writes it for ``save --platform``."""
    archive = saved(store, str(name_of(registry)))
    amd64 = json.loads(store.images.content.read(whole.manifest.digest))
    layers = [f"blobs/sha256/{one['digest'].partition(':')[2]}" for one in amd64["layers"]]
    config = amd64["config"]["digest"].partition(":")[2]
    absent = [*layers, f"blobs/sha256/{config}", f"blobs/sha256/{whole.manifest.digest.encoded}"]
    load(other, without(archive, "manifest.json", *absent))
    (image,) = other.images.list()
    assert (str(image.platform), image.index) == ("linux/arm64", None)
    assert len(other.blobs()) == 4


def without(archive: bytes, *names: str) -> bytes:
    """Return an archive without some files."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as old,
        tarfile.open(fileobj=out, mode="w") as new,
    ):
        for member in old:
            if member.name not in names:
                new.addfile(member, old.extractfile(member))
    return out.getvalue()


def test_skopeo_reads_the_whole_index_of_our_archive_and_we_read_its(
    store, other, registry, index, whole, tmp_path
) -> None:
    (tmp_path / "ours.tar").write_bytes(saved(store, str(name_of(registry))))
    theirs = f"oci-archive:{tmp_path}/theirs.tar:{name_of(registry)}"
    command = ["skopeo", "copy", "--all", f"oci-archive:{tmp_path}/ours.tar", theirs]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    load(other, (tmp_path / "theirs.tar").read_bytes())
    assert str(other.images.find_name(name_of(registry)).index.digest) == index
