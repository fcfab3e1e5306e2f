"""vfork(2) for an interpreter: a child in its parent's memory, so that nothing is copied.

The problem: of the time that a program takes to start, a fork's copies are the most: of the page
tables, of each page that the child or the parent then writes to, and their end at execve(2). With
CLONE_VM and CLONE_VFORK the child has the parent's memory instead, and the parent stands still
until the child executes or ends. But what the parent would find then is an interpreter in the
middle of what the child last did.

The model: the parent is used up by it. It leaves its own stack for a chain of contexts
(makecontext(3)): one makes the child; the next, whatever became of the child, waits at a socket
without a turn on a processor, which the child needs; the last calls ``_exit``. No line of Python
runs in the parent again. The child begins, on a stack of its own, in the function that it was made
for.
"""

import ctypes
import mmap
import os
from collections.abc import Callable
from ctypes import c_int, c_size_t, c_uint64, c_ulong, c_void_p
from typing import NoReturn

from cutaway.linux.abi import CLONE
from cutaway.linux.libc import check, function
from cutaway.linux.processes import CLONE3_NUMBER, CloneArgs

_STACK_BYTES = 8 << 20  # as a main thread's; only what is touched becomes memory
_CONTEXT_STACK_BYTES = 1 << 16
_INHERITED = CLONE.VM | CLONE.VFORK

#: Whether this machine's syscall(2) returns by an address on the stack, which can be the child's.
CAN_VFORK = os.uname().machine == "x86_64"


class _Context(ctypes.Structure):
    """The head of ucontext_t, and more room than the rest needs."""

    _fields_ = (
        ("flags", c_ulong),
        ("link", c_void_p),
        ("stack", c_void_p),
        ("stack_flags", c_int),
        ("stack_size", c_size_t),
        ("rest", c_uint64 * 256),
    )


_Entry = ctypes.CFUNCTYPE(None)
_getcontext = function("getcontext", c_void_p)
# PyDLL: the interpreter is not let go, the child goes on with it.
_setcontext = ctypes.PyDLL(None)["setcontext"]
_setcontext.argtypes = (c_void_p,)
_LIBC = ctypes.CDLL(None)


class VFork:
    """A child in the making: all that can be is done, and its memory touched, before ``start``.

    Args:
        run: what the child does; it leaves only by execve(2) or ``os._exit``.
        flags: as of clone3(2); CLONE_PARENT, if the child is to be told from this process.
        cgroup_fd: of the v2 cgroup that the child is born in, or None.
        end_fd: a socket; readable when this process is to end, at last.

    Preconditions: ``CAN_VFORK``.
    """

    def __init__(
        self, run: Callable[[], NoReturn], flags: CLONE, cgroup_fd: int | None, end_fd: int
    ) -> None:
        entry = _Entry(run)
        stack = mmap.mmap(-1, _STACK_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        bottom = ctypes.addressof(ctypes.c_char.from_buffer(stack))
        top = bottom + _STACK_BYTES - 16  # aligned as the ABI wants it before a call
        # The child finds this where syscall(2) looks for the way back to its caller.
        c_void_p.from_address(top).value = ctypes.cast(entry, c_void_p).value
        arguments = CloneArgs(flags=flags | _INHERITED, stack=bottom, stack_size=top - bottom)
        if cgroup_fd is not None:
            arguments.flags |= CLONE.INTO_CGROUP
            arguments.cgroup = cgroup_fd
        call = (CLONE3_NUMBER, ctypes.addressof(arguments), ctypes.sizeof(arguments))
        wait = _context("recv", (end_fd, 0, 0, 0), _context("_exit", (0,), None))
        self._start = _context("syscall", call, wait)
        self._held = (entry, stack, arguments)

    def start(self) -> NoReturn:
        """Make the child; when it has executed or ended, wait until this process is to end.

        A child that can't be made (EAGAIN, ENOMEM) is not told of.

        Preconditions: this process has one thread, and nothing left to do.
        """
        check(_setcontext(ctypes.addressof(self._start)), "setcontext")
        raise AssertionError("setcontext(3) returned")


def _context(name: str, arguments: tuple[int, ...], then: _Context | None) -> _Context:
    """Return a context that calls a C function and goes on in another, or nowhere."""
    context = _Context()
    check(_getcontext(ctypes.addressof(context)), "getcontext")
    stack = ctypes.create_string_buffer(_CONTEXT_STACK_BYTES)
    context.stack, context.stack_size = ctypes.addressof(stack), _CONTEXT_STACK_BYTES
    context.link = None if then is None else ctypes.addressof(then)
    context.held = (stack, then)  # as long as the context
    words = [ctypes.c_ulong(value) for value in arguments]
    _LIBC.makecontext(ctypes.byref(context), _LIBC[name], len(words), *words)
    return context
