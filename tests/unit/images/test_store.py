"""Names, ids and what removing an image takes with it."""

import json
import os
from dataclasses import dataclass

import pytest

from cutaway.errors import Conflict, InvalidParameter, NotFound
from cutaway.images.check import check_images
from cutaway.images.image import ImageDamaged, NoSuchImage
from cutaway.images.removal import ImageUser, Removed
from cutaway.images.store import ImageStore
from cutaway.oci import Descriptor, Digest, MediaType, Reference, encode_document
from cutaway.oci.hashing import chain_ids, digest_of


@dataclass
class Snapshot:
    name: str
    kind: str
    parent: str | None


@dataclass
class Size:
    size_bytes: int


class FakeSnapshots:
    """Committed snapshots that know only names."""

    def __init__(self) -> None:
        self.parents: dict[str, str | None] = {}
        self.used: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return name in self.parents

    def remove(self, name: str) -> None:
        if name not in self.parents:
            raise NotFound(name)
        if name in self.used or name in self.parents.values():
            raise Conflict(name)
        del self.parents[name]

    def usage(self, name: str) -> Size:
        if name not in self.parents:
            raise NotFound(name)
        return Size(10)

    def walk(self) -> list[Snapshot]:
        found = [Snapshot(n, "committed", p) for n, p in self.parents.items()]
        return [*found, Snapshot("c1", "active", None)]


class Clock:
    def __init__(self) -> None:
        self.now = 2_000_000_000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def snapshots():
    return FakeSnapshots()


@pytest.fixture
def store(tmp_path, snapshots):
    return ImageStore(str(tmp_path), snapshots, Clock())


def reopened(store) -> ImageStore:
    return ImageStore(os.path.dirname(store.content.root), store.snapshots, Clock())


def build(
    store,
    *layers: str,
    names: tuple[str, ...] = (),
    digests: tuple[str, ...] = (),
    parent: Digest | None = None,
    salt: str = "",
) -> Digest:
    """Register an image whose layers are these strings."""
    with store.lease():
        diff_ids = [digest_of(layer.encode()) for layer in layers]
        config = {
            "architecture": "amd64",
            "os": "linux",
            "created": f"2024-01-01T00:00:{len(layers):02}Z",
            "config": {"Labels": {"salt": salt}},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
        data = encode_document(config)
        manifest = {
            "schemaVersion": 2,
            "config": {
                "mediaType": MediaType.OCI_CONFIG.value,
                "digest": store.content.write_blob(data),
                "size": len(data),
            },
            "layers": [
                {
                    "mediaType": MediaType.OCI_LAYER.value,
                    "digest": store.content.write_blob(layer.encode()),
                    "size": len(layer),
                }
                for layer in layers
            ],
        }
        document = encode_document(manifest)
        digest = store.content.write_blob(document)
        below = None
        for chain_id in chain_ids(diff_ids):
            store.snapshots.parents[chain_id] = below
            below = chain_id
        image = store.register(
            Descriptor(MediaType.OCI_MANIFEST.value, digest, len(document)),
            [Reference.parse(n) for n in names],
            [Reference.parse(d) for d in digests],
            parent=parent,
        )
    return image.id


def names(store, image_id: Digest) -> list[str]:
    image = store.get(image_id)
    return [n.familiar for n in (*image.names, *image.repo_digests)]


SHA = "sha256:" + "ab" * 32


# Names


def test_an_image_is_found_by_all_its_names(store):
    image_id = build(store, "a", names=("web", "web:1.2"), digests=(f"web@{SHA}",))
    other = build(store, "b", names=("other",))

    for name in (
        "web",
        "web:latest",
        "docker.io/library/web:1.2",
        f"web@{SHA}",
        f"web:whatever@{SHA}",
        f"web@{store.get(image_id).manifest.digest}",
        image_id,
        image_id.encoded,
        image_id.encoded[:12],
        image_id.encoded[:1] if image_id.encoded[0] != other.encoded[0] else image_id,
        f"sha256:{image_id.encoded[:10]}",
    ):
        assert store.resolve(name).id == image_id, name
        assert reopened(store).resolve(name).id == image_id
    found = store.find_name(Reference.parse("other:latest"))
    assert found is not None
    assert found.id == other
    assert store.find_name(Reference.parse("other:2")) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nothing", "No such image: nothing:latest"),
        ("nothing:1", "No such image: nothing:1"),
        ("docker.io/library/nothing", "No such image: nothing:latest"),
        (SHA, f"No such image: {SHA}"),
        (SHA[7:], f"No such image: {SHA[7:]}"),
        (f"web@{SHA}", f"No such image: web@{SHA}"),
        ("abcdef", "No such image: abcdef:latest"),
        ("web:2", "No such image: web:2"),
    ],
)
def test_what_is_not_here_is_told_in_dockers_words(store, name, text):
    build(store, "a", names=("web",))
    with pytest.raises(NoSuchImage) as caught:
        store.resolve(name)
    assert str(caught.value) == text


