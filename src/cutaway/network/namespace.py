"""Being inside a sandbox's network namespace for a moment.

``setns(CLONE_NEWNET)`` moves the calling thread only, so a worker thread of the engine can go in,
do what can't be done from outside (open ``/proc/sys/net``, make a socket) and come back, unseen by
the other threads. Nothing that may block or call foreign code is done inside.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from cutaway.linux import CLONE, setns


@contextmanager
def inside(netns_fd: int) -> Iterator[None]:
    """Run the body with the calling thread in the namespace of ``netns_fd``.

    Raises:
        KernelError: EPERM, EINVAL (not a network namespace); EBADF.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(netns_fd, CLONE.NEWNET)
        try:
            yield
        finally:
            # If this failed the thread would go on in the wrong namespace: let it die loudly.
            setns(home, CLONE.NEWNET)
    finally:
        os.close(home)


@contextmanager
def born_without_ipv6() -> Iterator[None]:
    """Let devices that are made in the thread's namespace by the body have IPv6 disabled.

    Disabling it on a device that is there waits for a grace period of the kernel (1 to 4 ms);
    one that is born so costs nothing. Other devices that appear meanwhile are born so, too, and
    what somebody writes into this setting meanwhile is lost: for namespaces where nobody is yet.

    Raises:
        OSError: EROFS, ENOENT (the kernel has no IPv6).
    """
    fd = os.open("/proc/sys/net/ipv6/conf/default/disable_ipv6", os.O_RDWR | os.O_CLOEXEC)
    try:
        before = os.read(fd, 16)
        os.pwrite(fd, b"1", 0)
        try:
            yield
        finally:
            os.pwrite(fd, before, 0)
    finally:
        os.close(fd)
