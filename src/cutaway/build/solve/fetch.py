"""Fetching what ADD and remote contexts name: files by URL, trees by git.

Git runs as a program with its protocol list, prompts and hooks closed down: an address is data and
never an option (CVE-2019-13139).
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import IO
from urllib.parse import unquote, urlsplit

from cutaway.build.errors import BuildError
from cutaway.build.graph import Git

MAX_BYTES = 8 << 30
_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 30.0
_UNNAMED = "__unnamed__"  # BuildKit's, where neither the server nor the URL says a name
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@{}^~+-]*")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file from a server.

    Attributes:
        file: its content, at the beginning.
        name: from the URL, or from Content-Disposition where that ends with a slash.
        size: in bytes.
        mtime: of Last-Modified, 0 if there is none.
    """

    file: IO[bytes]
    name: str
    size: int
    mtime: int


@contextmanager
def fetch_url(url: str, checksum: str = "") -> Iterator[Fetched]:
    """Fetch a file into a temporary one that goes with the ``with`` block.

    Raises:
        BuildError: the server can't be reached, refuses, or sends what ``checksum`` is not of.
    """
    import urllib3

    with tempfile.TemporaryFile() as file:
        try:
            with urllib3.PoolManager(timeout=_TIMEOUT_S, retries=3) as pool:
                response = pool.request("GET", url, preload_content=False)
                if response.status >= 400:
                    raise BuildError(f"failed to load {url}: the server answered {response.status}")
                size = _receive(response.stream(_CHUNK_BYTES), file, checksum, url)
                headers = dict(response.headers)
                response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise BuildError(f"failed to load {url}: {error}") from None
        file.seek(0)
        yield Fetched(file, _name(url, headers), size, _mtime(headers))


def _receive(chunks: Iterator[bytes], file: IO[bytes], checksum: str, url: str) -> int:
    algorithm, _, expected = checksum.partition(":")
    hasher = hashlib.new(algorithm or "sha256")
    size = 0
    for chunk in chunks:
        hasher.update(chunk)
        size += file.write(chunk)
        if size > MAX_BYTES:
            raise BuildError(f"{url} is larger than {MAX_BYTES} bytes")
    if expected and hasher.hexdigest() != expected:
        raise BuildError(
            f"digest mismatch {algorithm}:{hasher.hexdigest()}: {checksum} was expected of {url}"
        )
    return size


def _name(url: str, headers: dict[str, str]) -> str:
    message = Message()
    message["Content-Disposition"] = headers.get("Content-Disposition", "")
    for text in (unquote(urlsplit(url).path), message.get_filename() or ""):
        name = os.path.basename(text)
        if name not in {"", ".", ".."}:
            return name
    return _UNNAMED


def _mtime(headers: dict[str, str]) -> int:
    try:
        return int(parsedate_to_datetime(headers.get("Last-Modified", "")).timestamp())
    except (TypeError, ValueError):
        return 0


@contextmanager
def fetch_git(source: Git) -> Iterator[IO[bytes]]:
    """Fetch one commit of a repository as a tar, in a file that goes with the ``with`` block.

    Raises:
        BuildError: git is not installed, the address or ref can't be had, or the subdirectory
            leaves the tree.
    """
    if shutil.which("git") is None:
        raise BuildError(f"cannot fetch {source.address}: git is not installed on this machine")
    _check(source)
    with tempfile.TemporaryDirectory(prefix="cutaway-git-") as directory:
        _git(directory, "init", "-q", ".")
        _fetch_commit(directory, source)
        _git(directory, "-c", "advice.detachedHead=false", "checkout", "-q", "FETCH_HEAD")
        _git(directory, "submodule", "update", "-q", "--init", "--recursive", "--depth=1")
        with tempfile.TemporaryFile() as archive:
            words = ["tar", "--sort=name", "-cf", "-"]
            if not source.keep_git_dir:
                words.append("--exclude=.git")
            tree = os.path.join(directory, source.subdirectory)
            if not os.path.realpath(tree).startswith(os.path.realpath(directory)):
                raise BuildError(f"the subdirectory {source.subdirectory} leaves the repository")
            done = subprocess.run(
                [*words, "-C", tree, "."], stdout=archive, stderr=subprocess.PIPE, check=False
            )
            if done.returncode:
                message = done.stderr.decode("utf-8", "replace").strip()
                raise BuildError(f"cannot read {source.subdirectory or '.'} of {source.address}: "
                                 f"{message}")  # fmt: skip
            archive.seek(0)
            yield archive


def _check(source: Git) -> None:
    allowed = ("http://", "https://", "git://", "ssh://", "git@", "file://")
    if not source.address.startswith(allowed):
        raise BuildError(f"unsupported git address: {source.address}")
    if source.ref and not _REF.fullmatch(source.ref):
        raise BuildError(f"invalid git ref: {source.ref}")


def _fetch_commit(directory: str, source: Git) -> None:
    what = ("--", source.address, source.ref or "HEAD")
    try:
        _git(directory, "fetch", "-q", "--depth=1", *what)
    except BuildError as error:
        if "shallow" not in str(error):
            raise
        _git(directory, "fetch", "-q", *what)  # a plain web server gives all or nothing


def _git(directory: str, *words: str) -> None:
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": directory,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "http:https:git:ssh:file",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
    }
    done = subprocess.run(
        ["git", "-c", "core.hooksPath=/dev/null", *words],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise BuildError(f"git {words[0]} failed: {done.stderr.strip() or done.returncode}")
