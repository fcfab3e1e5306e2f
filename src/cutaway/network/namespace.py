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
