"""save, load and import; skopeo and umoci judge what we write."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cutaway.errors import InvalidParameter, NotFound
from cutaway.images.archives.import_tar import import_tar
from cutaway.images.archives.load import load_images
from cutaway.images.archives.save import save_images
from cutaway.images.content import VerificationFailed
from cutaway.images.layers.errors import BadLayer
from cutaway.images.snapshots import Snapshots
from cutaway.images.store import ImageStore
from cutaway.oci import Reference
from support.images import docker_archive
from support.tars import build, directory, file, gzipped, hard_link, symlink


class Machine:
    """An image store of its own."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.root = root
        self.snapshots = Snapshots(str(root / "snapshots"))
        self.store = ImageStore(str(root), self.snapshots)

    def load(self, data: bytes) -> list[str]:
        loaded = load_images(self.store, self.snapshots, io.BytesIO(data).read)
        return [str(line) for line in loaded]

    def save(self, *names: str) -> bytes:
        out = bytearray()
        save_images(self.store, names, out.extend)
        return bytes(out)

    def is_empty(self) -> bool:
        self.snapshots.empty_trash()
        return not self.store.list() and not self.snapshots.walk()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "one")


@pytest.fixture
def other(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "two")


LAYERS = [
    build([directory("./"), directory("etc"), file("etc/a", b"1"), hard_link("b", "etc/a")]),
    build([file("etc/.wh.a", b""), file("c", os.urandom(3000)), symlink("s", "c")]),
]


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    docker_archive(tmp_path / "in.tar", "example/two:1", LAYERS)
    return (tmp_path / "in.tar").read_bytes()


