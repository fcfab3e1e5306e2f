"""Directories that ``RUN --mount=type=cache`` keeps between builds.

    ROOT/NAME/fs           what is mounted; NAME is a digest of the id, which can be any text
    ROOT/NAME/about.json   the id, and when it was made and last used
    ROOT/tmp/              being made, or being removed; swept at start

A directory gets its name when it is whole, by rename(2); commands of several builds may use one
at the same time, unless they ask for their own (``private``) or to be alone (``locked``).

Source: Dockerfile reference, "RUN --mount=type=cache".
"""

import asyncio
import contextlib
import errno
import hashlib
import os
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

from cutaway.build.graph import MountSpec
from cutaway.build.solve.blocking import run_to_end
from cutaway.files import read_json, write_json
from cutaway.images.layers.tree_removal import remove_tree
from cutaway.images.snapshots.usage import measure_usage

Fill = Callable[[str], None]
"""Puts the first content into a directory."""


@dataclass(frozen=True, slots=True)
class CacheMount:
    """One kept directory.

    Attributes:
        name: of its directory: a digest.
        identifier: what the Dockerfile calls it.
        created_s, last_used_s: seconds since 1970.
        size_bytes: what it takes.
        in_use: a command has it mounted now.
    """

    name: str
    identifier: str
    created_s: int
    last_used_s: int
    size_bytes: int
    in_use: bool


class CacheMounts:
    """All kept directories of one engine; ``use`` is the loop's, the rest any thread's.

    Args:
        root: made if missing; what a killed engine left half made is swept.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._users: Counter[str] = Counter()
        self._locks: dict[str, asyncio.Lock] = {}
        os.makedirs(f"{root}/tmp", mode=0o700, exist_ok=True)
        self._empty_tmp(prefix="")

    @contextlib.asynccontextmanager
    async def use(self, mount: MountSpec, fill: Fill | None) -> AsyncIterator[str]:
        """Have a directory for a command until the block ends; yields its path.

        Args:
            mount: its id, sharing, and what the directory is made with.
            fill: puts content into a new one.
        """
        name = self._choose(mount)
        self._users[name] += 1
        try:
            async with contextlib.AsyncExitStack() as stack:
                if mount.sharing == "locked":
                    await stack.enter_async_context(self._locks.setdefault(name, asyncio.Lock()))
                yield await run_to_end(self._open, name, mount, fill)
        finally:
            self._users[name] -= 1

    def _choose(self, mount: MountSpec) -> str:
        name = _name_of(mount.identifier)
        number = 0
        while mount.sharing == "private" and self._users[name]:
            number += 1
            name = f"{name.partition('-')[0]}-{number}"
        return name

    def _open(self, name: str, mount: MountSpec, fill: Fill | None) -> str:
        path = f"{self._root}/{name}"
        now = int(time.time())
        try:
            about = read_json(f"{path}/about.json")
            about["last_used_s"] = now
            write_json(f"{path}/about.json", about, durable=False)
        except (OSError, ValueError):
            self._make(name, mount, fill)
        return f"{path}/fs"

    def _make(self, name: str, mount: MountSpec, fill: Fill | None) -> None:
        """Make a directory whole, and only then give it its name; one that is there is replaced."""

        def make(directory: str) -> None:
            if fill is not None:
                fill(directory)
            os.chmod(directory, 0o755 if mount.mode is None else mount.mode)
            os.chown(directory, mount.uid or 0, mount.gid or 0)

        temporary = self._prepare(mount.identifier, make)
        self._throw_away(name)
        os.rename(temporary, f"{self._root}/{name}")
        self._empty_tmp()

    def _prepare(self, identifier: str, make: Fill) -> str:
        temporary = f"{self._root}/tmp/{uuid.uuid4().hex}"
        os.makedirs(f"{temporary}/fs", mode=0o755)
        make(f"{temporary}/fs")
        now = int(time.time())
        about = {"version": 1, "id": identifier, "created_s": now, "last_used_s": now}
        write_json(f"{temporary}/about.json", about, durable=False)
        return temporary

    def adopt(self, identifier: str, fill: Fill) -> bool:
        """Keep a directory that was made elsewhere, unless there is one of its id.

        Returns:
            False when there is one, which stays as it is.
        """
        path = f"{self._root}/{_name_of(identifier)}"
        if os.path.lexists(path):
            return False
        temporary = self._prepare(identifier, fill)
        try:
            os.rename(temporary, path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            os.rename(temporary, f"{self._root}/tmp/gone-{uuid.uuid4().hex}")
            self._empty_tmp()
            return False  # a build was faster
        return True

    def list(self) -> list[CacheMount]:
        """Return all kept directories, sorted by name."""
        found = []
        for name in sorted(os.listdir(self._root)):
            try:
                about = read_json(f"{self._root}/{name}/about.json")
            except (OSError, ValueError):
                continue
            found.append(
                CacheMount(
                    name=name,
                    identifier=about["id"],
                    created_s=about["created_s"],
                    last_used_s=about["last_used_s"],
                    size_bytes=measure_usage(self.directory(name)).size_bytes,
                    in_use=self._users[name] > 0,
                )
            )
        return found

    def directory(self, name: str) -> str:
        """Return where the files of a kept directory are."""
        return f"{self._root}/{name}/fs"

    def remove(self, names: Iterable[str]) -> None:
        """Remove kept directories that no command uses."""
        for name in names:
            if not self._users[name]:
                self._throw_away(name)
        self._empty_tmp()

    def _throw_away(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{self._root}/{name}", f"{self._root}/tmp/gone-{uuid.uuid4().hex}")

    def _empty_tmp(self, prefix: str = "gone-") -> None:
        fd = os.open(f"{self._root}/tmp", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in os.listdir(fd):
                if name.startswith(prefix):
                    remove_tree(fd, os.fsencode(name))
        finally:
            os.close(fd)


def _name_of(identifier: str) -> str:
    """Return the name of a directory: ids can be any text, and are never a path.

    That is CVE-2024-23651's class.
    """
    return hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest()