def test_an_id_that_begins_several_is_no_id(store):
    ids = [build(store, "a", salt=str(n)) for n in range(20)]
    first = ids[0].encoded[0]
    assert sum(i.encoded[0] == first for i in ids) > 1
    with pytest.raises(NoSuchImage):
        store.resolve(first)


def test_a_name_that_can_be_none_is_refused(store):
    with pytest.raises(InvalidParameter, match="invalid reference format"):
        store.resolve("-x")


def test_a_name_wins_over_the_beginning_of_an_id(store):
    target = build(store, "a")
    other = build(store, "b", names=(target.encoded[:6],))

    assert store.resolve(target.encoded[:6]).id == other


def test_a_tag_moves_and_its_old_image_dangles(store):
    old = build(store, "a", names=("web",))
    new = build(store, "b", names=("web",))

    assert store.resolve("web").id == new
    assert store.get(old).is_dangling
    assert [i.id for i in store.list()] in ([old, new], [new, old])
    moves = store.history.read(Reference.parse("web:latest"))
    assert [(m.old, m.new, m.by) for m in moves] == [(None, old, "load"), (old, new, "load")]


def test_tagging_gives_one_more_name(store):
    image_id = build(store, "a")
    assert store.get(image_id).is_dangling

    store.tag(image_id, Reference.parse("web"))
    store.tag(image_id, Reference.parse("web"))
    store.tag(image_id, Reference.parse("127.0.0.1:5000/web:2"))

    assert names(store, image_id) == ["web:latest", "127.0.0.1:5000/web:2"]
    assert names(reopened(store), image_id) == ["web:latest", "127.0.0.1:5000/web:2"]
    with pytest.raises(InvalidParameter, match="refusing to create a tag with a digest reference"):
        store.tag(image_id, Reference.parse(f"web@{SHA}"))
    with pytest.raises(NoSuchImage):
        store.tag(Digest(SHA), Reference.parse("x"))


def test_registering_again_adds_names(store):
    image_id = build(store, "a", names=("one",))
    assert build(store, "a", names=("two",)) == image_id
    assert names(store, image_id) == ["one:latest", "two:latest"]


def test_an_image_knows_its_parts(store, snapshots):
    image_id = build(store, "a", "b", names=("web",), digests=(f"web@{SHA}",))
    image = store.get(image_id)

    assert len(image.chain_ids) == 2
    assert image.chain_id == image.chain_ids[-1]
    assert store.is_unpacked(image)
    assert store.size_bytes(image) == 20
    assert image.download_bytes == 2
    assert str(image.platform) == "linux/amd64"
    assert image.created.startswith("2024")
    assert image.tagged_at > "2033"
    assert store.read_manifest(image).layers == image.layers
    empty = store.get(build(store))
    assert empty.chain_id is None
    assert store.is_unpacked(empty)
    del snapshots.parents[image.chain_id]
    assert not store.is_unpacked(image)
    assert store.size_bytes(image) == 10


def test_images_are_listed_newest_first(store):
    build(store, "a")
    build(store, "a", "b", "c")
    build(store, "a", "b")

    assert [len(i.layers) for i in store.list()] == [3, 2, 1]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda m: m["layers"].append(m["layers"][0]), InvalidParameter),
        (lambda m: m["layers"][0].update(digest=SHA), NotFound),
        (lambda m: m["config"].update(digest=SHA), NotFound),
        (lambda m: m["config"].update(mediaType="application/x-helm"), InvalidParameter),
        (lambda m: m.update(manifests=[]), InvalidParameter),
    ],
)
def test_an_incomplete_image_is_not_registered(store, change, error):
    image = store.get(build(store, "a"))
    document = json.loads(store.content.read(image.manifest.digest))
    change(document)
    data = encode_document(document)
    digest = store.content.write_blob(data)

    with pytest.raises(error):
        store.register(Descriptor(MediaType.OCI_MANIFEST.value, digest, len(data)))
    assert len(store.list()) == 1


