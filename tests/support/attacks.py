"""Tars whose entries try to leave the directory that they are unpacked into.

Each takes a directory outside, with a file ``canary`` in it, which ``UP`` reaches from a layer's
directory two levels below the same parent.
"""

from cutaway.images.layers import tar_header as tar
from support.tars import directory, file, hard_link, node, symlink

UP = "../../outside"

ESCAPES = {
    "dots in a name": lambda out: [file(f"{UP}/canary")],
    "dots after a directory": lambda out: [directory("a"), file(f"a/../{UP}/canary")],
    "dots in a directory's name": lambda out: [directory(f"{UP}/new")],
    "dots in a link's name": lambda out: [symlink(f"{UP}/new", "x")],
    "dots in a device's name": lambda out: [node(f"{UP}/null", tar.CHARACTER, 1, 3)],
    "dots in a whiteout's name": lambda out: [file(f"{UP}/.wh.canary", b"")],
    "hard link to dots": lambda out: [hard_link("a", f"{UP}/canary"), file("a")],
    "hard link to an absolute path": lambda out: [hard_link("a", f"{out}/canary"), file("a")],
    "hard link through a link": lambda out: [
        symlink("s", UP), hard_link("a", "s/canary"), file("a")],
    "hard link through an absolute link": lambda out: [
        symlink("s", str(out)), hard_link("a", "s/canary")],
    "hard link to the root": lambda out: [hard_link("a", "/")],
    "hard link to a directory": lambda out: [directory("d"), hard_link("a", "d")],
    "hard link to itself": lambda out: [file("a"), hard_link("a", "a")],
    "file through a relative link": lambda out: [symlink("s", UP), file("s/canary")],
    "file through an absolute link": lambda out: [symlink("s", str(out)), file("s/canary")],
    "file through a chain of links": lambda out: [
        symlink("a", "b"), symlink("b", f"c/{UP}"), symlink("c", "."), file("a/canary")],
    "link loop on the way": lambda out: [symlink("a", "b"), symlink("b", "a"), file("a/x")],
    "whiteout through a link": lambda out: [symlink("s", UP), file("s/.wh.canary", b"")],
    "opaque mark through a link": lambda out: [symlink("s", UP), file("s/.wh..wh..opq", b"")],
    "whiteout of the directory": lambda out: [file("a/.wh..", b"")],
    "whiteout of the parent": lambda out: [file("a/.wh...", b"")],
    "whiteout of nothing": lambda out: [file("a/.wh.", b"")],
    "root replaced by a link": lambda out: [symlink("./", str(out)), file("canary")],
    "root replaced by a file": lambda out: [file(".")],
    "link without a target": lambda out: [symlink("s", "")],
    "entry below a file": lambda out: [file("a"), file("a/b")],
    "path over PATH_MAX": lambda out: [file("a/" * 2100 + "x")],
    "name over NAME_MAX": lambda out: [file("a" * 300)],
    "device number out of range": lambda out: [node("d", tar.BLOCK, 1 << 13, 0)],
}  # fmt: skip
