"""Squashing layers: one layer that says the same as several, checked against a plain model."""

import io

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from cutaway.images.layers import tar_header as tar
from cutaway.images.layers.errors import BadLayer
from cutaway.images.layers.tar_read import Entry, TarReader
from cutaway.images.layers.tar_write import TarWriter
from cutaway.images.trees.merging import Merger
from support.tars import build, directory, file, hard_link, symlink

Tree = dict[str, tuple]  # path to (kind, content or link target or None)


def apply(tree: Tree, layer: bytes) -> Tree:
    """Apply a layer as image-spec says: deletions to what is below, then its entries."""
    entries = []
    reader = TarReader(io.BytesIO(layer).read)
    for entry in reader:
        entries.append((entry, b"".join(bytes(p) for p in reader.pieces())))
    below = dict(tree)
    mine: Tree = {}
    for entry, _ in entries:
        path = entry.name.decode().strip("/")
        parent, _, leaf = path.rpartition("/")
        if leaf == ".wh..wh..opq":
            below = {p: v for p, v in below.items() if not p.startswith(f"{parent}/" * bool(parent))
                     or p == parent}  # fmt: skip
        elif leaf.startswith(".wh."):
            gone = f"{parent}/{leaf[4:]}" if parent else leaf[4:]
            below = {p: v for p, v in below.items() if p != gone and not p.startswith(f"{gone}/")}
    for entry, data in entries:
        path = entry.name.decode().strip("/")
        if path.rpartition("/")[2].startswith(".wh."):
            continue
        if entry.kind == tar.DIRECTORY:
            mine[path] = ("dir", None)
        elif entry.kind == tar.SYMLINK:
            mine[path] = ("link", entry.link)
        elif entry.kind == tar.HARD_LINK:
            assert entry.link.decode() in mine, f"{path} links to missing {entry.link.decode()}"
            mine[path] = mine[entry.link.decode()]
        else:
            mine[path] = ("file", data)
    for path in list(mine):
        parts = path.split("/")
        for count in range(1, len(parts)):
            mine.setdefault("/".join(parts[:count]), ("dir", None))
    merged = dict(below)
    for path, value in sorted(mine.items()):  # parents first
        if value[0] != "dir" or merged.get(path, value)[0] != "dir":
            merged = {p: v for p, v in merged.items() if not p.startswith(f"{path}/") and p != path}
        merged[path] = value
    return merged


def build_state(layers: list[bytes]) -> Tree:
    tree: Tree = {}
    for layer in layers:
        tree = apply(tree, layer)
    return tree


def squash(layers: list[bytes], *, keeps: bool) -> bytes:
    out = bytearray()
    writer = TarWriter(out.extend)
    merger = Merger(writer, keeps_whiteouts=keeps)
    for layer in reversed(layers):
        merger.add_layer(lambda layer=layer: TarReader(io.BytesIO(layer).read))  # type: ignore[misc]
    writer.close()
    return bytes(out)


names = st.sampled_from(["a", "b"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)


@st.composite
def layers(draw: st.DrawFn) -> bytes:
    """A layer without contradictions: no entry below a file of its own, no name twice."""
    entries: dict[str, tuple] = {}
    files: list[str] = []
    count = draw(st.integers(0, 5))
    for number in range(count):
        path = draw(paths)
        kind = draw(st.sampled_from(["file", "dir", "link", "hard", "gone", "opaque"]))
        parents = ["/".join(path.split("/")[:n]) for n in range(1, path.count("/") + 1)]
        if any(p in entries and entries[p][0].kind != tar.DIRECTORY for p in parents):
            continue
        if path in entries or (kind not in ("dir", "opaque") and any(
            p.startswith(f"{path}/") for p in entries)):  # fmt: skip
            continue
        if kind == "file":
            entries[path] = file(path, f"{number}-{draw(st.integers(0, 99))}".encode())
            files.append(path)
        elif kind == "dir":
            entries[path] = directory(path)
        elif kind == "link":
            entries[path] = symlink(path, "target")
            files.append(path)
        elif kind == "hard" and files:
            entries[path] = hard_link(path, draw(st.sampled_from(files)))
            files.append(path)
        elif kind in ("gone", "opaque"):
            # As all tools do: what has a deletion in it is there as a directory.
            for above in [*parents, *([path] if kind == "opaque" else [])]:
                entries.setdefault(above, directory(above))
            parent, slash, leaf = path.rpartition("/")
            name = f"{path}/.wh..wh..opq" if kind == "opaque" else f"{parent}{slash}.wh.{leaf}"
            entries[name] = file(name, b"")
    return build(entries.values())


def tell(layers: list[bytes]) -> str:
    return " | ".join(
        " ".join(
            f"{e.name.decode()}{e.kind.decode()}{e.link.decode()}"
            for e in TarReader(io.BytesIO(x).read)
        )
        for x in layers
    )


@given(layers(), st.lists(layers(), min_size=1, max_size=4))
@settings(max_examples=1500)
def test_squashed_layers_on_a_base_make_the_same_tree(base: bytes, above: list[bytes]) -> None:
    merged = squash(above, keeps=True)
    expected = build_state([base, *above])
    note(tell([base, *above, merged]))
    assert build_state([base, merged]) == expected, tell([base, *above, merged])


@given(st.lists(layers(), min_size=1, max_size=4))
@settings(max_examples=800)
def test_squashed_layers_alone_make_the_same_tree_and_tell_no_deletion(all_: list[bytes]) -> None:
    merged = squash(all_, keeps=False)
    assert b".wh." not in merged
    note(tell([*all_, merged]))
    assert build_state([merged]) == build_state(all_), tell([*all_, merged])


def test_link_inherits_the_content_of_a_file_that_was_replaced() -> None:
    lower = build([file("a", b"old"), hard_link("b", "a"), hard_link("c", "b")])
    for upper in ([file("a", b"new")], [file("a", b"new"), file("b", b"newer")]):
        merged = squash([lower, build(upper)], keeps=False)
        assert build_state([merged]) == build_state([lower, build(upper)])


def test_directory_over_file_over_directory_shows_nothing_of_the_lowest() -> None:
    chain = [build([file("a/x")]), build([file("a")]), build([directory("a"), file("a/y")])]
    assert set(build_state([squash(chain, keeps=False)])) == {"a", "a/y"}
    base, *above = chain
    assert set(build_state([base, squash(above, keeps=True)])) == {"a", "a/y"}


def test_later_entry_of_a_layer_replaces_an_earlier_one() -> None:
    merged = squash([build([file("a", b"1"), file("a", b"2")])], keeps=False)
    assert build_state([merged])["a"] == ("file", b"2")


@pytest.mark.parametrize(
    "hostile",
    [
        [file("../x")],
        [symlink("s", "/"), file("s/x")],
        [file("f"), file("f/x")],
        [hard_link("h", "missing")],
        [hard_link("h", "../../etc/passwd")],
        [directory("d"), file("d")],
        [file("a"), hard_link("b", "a"), file("a")],
        [file("a/.wh..", b"")],
    ],
)
def test_what_one_tar_can_not_say_is_refused(hostile: list) -> None:
    with pytest.raises(BadLayer):
        squash([build(hostile)], keeps=True)


def test_attributes_are_those_of_the_topmost_entry() -> None:
    low, data = directory("d", 0o700)
    low.uid = 5
    merged = squash([build([(low, data)]), build([directory("d", 0o711)])], keeps=False)
    (entry,) = list(TarReader(io.BytesIO(merged).read))
    assert isinstance(entry, Entry)
    assert (entry.mode, entry.uid) == (0o711, 0)
