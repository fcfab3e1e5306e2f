"""Files that steps copy from: the client's context, fetched things, documents; as snapshots.

Every origin becomes a snapshot of its own for the time of a build, so that copying and mounting
know only one kind of source. Extraction of what clients and servers send is the confined worker's.
"""

import asyncio
import io
import tarfile
import tempfile
import uuid
from typing import IO

from cutaway.build.dockerfile.dockerignore import IgnoreRules, parse_dockerignore
from cutaway.build.errors import BuildError
from cutaway.build.graph import Context, Git, Inline, Remote
from cutaway.build.solve.command import WORKING_PREFIX
from cutaway.build.solve.fetch import fetch_git, fetch_url
from cutaway.images.snapshots import Snapshots
from cutaway.images.trees.tree import Tree, put_archive

_REMOTE_MODE = 0o600  # "ADD": "the destination will have permissions of 600"

Origin = Context | Remote | Git | Inline


class OriginStore:
    """The origins of one build.

    Args:
        snapshots: where they are made.
        context_key: the snapshot of the client's files; empty when there are none.
    """

    def __init__(self, snapshots: Snapshots, context_key: str = "") -> None:
        self._snapshots = snapshots
        self.context_key = context_key
        self._keys: list[str] = []
        self._made: dict[int, asyncio.Task[str]] = {}

    async def key_of(self, origin: Origin) -> str:
        """Return the snapshot key of an origin, making it on first use.

        Raises:
            BuildError: there is no context, or fetching failed.
        """
        if isinstance(origin, Context):
            if not self.context_key:
                raise BuildError("this build has no context to copy from")
            return self.context_key
        task = self._made.get(id(origin))
        if task is None:
            making = asyncio.to_thread(self._make, origin)
            task = self._made[id(origin)] = asyncio.create_task(making)
        return await task

    def _make(self, origin: Remote | Git | Inline) -> str:
        if isinstance(origin, Git):
            with fetch_git(origin) as archive:
                return self.add_archive(archive.fileno())
        with tempfile.TemporaryFile() as archive:
            if isinstance(origin, Inline):
                content = origin.content.encode()
                facts = _facts(origin.name, size=len(content), mode=origin.mode)
                _write_tar(archive, facts, io.BytesIO(content))
            else:
                with fetch_url(origin.url, origin.checksum) as fetched:
                    facts = _facts(fetched.name, size=fetched.size, mode=_REMOTE_MODE)
                    facts.mtime = fetched.mtime
                    _write_tar(archive, facts, fetched.file)
            archive.flush()
            archive.seek(0)
            return self.add_archive(archive.fileno())

    def add_archive(self, tar_fd: int) -> str:
        """Unpack a tar, compressed or not, into a new snapshot and return its key."""
        key = f"{WORKING_PREFIX}origin-{uuid.uuid4().hex}"
        self._snapshots.prepare(key, None, is_volatile=True)
        self._keys.append(key)
        put_archive(Tree.stopped(self._snapshots, key), "/", tar_fd)
        return key

    def close(self) -> None:
        """Remove what was made."""
        while self._keys:
            self._snapshots.remove(self._keys.pop())


def _facts(name: str, *, size: int, mode: int) -> tarfile.TarInfo:
    facts = tarfile.TarInfo(name)
    facts.size, facts.mode = size, mode
    return facts


def _write_tar(out: IO[bytes], facts: tarfile.TarInfo, content: IO[bytes]) -> None:
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(facts, content)


def context_rules(ignore_file: bytes | None) -> IgnoreRules:
    """Return the rules of a context's ``.dockerignore``; an absent one ignores nothing."""
    text = (ignore_file or b"").decode("utf-8", "replace")
    return IgnoreRules(parse_dockerignore(text))
