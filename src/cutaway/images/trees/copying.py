"""COPY and ADD: files of one tree put into another, by a worker that sees these two and no more.

The sources are walked as for a tar and made as from one, so everything that protects extraction
protects copying; there is no archive in between.

Source: Dockerfile reference, "COPY" and "ADD"; BuildKit for what these leave open.
"""

import os
from dataclasses import asdict, dataclass
from typing import Any

from cutaway.images.layers.disk_guard import free_space_floor
from cutaway.images.trees.linking import SharedFiles
from cutaway.images.trees.tree import KIND, Tree
from cutaway.images.worker_process import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyRequest:
    """What is copied where.

    Attributes:
        patterns: below the origin's root; Go's ``filepath.Match`` globs; ``""`` is the root.
        destination: absolute; with a slash at its end it must be a directory.
        owner: ``USER[:GROUP]``, names looked up in the destination; empty is root, and for
            unpacked archives as they say.
        mode: octal ``755`` or symbolic ``u+x,go-w``; empty keeps.
        unpack: a source file that is a tar, compressed or not, is extracted.
        keeps_parents: the sources' directories are kept below the destination.
        skip_parents: so many of the first ones are not.
        exclude_regexes: what matches, relative to the source, is left out with all below it; one
            behind ``!`` takes back in. The last that matches decides.
        epoch: no time later than this many seconds since 1970.
        keyword: COPY or ADD, for messages.
    """

    patterns: tuple[str, ...]
    destination: str
    owner: str = ""
    mode: str = ""
    unpack: bool = False
    keeps_parents: bool = False
    skip_parents: int = 0
    exclude_regexes: tuple[str, ...] = ()
    epoch: int | None = None
    keyword: str = "COPY"


def copy_files(
    destination: Tree,
    origin: Tree,
    request: CopyRequest,
    *,
    shared: SharedFiles | None = None,
) -> int:
    """Copy, and return how many files and directories were made.

    Args:
        destination: not in use otherwise.
        origin: not written to meanwhile.
        request: what is copied where.
        shared: the two trees' own directories, when large files may be linked.

    Raises:
        InvalidParameter: a source is not there, a glob matches nothing, a user is unknown.
        BadLayer: an archive that ADD unpacks is hostile or damaged; what came before it stays.
    """
    asked = {**asdict(request), "links": shared is not None}
    links: list[tuple[bytes, bytes, bytes]] = []

    def note(link: list[str], _: list[int]) -> None:
        origin_path, path, mark = map(os.fsencode, link)
        links.append((origin_path, path, mark))

    with destination.writing():
        entries = _start("copy", destination, origin, asked).run(on_note=note)
        if shared is not None:
            for link in links:
                shared.link(*link)
    return int(entries)


def clone_tree(destination: Tree, origin: Tree, *, floor_bytes: int | None = None) -> int:
    """Make a tree again in an empty one, as it is, and return how many entries were made.

    Args:
        destination: an empty directory's.
        origin: may be written to meanwhile: the copy is then a mixture of times.
        floor_bytes: what must stay free on the disk; None: enough for the engine to go on.

    Raises:
        System: the disk is full; what was made stays.
    """
    with destination.writing():
        worker = _start("clone", destination, origin, {}, floor_bytes=floor_bytes)
        return int(worker.run())


def make_directory(
    destination: Tree, path: str, *, owner: str = "", epoch: int | None = None
) -> bool:
    """Make a directory and its parents, 0755; True if something was made.

    Args:
        destination: whose.
        path: absolute.
        owner: ``USER[:GROUP]`` of what is made; root for none, and for a name that is not known.
        epoch: as for a copy.

    Raises:
        InvalidParameter: something on the way is no directory.
    """
    request = {"destination": path, "owner": owner, "epoch": epoch}
    with destination.writing():
        return bool(_start("mkdir", destination, None, request).run())


def digest_files(
    origin: Tree,
    patterns: tuple[str, ...],
    *,
    exclude_regexes: tuple[str, ...] = (),
    keeps_parents: bool = False,
    skip_parents: int = 0,
    keyword: str = "COPY",
) -> str:
    """Return a digest of what ``copy_files`` would copy: names, kinds, modes, owners, content.

    Times are no part of it: a fresh checkout of the same files hits the build cache.

    Raises:
        InvalidParameter: a source is not there, or a glob matches nothing.
    """
    request = {
        "patterns": patterns,
        "exclude_regexes": exclude_regexes,
        "keeps_parents": keeps_parents,
        "skip_parents": skip_parents,
        "keyword": keyword,
    }
    return str(_start("digest", None, origin, request).run())


def _start(
    operation: str,
    destination: Tree | None,
    origin: Tree | None,
    request: dict[str, Any],
    *,
    floor_bytes: int | None = None,
) -> Worker:
    place = destination or origin
    if place is None:
        raise ValueError("a copy has at least one tree")
    return Worker(
        KIND,
        {
            "op": operation,
            "mount_point": place.mount_point,
            "destination": destination and [m.to_json() for m in destination.mounts],
            "origin": origin and [m.to_json() for m in origin.mounts],
            "copy": request,
            "floor_bytes": (
                free_space_floor(place.mount_point) if floor_bytes is None else floor_bytes
            ),
        },
        directory="/",
    )
