"""How much room a snapshot takes by itself, without what is below it."""

import os
import stat
from dataclasses import dataclass

from cutaway import linux
from cutaway.images.resolve import INSIDE_NO_LINKS

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
USAGE_FILE = "usage"


@dataclass(frozen=True, slots=True)
class Usage:
    """Docker's and containerd's two numbers.

    Attributes:
        size_bytes: of regular files and links; a file with several names counts once.
        inodes: files of every kind.
    """

    size_bytes: int
    inodes: int


def measure_usage(directory: str) -> Usage:
    """Add up a tree that a container may be changing meanwhile; links are not followed.

    What lies deeper than a path of 4095 bytes can say is not counted.
    """
    root_fd = os.open(directory, _DIRECTORY)
    try:
        return _measure(root_fd)
    finally:
        os.close(root_fd)


def _measure(root_fd: int) -> Usage:
    size_bytes = 0
    inodes = 1
    seen: set[int] = set()
    pending = [b"."]
    while pending:
        path = pending.pop()
        try:
            fd = linux.openat2(root_fd, path, _DIRECTORY, 0, INSIDE_NO_LINKS)
        except OSError:
            continue  # gone, exchanged or too deep
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    status = _status(entry)
                    if status is None or (status.st_nlink > 1 and status.st_ino in seen):
                        continue
                    inodes += 1
                    if stat.S_ISDIR(status.st_mode):
                        pending.append(path + b"/" + os.fsencode(entry.name))
                        continue
                    if status.st_nlink > 1:
                        seen.add(status.st_ino)
                    size_bytes += status.st_size
        finally:
            os.close(fd)
    return Usage(size_bytes, inodes)


def _status(entry: "os.DirEntry[str]") -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:
        return None


def write_usage(directory: str, usage: Usage) -> None:
    """Keep a committed snapshot's numbers beside it; its owner syncs."""
    with open(f"{directory}/{USAGE_FILE}", "w", encoding="ascii") as file:
        file.write(f"{usage.size_bytes} {usage.inodes}\n")


def read_usage(directory: str) -> Usage | None:
    """Return what ``write_usage`` kept, None when it is not there or torn."""
    try:
        with open(f"{directory}/{USAGE_FILE}", encoding="ascii") as file:
            size_bytes, inodes = file.read(64).split()
        return Usage(int(size_bytes), int(inodes))
    except (OSError, ValueError):
        return None