def test_an_index_is_not_an_image(store):
    data = encode_document({"schemaVersion": 2, "manifests": []})
    digest = store.content.write_blob(data)
    with pytest.raises(InvalidParameter, match="is an index"):
        store.register(Descriptor(MediaType.OCI_INDEX.value, digest, len(data)))


# Removing


def removed(store, name: str, **options) -> list[tuple[str, str]]:
    return [
        ("untagged", r.untagged) if r.untagged else ("deleted", str(r.deleted))
        for r in store.remove(name, **options)
    ]


def test_removing_the_last_name_deletes_image_layers_and_blobs(store, snapshots):
    image_id = build(store, "a", "b", names=("web",), digests=(f"web@{SHA}",))
    first, second = store.get(image_id).chain_ids

    assert removed(store, "web") == [
        ("untagged", "web:latest"),
        ("untagged", f"web@{SHA}"),
        ("deleted", image_id),
        ("deleted", second),
        ("deleted", first),
    ]
    assert store.list() == []
    assert list(store.content.list_blobs()) == []
    assert snapshots.parents == {}
    with pytest.raises(NoSuchImage):
        store.resolve("web")
    last = store.history.read(Reference.parse("web:latest"))[-1]
    assert (last.old, last.new, last.by) == (image_id, None, "rmi")


def test_shared_layers_stay(store, snapshots):
    build(store, "a", "b", names=("one",))
    kept = build(store, "a", "c", names=("two",))

    assert len(removed(store, "one")) == 3
    assert store.is_unpacked(store.get(kept))
    assert len(snapshots.parents) == 2
    assert len(list(store.content.list_blobs())) == 4


def test_a_name_among_several_is_only_untagged(store):
    image_id = build(store, "a", names=("one", "two"))

    assert removed(store, "one") == [("untagged", "one:latest")]
    assert names(store, image_id) == ["two:latest"]


def test_a_digest_can_be_untagged_alone(store):
    image_id = build(store, "a", names=("web",), digests=(f"web@{SHA}",))

    assert removed(store, f"web@{SHA}") == [("untagged", f"web@{SHA}")]
    assert names(store, image_id) == ["web:latest"]


def test_an_id_deletes_an_image_with_one_name_and_its_digests(store):
    image_id = build(store, "a", names=("web",), digests=(f"web@{SHA}",))

    assert [kind for kind, _ in removed(store, image_id.encoded[:8])] == [
        "untagged",
        "untagged",
        "deleted",
        "deleted",
    ]


def test_an_id_with_several_names_needs_force(store):
    image_id = build(store, "a", names=("one", "two"))
    short = image_id.short

    with pytest.raises(Conflict) as caught:
        store.remove(short)
    assert str(caught.value) == (
        f"conflict: unable to delete {short} (must be forced) - "
        "image is referenced in multiple repositories"
    )
    assert names(store, image_id) == ["one:latest", "two:latest"]
    assert [kind for kind, _ in removed(store, short, force=True)] == [
        "untagged",
        "untagged",
        "deleted",
        "deleted",
    ]


def test_a_name_whose_image_a_container_uses(store, snapshots):
    image_id = build(store, "a", names=("web",))
    user = ImageUser("c" * 64, image_id, is_running=False)

    with pytest.raises(Conflict) as caught:
        store.remove("web", users=[user])
    assert str(caught.value) == (
        'conflict: unable to remove repository reference "web:latest" (must force) - container '
        f"cccccccccccc is using its referenced image {image_id.short}"
    )
    snapshots.used = set(store.get(image_id).chain_ids)
    assert removed(store, "web", users=[user], force=True) == [
        ("untagged", "web:latest"),
        ("deleted", image_id),
    ]
    assert len(snapshots.parents) == 1  # the container still stands on it
    snapshots.used = set()
    store.collect_garbage()
    assert snapshots.parents == {}


@pytest.mark.parametrize(
    ("is_running", "force", "text"),
    [
        (True, False, "(cannot be forced) - image is being used by running container cccccccccccc"),
        (True, True, "(cannot be forced) - image is being used by running container cccccccccccc"),
        (False, False, "(must be forced) - image is being used by stopped container cccccccccccc"),
    ],
)
def test_an_id_that_a_container_uses(store, is_running, force, text):
    image_id = build(store, "a", names=("web",))
    user = ImageUser("c" * 64, image_id, is_running=is_running)

    with pytest.raises(Conflict) as caught:
        store.remove(image_id.short, force=force, users=[user])

    assert str(caught.value) == f"conflict: unable to delete {image_id.short} {text}"