def skopeo(*arguments: str) -> str:
    done = subprocess.run(
        ["skopeo", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rewrite(data: bytes, change: dict[str, bytes | None]) -> bytes:
    """Return a tar with files replaced, added (new names) or left out (None)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w") as new:
        members = {m.name: old.extractfile(m).read() for m in old if m.isfile()}  # type: ignore[union-attr]
        members.update({k: v for k, v in change.items() if v is not None})
        for name, content in members.items():
            if change.get(name, b"") is not None:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                new.addfile(info, io.BytesIO(content))
    return out.getvalue()


def test_image_survives_save_and_load_with_all_its_digests(
    machine: Machine, other: Machine, archive: bytes
) -> None:
    assert machine.load(archive) == ["Loaded image: example/two:1"]
    image = machine.store.resolve("example/two:1")
    saved = machine.save("example/two:1")
    assert other.load(saved) == ["Loaded image: example/two:1"]
    again = other.store.resolve("example/two:1")
    assert (again.id, again.manifest) == (image.id, image.manifest)
    assert other.save("example/two:1") == saved


def test_compressed_archives_are_loaded(other: Machine, archive: bytes, tmp_path: Path) -> None:
    for program in ("gzip", "bzip2", "xz", "zstd"):
        if shutil.which(program) is None:
            continue
        data = subprocess.run([program, "-c"], input=archive, capture_output=True, check=True)
        assert other.load(data.stdout) == ["Loaded image: example/two:1"]


def test_saved_archive_is_docker_s_and_an_oci_layout_at_once(
    machine: Machine, archive: bytes, tmp_path: Path
) -> None:
    machine.load(archive)
    machine.store.tag(machine.store.resolve("example/two:1").id, Reference.parse("more:2"))
    (tmp_path / "out.tar").write_bytes(machine.save("example/two:1", "more:2"))
    image = machine.store.resolve("more:2")
    skopeo("copy", f"docker-archive:{tmp_path}/out.tar:more:2", f"oci:{tmp_path}/d:x")
    with tarfile.open(tmp_path / "out.tar") as tar:
        tar.extractall(tmp_path / "layout", filter="data")  # noqa: TID251 - our own archive
        manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert [m["RepoTags"] for m in manifest] == [["example/two:1", "more:2"]]
    skopeo("copy", f"oci:{tmp_path}/layout:2", f"oci:{tmp_path}/o:x")
    raw = skopeo("inspect", "--raw", f"oci:{tmp_path}/o:x")
    assert "sha256:" + hashlib.sha256(raw.encode()).hexdigest() == image.manifest.digest


def test_what_skopeo_writes_is_loaded(machine: Machine, other: Machine, archive: bytes,
                                      tmp_path: Path) -> None:  # fmt: skip
    machine.load(archive)
    image = machine.store.resolve("example/two:1")
    (tmp_path / "out.tar").write_bytes(machine.save("example/two:1"))
    source = f"docker-archive:{tmp_path}/out.tar"
    skopeo("copy", source, f"docker-archive:{tmp_path}/d.tar:from/skopeo:7")
    assert other.load((tmp_path / "d.tar").read_bytes()) == ["Loaded image: from/skopeo:7"]
    assert other.store.resolve("from/skopeo:7").id == image.id
    skopeo("copy", source, f"oci-archive:{tmp_path}/o.tar:also/oci:8")
    assert other.load((tmp_path / "o.tar").read_bytes()) == ["Loaded image: also/oci:8"]
    assert other.store.resolve("also/oci:8").config.rootfs == image.config.rootfs


def test_umoci_unpacks_our_layout_alike(machine: Machine, archive: bytes, tmp_path: Path) -> None:
    machine.load(archive)
    image = machine.store.resolve("example/two:1")
    with tarfile.open(fileobj=io.BytesIO(machine.save("example/two:1"))) as tar:
        tar.extractall(tmp_path / "layout", filter="data")  # noqa: TID251 - our own archive
    subprocess.run(
        ["umoci", "unpack", "--image", f"{tmp_path}/layout:1", f"{tmp_path}/bundle"],
        check=True, capture_output=True,
    )  # fmt: skip
    ours = {}
    for chain in image.chain_ids:  # by hand, lowest first: the files and what a layer deletes
        root = Path(machine.snapshots.directory(chain))
        for path in sorted(root.rglob("*")):
            name = str(path.relative_to(root))
            if path.is_char_device():
                ours.pop(name)
            else:
                ours[name] = os.readlink(path) if path.is_symlink() else (
                    path.read_bytes() if path.is_file() else None)  # fmt: skip
    root = tmp_path / "bundle/rootfs"
    theirs = {
        str(path.relative_to(root)): os.readlink(path) if path.is_symlink()
        else path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
    }  # fmt: skip
    assert ours == theirs


def test_names_select_what_is_saved(machine: Machine, archive: bytes) -> None:
    machine.load(archive)
    image = machine.store.resolve("example/two:1")
    machine.store.tag(image.id, Reference.parse("example/two:2"))

    def tags(*names: str) -> list[str] | None:
        with tarfile.open(fileobj=io.BytesIO(machine.save(*names))) as tar:
            (entry,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        return entry["RepoTags"]

    assert tags("example/two") == ["example/two:1", "example/two:2"]
    assert tags("example/two:2") == ["example/two:2"]
    assert tags(str(image.id)) is None
    assert tags(image.id.short, "example/two:1") == ["example/two:1"]
    with pytest.raises(NotFound, match="No such image: missing"):
        machine.save("missing")
    with pytest.raises(InvalidParameter):
        machine.save()


def test_links_between_layers_are_followed(machine: Machine, archive: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        (entry,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
    first = entry["Layers"][0]
    for link in ("../" + first, "/" + first, "loop"):
        data = rewrite(archive, {first: None, "manifest.json": json.dumps(
            [{**entry, "Layers": ["linked/layer.tar", entry["Layers"][1]]}]).encode()})  # fmt: skip
        data = data[: data.rindex(b"\0" * 1024) // 512 * 512]
        extra = build([symlink("linked/layer.tar", link), symlink("linked/loop", "layer.tar"),
                       file(first, LAYERS[0])])  # fmt: skip
        whole = io.BytesIO()
        with tarfile.open(fileobj=whole, mode="w") as out:
            for part in (data + bytes(1024), extra):
                with tarfile.open(fileobj=io.BytesIO(part)) as source:
                    for member in source:
                        content = source.extractfile(member) if member.isfile() else None
                        out.addfile(member, content)
        if link == "loop":
            with pytest.raises(InvalidParameter, match="not there"):
                machine.load(whole.getvalue())
        else:
            assert machine.load(whole.getvalue()) == ["Loaded image: example/two:1"]


_MISSING = {
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "digest": "sha256:" + "1" * 64,
    "size": 3,
}
BAD: dict[str, dict[str, bytes | None]] = {
    "no description": {"manifest.json": None},
    "description that is no JSON": {"manifest.json": b"[{"},
    "description of another shape": {"manifest.json": b'{"Config": 1}'},
    "config outside the archive": {
        "manifest.json": b'[{"Config":"../../../etc/passwd","RepoTags":[],"Layers":[]}]'},
    "config by absolute path": {
        "manifest.json": b'[{"Config":"/etc/passwd","RepoTags":[],"Layers":[]}]'},
    "layers that are no list": {
        "manifest.json": b'[{"Config":"x","RepoTags":[],"Layers":"abc"}]'},
    "name that is no reference": {
        "manifest.json": b'[{"Config":"c","RepoTags":["A B"],"Layers":[]}]',
        "c": b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'},
    "description of 5 MiB": {"manifest.json": b"[" + b" " * (5 << 20) + b"]"},
    "blob that is not what its name says": {"blobs/sha256/" + "0" * 64: b"x"},
    "blob whose name is no digest": {"blobs/sha256/short": b"x"},
    "blob of an unknown algorithm": {"blobs/md5/" + "0" * 32: b"x"},
    "manifest that is missing": {"manifest.json": None, "index.json": json.dumps(
        {"schemaVersion": 2, "manifests": [_MISSING]}).encode()},
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_bad_archive_is_refused_and_leaves_no_image(
    fault: str, machine: Machine, archive: bytes
) -> None:
    with pytest.raises((InvalidParameter, VerificationFailed)):
        machine.load(rewrite(archive, BAD[fault]))
    assert machine.is_empty()
    assert sorted(os.listdir(machine.root)) == ["images", "snapshots"]


def test_config_that_promises_other_layers_is_refused(machine: Machine, tmp_path: Path) -> None:
    docker_archive(tmp_path / "a.tar", "x:1", LAYERS)
    data = (tmp_path / "a.tar").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        (entry,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
    swapped = {entry["Layers"][0]: LAYERS[1], entry["Layers"][1]: LAYERS[0]}
    with pytest.raises(BadLayer, match="wrong diff id"):
        machine.load(rewrite(data, dict(swapped)))
    one = [{**entry, "Layers": entry["Layers"][:1]}]
    with pytest.raises(InvalidParameter, match="layers length mismatch"):
        machine.load(rewrite(data, {"manifest.json": json.dumps(one).encode()}))
    assert machine.is_empty()


@pytest.mark.parametrize("data", [b"", b"rubbish" * 500, gzipped(b"rubbish" * 500), bytes(10240)])
def test_what_is_no_archive_is_refused(data: bytes, machine: Machine) -> None:
    with pytest.raises(InvalidParameter, match="invalid archive: (this is no tar|does not)"):
        machine.load(data)
    assert machine.is_empty()


def packed(data: bytes) -> Iterator[tuple[str, bytes]]:
    yield "none", data
    for program in ("gzip", "bzip2", "xz", "zstd"):
        if shutil.which(program):
            done = subprocess.run([program, "-c"], input=data, capture_output=True, check=True)
            yield program, done.stdout


def test_import_takes_any_compression_and_makes_the_same_layer(machine: Machine) -> None:
    data = build([file("bin/x", b"program"), symlink("y", "bin/x")])
    diff_ids = set()
    for name, stream in packed(data):
        image = import_tar(
            machine.store,
            machine.snapshots,
            io.BytesIO(stream).read,
            reference=Reference.parse(f"imported:{name}"),
            changes=['CMD ["/bin/x"]', "ENV A=b"],
            message="from a test",
        )
        diff_ids.add(image.config.rootfs.diff_ids)
        assert (image.config.config.cmd, image.config.comment) == (("/bin/x",), "from a test")
        assert machine.store.resolve(f"imported:{name}").id == image.id
    assert diff_ids == {("sha256:" + hashlib.sha256(data).hexdigest(),)}


def test_import_of_rubbish_leaves_nothing(machine: Machine) -> None:
    for data in (b"rubbish" * 1000, build([file("../x")]), gzipped(b"x" * 9999)):
        with pytest.raises(BadLayer):
            import_tar(machine.store, machine.snapshots, io.BytesIO(data).read)
    assert machine.is_empty()
