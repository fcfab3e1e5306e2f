"""The lease's file: taking it, renewing it, giving it back; by calls that file servers keep atomic.

A lease of epoch N is the file ``.cutaway.lease.N``. It is made by link(2) of a file that is whole,
which fails when the name is there: of all who ask for epoch N, one gets it. The highest epoch
counts. A holder changes its own file only.
"""

import contextlib
import json
import os
import re
import secrets
import time
from dataclasses import asdict, dataclass
from typing import Any

from cutaway.files import sync_directory
from cutaway.volumes.errors import VolumeLeased

TTL_S = 15.0
"""A lease that was not renewed for so long has expired."""
RENEW_S = 3.0
FENCE_S = 10.0
"""A holder that could not renew for so long fences itself: well before it expires for others."""

_NAME = re.compile(r"\.cutaway\.lease\.([0-9]{1,18})")
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who wants to write.

    Attributes:
        host: its name.
        engine: the engine's id.
        container: the container's id.
        name: the container's name.
    """

    host: str
    engine: str
    container: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lease as its file says it.

    Attributes:
        epoch: higher than of all holders before.
        token: tells this holding from every other; known to the holder only by having made it.
        claim: whose it is.
        is_held: it was not given back.
        age_s: since the last renewal, by the file system's own clock.
    """

    epoch: int
    token: str
    claim: Claim
    is_held: bool
    age_s: float = 0.0

    @property
    def is_live(self) -> bool:
        """Nobody else may write."""
        return self.is_held and self.age_s <= TTL_S


class LeaseLost(Exception):
    """The lease is somebody else's by now, or its file is gone."""


def take(directory: str, volume: str, claim: Claim) -> Lease:
    """Become the one writer.

    Args:
        directory: the shared one.
        volume: its name, for messages.
        claim: who asks.

    Raises:
        VolumeLeased: somebody else is; the sentence says who.
        OSError: EROFS, ENOSPC, EIO.

    Leaves behind: the lease's file, which stays when it is given back: it remembers the epoch.
    """
    token = secrets.token_hex(16)
    temporary = os.path.join(directory, f".cutaway.lease.{token}")
    try:
        now_ns = _write(temporary, token, claim)
        current = read(directory, now_ns)
        if current is not None and current.is_live:
            raise VolumeLeased(volume, **_holder(current))
        epoch = current.epoch + 1 if current is not None else 1
        path = _path(directory, epoch)
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise _was_faster(directory, volume, now_ns) from None
        if max(epochs(directory)) > epoch:  # another had this epoch already, and has left it
            os.unlink(path)
            raise _was_faster(directory, volume, now_ns)
        sync_directory(directory)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    for old in epochs(directory):
        if old < epoch:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_path(directory, old))
    return Lease(epoch=epoch, token=token, claim=claim, is_held=True)


def _was_faster(directory: str, volume: str, now_ns: int) -> VolumeLeased:
    winner = read(directory, now_ns)
    return VolumeLeased(volume, **(_holder(winner) if winner is not None else {}))


def _holder(lease: Lease) -> dict[str, Any]:
    return {**asdict(lease.claim), "age_s": lease.age_s, "epoch": lease.epoch}


def renew(directory: str, lease: Lease) -> None:
    """Say that the holder is still there.

    Raises:
        LeaseLost: it is somebody else's.
        OSError: the file system does not answer; try again soon.
    """
    if max(epochs(directory), default=0) > lease.epoch:
        raise LeaseLost(f"epoch {max(epochs(directory))} was taken")
    try:
        fd = os.open(_path(directory, lease.epoch), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise LeaseLost("its file was removed") from None
    try:
        if json.loads(os.read(fd, 1 << 16)).get("token") != lease.token:
            raise LeaseLost("its file was replaced")
        os.utime(fd)  # "now" by the clock of who keeps the file
    except ValueError:
        raise LeaseLost("its file was overwritten") from None
    finally:
        os.close(fd)


def give_back(directory: str, lease: Lease) -> None:
    """Let somebody else write; harmless when the lease is lost."""
    try:
        current = read(directory)
    except OSError:
        return
    if current is None or (current.epoch, current.token) != (lease.epoch, lease.token):
        return
    temporary = f"{_path(directory, lease.epoch)}.{lease.token}"
    _write(temporary, lease.token, lease.claim, is_held=False)
    os.rename(temporary, _path(directory, lease.epoch))


def read(directory: str, now_ns: int | None = None) -> Lease | None:
    """Return the lease of the highest epoch, or None if there never was one.

    Args:
        directory: the shared one.
        now_ns: by the file system's clock; None: as this host says, which is for showing only.
    """
    for epoch in sorted(epochs(directory), reverse=True):
        try:
            # opened: a file server's client asks the server then
            fd = os.open(_path(directory, epoch), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        with open(fd, "rb") as file:
            renewed_ns = os.fstat(fd).st_mtime_ns
            content = file.read(1 << 16)
        return _parse(epoch, content, renewed_ns, now_ns)
    return None


def _parse(epoch: int, content: bytes, renewed_ns: int, now_ns: int | None) -> Lease:
    age_s = max(0.0, ((now_ns if now_ns is not None else time.time_ns()) - renewed_ns) / 1e9)
    try:
        document = json.loads(content)
        claim = Claim(**document["claim"])
        token, is_held = str(document["token"]), bool(document["is_held"])
    except (ValueError, KeyError, TypeError):
        # Not ours, but somebody's: it must expire like any other.
        claim = Claim(host="?", engine="?", container="?", name="an unknown writer")
        token, is_held = "", True
    return Lease(epoch=epoch, token=token, claim=claim, is_held=is_held, age_s=age_s)


def epochs(directory: str) -> list[int]:
    """Return all epochs that have a file."""
    found = (_NAME.fullmatch(name) for name in os.listdir(directory))
    return [int(match.group(1)) for match in found if match is not None]


def _path(directory: str, epoch: int) -> str:
    return os.path.join(directory, f".cutaway.lease.{epoch}")


def _write(path: str, token: str, claim: Claim, *, is_held: bool = True) -> int:
    """Write a lease's file, and return the file system's time."""
    document = {"version": _VERSION, "token": token, "claim": asdict(claim), "is_held": is_held}
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(document).encode())
        os.fsync(fd)
        return os.fstat(fd).st_mtime_ns
    finally:
        os.close(fd)