def test_forcing_the_name_of_a_running_image_only_untags(store):
    image_id = build(store, "a", names=("web",))
    user = ImageUser("c" * 64, image_id, is_running=True)

    assert removed(store, "web", force=True, users=[user]) == [("untagged", "web:latest")]
    assert store.get(image_id).is_dangling


def test_an_image_with_children_is_only_untagged(store):
    base = build(store, "a", names=("base",))
    child = build(store, "a", "b", names=("child",), parent=base)
    assert store.children(base) == (child,)

    assert removed(store, "base") == [("untagged", "base:latest")]
    with pytest.raises(Conflict, match=r"\(cannot be forced\) - image has dependent child images"):
        store.remove(base, force=True)
    # With the child goes its parent, which nothing needs any more.
    assert [v for k, v in removed(store, "child") if k == "deleted"][:2] == [child, base]
    assert store.list() == []


def test_a_parent_with_a_name_or_without_prune_stays(store):
    base = build(store, "a", names=("base",))
    build(store, "a", "b", names=("child",), parent=base)
    removed(store, "child")
    assert store.get(base)

    store.remove("base", force=True)
    base = build(store, "a")
    build(store, "a", "b", names=("child",), parent=base)
    removed(store, "child", prune=False)
    assert store.get(base)


def test_removing_what_is_not_here(store):
    with pytest.raises(NoSuchImage, match="^No such image: web:latest$"):
        store.remove("web")


def test_the_answer_says_whose_event_each_is(store):
    image_id = build(store, "a", names=("web",))
    chain = store.get(image_id).chain_id

    assert store.remove("web") == (
        Removed(untagged="web:latest", image_id=image_id),
        Removed(deleted=image_id, image_id=image_id),
        Removed(deleted=chain),
    )


# Garbage


def test_garbage_is_what_no_image_needs_after_a_while(store, snapshots):
    image_id = build(store, "a", names=("web",))
    rubbish = store.content.write_blob(b"rubbish")
    snapshots.parents["sha256:orphan"] = None
    kept = len(list(store.content.list_blobs())) - 1

    store._clock.now = os.stat(store.content.path(rubbish)).st_mtime + 100
    assert store.collect_garbage(grace_s=3600) == 0
    assert rubbish in store.content
    assert store.collect_garbage(grace_s=10) == len(b"rubbish")
    assert len(list(store.content.list_blobs())) == kept
    assert set(snapshots.parents) == set(store.get(image_id).chain_ids)


def test_leases_and_keepers_are_roots(store, snapshots):
    image_id = build(store, "a", "b", names=("web",))
    first, second = store.get(image_id).chain_ids
    layer = digest_of(b"a")
    store.keepers.append(lambda: ([layer], [second]))
    removed(store, "web")
    assert layer in store.content
    assert digest_of(b"b") not in store.content
    assert set(snapshots.parents) == {first, second}

    store.keepers.clear()
    with store.lease() as pin:
        pin([second])
        store._clock.now = 4e9
        store.collect_garbage()
        assert set(snapshots.parents) == {first, second}
    store.collect_garbage()
    assert snapshots.parents == {}


def test_what_a_failed_pull_brought_is_discarded_unless_needed(store):
    build(store, "a", names=("web",))
    extra = store.content.write_blob(b"extra")
    store.discard_unneeded([extra, digest_of(b"a")])

    assert extra not in store.content
    assert digest_of(b"a") in store.content


# Damage


def damage(store, digest: Digest) -> None:
    os.chmod(store.content.path(digest), 0o644)
    with open(store.content.path(digest), "w") as file:
        file.write("{")


def test_a_damaged_image_is_listed_and_can_be_removed_or_healed(store):
    image_id = build(store, "a", names=("web",))
    sound = build(store, "b", names=("sound",))
    damage(store, image_id)
    store = reopened(store)

    image = next(i for i in store.list() if i.id == image_id)
    assert "damaged" in image.damage
    with pytest.raises(ImageDamaged, match="pull it again, or remove it"):
        store.resolve("web")
    assert store.find("web").damage
    assert store.resolve("sound").id == sound
    store._clock.now = 4e9
    assert store.collect_garbage() == 0
    assert removed(store, "web")[0] == ("untagged", "web:latest")
    assert [i.id for i in store.list()] == [sound]


def test_a_manifest_that_is_gone_is_damage(store):
    image_id = build(store, "a", names=("web",))
    manifest = store.get(image_id).manifest.digest
    os.unlink(store.content.path(manifest))
    store = reopened(store)

    assert store.find("web").damage
    with pytest.raises(ImageDamaged):
        store.read_manifest(store.find("web"))


