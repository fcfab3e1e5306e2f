"""What a build is made from: a client's tar, a URL or a git repository, with its Dockerfile."""

import errno
import os
import stat
from dataclasses import dataclass
from typing import IO

from cutaway.build.dockerfile.dockerignore import IgnoreRules, parse_dockerignore
from cutaway.build.graph import Git
from cutaway.build.solve.fetch import fetch_git, fetch_url
from cutaway.build.solve.origins import OriginStore
from cutaway.engine.core import Core
from cutaway.engine.threads import read_by_pipe
from cutaway.errors import InvalidParameter
from cutaway.images.resolve import INSIDE_NO_LINKS, open_in_root
from cutaway.linux import openat2
from cutaway.model import BuildRequest, ByteStream

DEFAULT_DOCKERFILE = "Dockerfile"
_MAX_DOCKERFILE_BYTES = 1 << 20
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5")
# A name that a context can't have, or has for a socket.
_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO)
_READ_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class ReadContext:
    """A context, unpacked.

    Attributes:
        key: the snapshot that has its files; empty when there is only a Dockerfile.
        dockerfile: its text.
        name: what the Dockerfile is called.
    """

    key: str
    dockerfile: str
    name: str


async def read_context(
    core: Core, request: BuildRequest, body: ByteStream, origins: OriginStore
) -> ReadContext:
    """Unpack what a request sends or names, and read its Dockerfile.

    Raises:
        InvalidParameter: no Dockerfile, or an address that can't be one.
        BadLayer: the tar is damaged or hostile.
    """
    name = request.dockerfile or DEFAULT_DOCKERFILE
    if request.remote:
        fetched = await core.loop.run_in_executor(core.transfers, _fetch, request.remote, origins)
        if isinstance(fetched, ReadContext):
            return fetched
        key = fetched
    else:
        key = await read_by_pipe(core.transfers, body, origins.add_archive)
    return ReadContext(key, await core.in_thread(_take_dockerfile, core, key, name), name)


def _take_dockerfile(core: Core, key: str, name: str) -> str:
    """Read the Dockerfile, and take it out of the context if ``.dockerignore`` says so.

    Clients send both files also when they are ignored: the engine needs them.
    """
    root = core.snapshots.directory(key)
    text = _read_file(root, name)
    if text is None:
        raise InvalidParameter(f"Cannot locate specified Dockerfile: {name}")
    ignore = _read_file(root, ".dockerignore")
    if ignore is not None:
        rules = IgnoreRules(parse_dockerignore(ignore))
        for path in (name.lstrip("/"), ".dockerignore"):
            if rules.ignores(path):
                remove_file(root, path)
    return text


def _read_file(root: str, name: str) -> str | None:
    """Read a regular file of a client's context; links are followed inside it only."""
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = open_in_root(root_fd, os.fsencode(name).lstrip(b"/"), _READ_FILE)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        return None
    finally:
        os.close(root_fd)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        return _read_text(file, name)


def _read_text(file: IO[bytes], name: str) -> str:
    data = file.read(_MAX_DOCKERFILE_BYTES + 1)
    if len(data) > _MAX_DOCKERFILE_BYTES:
        raise InvalidParameter(f"{name} is larger than 1 MiB")
    return data.decode("utf-8", "replace")


def _fetch(remote: str, origins: OriginStore) -> str | ReadContext:
    """Fetch a remote context: a repository, an archive, or a lone Dockerfile."""
    address, _, fragment = remote.partition("#")
    if address.startswith(("git://", "git@", "ssh://")) or address.endswith(".git"):
        ref, _, subdirectory = fragment.partition(":")
        with fetch_git(Git(address, ref, subdirectory)) as archive:
            return origins.add_archive(archive.fileno())
    if not address.startswith(("http://", "https://")):
        raise InvalidParameter(f"remote context is neither a URL nor a git address: {remote}")
    with fetch_url(remote) as fetched:
        head = fetched.file.read(512)
        fetched.file.seek(0)
        if not _is_text(head):
            return origins.add_archive(fetched.file.fileno())
        return ReadContext("", _read_text(fetched.file, remote), DEFAULT_DOCKERFILE)


def _is_text(head: bytes) -> bool:
    return b"\0" not in head and not head.startswith(_COMPRESSED)


def remove_file(root: str, path: str) -> None:
    """Remove a file of a client's context; no link on the way is followed."""
    directory, _, leaf = path.rpartition("/")
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        fd = openat2(root_fd, directory or ".", flags, 0, INSIDE_NO_LINKS)
    finally:
        os.close(root_fd)
    try:
        os.unlink(leaf, dir_fd=fd)
    finally:
        os.close(fd)
