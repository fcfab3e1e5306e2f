"""Watching files change: inotify(7)."""

import os
import struct
from ctypes import c_char_p, c_int, c_uint
from dataclasses import dataclass

from cutaway.linux.abi import IN
from cutaway.linux.libc import Path, check, encode, function

_inotify_init1 = function("inotify_init1", c_int)
_inotify_add_watch = function("inotify_add_watch", c_int, c_char_p, c_uint)
_inotify_rm_watch = function("inotify_rm_watch", c_int, c_int)
_EVENT = struct.Struct("iIII")


@dataclass(frozen=True, slots=True)
class InotifyEvent:
    """One struct inotify_event; ``name`` is empty for the watched file itself."""

    wd: int
    mask: IN
    cookie: int
    name: str


def inotify_init() -> int:
    """Return a non-blocking, close-on-exec inotify descriptor."""
    return check(_inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify_init1")


def inotify_add_watch(fd: int, path: Path, mask: IN) -> int:
    """Watch ``path``; return the watch descriptor that its events bear."""
    return check(_inotify_add_watch(fd, encode(path), mask), "inotify_add_watch", fd, path, mask)


def inotify_rm_watch(fd: int, wd: int) -> None:
    """Stop watching."""
    check(_inotify_rm_watch(fd, wd), "inotify_rm_watch", fd, wd)


def inotify_read(fd: int) -> list[InotifyEvent]:
    """Return the events there are; the empty list when there are none."""
    try:
        data = os.read(fd, 65536)
    except BlockingIOError:
        return []
    events, offset = [], 0
    while offset < len(data):
        wd, mask, cookie, length = _EVENT.unpack_from(data, offset)
        offset += _EVENT.size
        name = data[offset : offset + length].rstrip(b"\0")
        events.append(InotifyEvent(wd, IN(mask), cookie, os.fsdecode(name)))
        offset += length
    return events
