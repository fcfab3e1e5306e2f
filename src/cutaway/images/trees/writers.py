"""One writer at a time for each stopped tree: overlay's work directory can serve no second one."""

import contextlib
import threading
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Turn:
    """The lock of one tree, and how many hold it or wait for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


# Lock order: _GUARD guards _TURNS for a moment; a turn's own lock is taken without it.
_GUARD = threading.Lock()
_TURNS: dict[Hashable, _Turn] = {}


@contextlib.contextmanager
def writing(tree: Hashable) -> Iterator[None]:
    """Be the only writer of a tree until the block ends; others wait.

    Args:
        tree: what is equal for the same tree: its mounts.
    """
    with _GUARD:
        turn = _TURNS.setdefault(tree, _Turn())
        turn.users += 1
    try:
        with turn.lock:
            yield
    finally:
        with _GUARD:
            turn.users -= 1
            if not turn.users:
                del _TURNS[tree]