def index_path(store) -> str:
    return os.path.join(store.content.root, "index.json")


def test_a_damaged_index_falls_back_to_the_one_before(store):
    build(store, "a", names=("one",))
    build(store, "b", names=("two",))
    with open(index_path(store), "w") as file:
        file.write('{"schemaVersion":2,"manif')

    store = reopened(store)

    assert store.resolve("one")
    assert any("damaged" in name for name in os.listdir(store.content.root))
    assert reopened(store).resolve("one")


def test_a_lost_index_is_rebuilt_from_the_blobs_without_names(store):
    image_id = build(store, "a", names=("one",))
    store.tag(image_id, Reference.parse("two"))
    os.unlink(index_path(store) + ".previous")
    with open(index_path(store), "w") as file:
        file.write("rubbish")

    store = reopened(store)

    assert [i.id for i in store.list()] == [image_id]
    assert store.get(image_id).is_dangling


def test_an_entry_of_another_tool_is_an_image_too(store):
    image_id = build(store, "a")
    manifest = store.get(image_id).manifest
    entry = manifest.to_json() | {"annotations": {"org.opencontainers.image.ref.name": "tool/x:1"}}
    bad = manifest.to_json() | {"annotations": {"org.opencontainers.image.ref.name": "-bad-"}}
    index = {"mediaType": MediaType.OCI_INDEX.value, "digest": SHA, "size": 1}
    lost = manifest.to_json() | {"digest": SHA}
    with open(index_path(store), "w") as file:
        json.dump({"schemaVersion": 2, "manifests": [entry, bad, index, lost]}, file)

    assert store.resolve("tool/x:1").id == image_id
    assert names(store, image_id) == ["tool/x:1"]


def test_a_failing_write_changes_nothing(store, monkeypatch):
    image_id = build(store, "a", names=("web",))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.tag(image_id, Reference.parse("more"))
    monkeypatch.undo()

    assert names(store, image_id) == ["web:latest"]
    assert names(reopened(store), image_id) == ["web:latest"]


def test_a_torn_line_of_the_tag_history_is_skipped(store):
    image_id = build(store, "a", names=("web",))
    path = os.path.join(store.content.root, "tag-history.jsonl")
    with open(path, "a") as file:
        file.write('{"at": "x"}\n[]\n{"torn')

    (move,) = store.history.read(Reference.parse("web:latest"))
    assert move.new == image_id
    assert store.history.read(Reference.parse("other:latest")) == []
    os.unlink(path)
    assert store.history.read(Reference.parse("web:latest")) == []
    os.mkdir(path)
    store.tag(image_id, Reference.parse("still:works"))


# system check


def test_a_check_finds_damaged_missing_and_unpacked_no_more(store, snapshots):
    build(store, "a", "b", names=("web",))
    other = build(store, "a", "c")
    gone = build(store, "d", names=("gone",))
    assert check_images(store).is_sound

    damage(store, digest_of(b"a"))
    os.unlink(store.content.path(digest_of(b"d")))
    chain = store.get(gone).chain_id
    del snapshots.parents[chain]
    read: list[int] = []
    report = check_images(store, read.append)

    (blob,) = report.damaged
    assert blob.digest == digest_of(b"a")
    assert set(blob.images) == {"web:latest", other.short}
    assert os.path.exists(blob.quarantine)
    assert report.missing == ((digest_of(b"d"), ("gone:latest",)),)
    assert report.not_unpacked == ("gone:latest",)
    assert report.checked == len(read)
    assert not report.is_sound
    assert digest_of(b"a") not in store.content


def test_a_blob_that_goes_during_a_check_is_no_damage(store, monkeypatch):
    build(store, "a", names=("web",))
    monkeypatch.setattr(
        type(store.content), "verify", lambda self, digest: self.size(Digest(SHA)) > 0
    )
    assert check_images(store).checked == 0


def test_what_a_killed_writer_left_is_swept_and_nothing_else(tmp_path):
    lists = tmp_path / "images" / "manifest-lists"
    lists.mkdir(parents=True)
    for path in (lists / ".a.json.7.tmp", lists.parent / ".index.json.7.tmp", lists / "kept.json"):
        path.write_text("{}")
    ImageStore(str(tmp_path), FakeSnapshots())
    assert [path.name for path in lists.iterdir()] == ["kept.json"]
    assert not (lists.parent / ".index.json.7.tmp").exists()
