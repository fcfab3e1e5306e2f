"""The C library: the only place that loads it, and how its results become errors.

Argument types are set once, when a wrapper's module is imported, so that no call made inside a
container's file system has to look anything up. Only this package imports this module.
"""

import ctypes
import os
from collections.abc import Callable
from typing import Any

from cutaway.linux.abi import SYSTEM_CALLS
from cutaway.linux.errors import kernel_error

Path = str | bytes
Function = Callable[..., int]

_LIBC = ctypes.CDLL(None, use_errno=True)
_NUMBERS = SYSTEM_CALLS.get(os.uname().machine, {})
_ENOSYS_NUMBER = -1  # syscall(-1) is ENOSYS on every architecture: the honest answer


def function(name: str, *argtypes: Any) -> Function:
    """Return a C library function that returns an int and sets errno."""
    found = _LIBC[name]
    found.argtypes = argtypes
    found.restype = ctypes.c_int
    return found


def system_call(name: str, *argtypes: Any) -> Function:
    """Return a function that makes the named system call by syscall(2)."""
    found = _LIBC["syscall"]
    found.argtypes = (ctypes.c_long, *argtypes)
    found.restype = ctypes.c_long
    number = _NUMBERS.get(name, _ENOSYS_NUMBER)
    return lambda *arguments: int(found(number, *arguments))


def check(result: int, name: str, *arguments: Any) -> int:
    """Return ``result``, or raise the KernelError that errno tells when it is negative."""
    if result < 0:
        raise kernel_error(ctypes.get_errno(), name, *arguments)
    return result


def encode(text: Path | None) -> bytes | None:
    r"""Return a path or name as the bytes a C function reads.

    Raises:
        ValueError: it holds a NUL. C would silently stop reading there: ``/safe\0/../..``.
    """
    if text is None:
        return None
    data = text if isinstance(text, bytes) else os.fsencode(text)
    if b"\0" in data:
        raise ValueError(f"embedded null byte in {text!r}")
    return data
