"""What flows between the API and the engine when an answer is more than one document.

Four shapes: bytes that come (``ByteStream``: a tar body), bytes that go (``LogStream``,
``ArchiveStream``), a connection that is handed over whole (``HijackedConnection``: attach, exec),
and an answer that may outlive the engine (``PendingAnswer``: wait).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from cutaway.model.mount import PathStat

ByteStream: TypeAlias = AsyncIterator[bytes]
"""Pieces of bytes, none empty, as they come; not asking for the next holds the sender back."""

Filters: TypeAlias = Mapping[str, tuple[str, ...]]
"""Docker's ``--filter``: several values of one name are alternatives, several names all apply.

``{"label": ("a", "b=c"), "status": ("running",)}``. The API has checked the names (``invalid
filter 'x'``), not the values. Labels must all match, as Docker has it.
"""


@dataclass(frozen=True, slots=True)
class HijackedConnection:
    """A client's connection after its HTTP part is over; whoever is handed it owns ``fd``.

    Attributes:
        fd: a connected stream socket, non-blocking, close-on-exec. Pass it on (SCM_RIGHTS) and
            close your copy, or serve it and close it. ``shutdown(SHUT_RD)`` by the client means
            end of stdin only: output goes on (half-close).
        unread: bytes the client sent behind its request: the first bytes of stdin.
    """

    fd: int
    unread: bytes


class Upgrade(Protocol):
    """Ends the HTTP part of a connection: call it once, when nothing can be refused any more.

    Until it is called an error becomes an ordinary HTTP answer. When it returns, the client has
    its ``101 UPGRADED`` (or the old raw ``200``) and has had time to read it.
    """

    async def __call__(self, *, tty: bool) -> HijackedConnection:
        """Send the headers; ``tty`` says whether the bytes will be raw (else stdcopy frames)."""
        ...


@dataclass(frozen=True, slots=True)
class PendingAnswer:
    """The half-sent answer of ``wait``: status and headers have gone, the exit code is missing.

    Attributes:
        fd: the client's socket, duplicated: the receiver owns it. None when somebody else could
            not write to it directly (TLS).
        template: bytes that end the answer once the code is filled in: ``template % code``.
            Write them only if the engine has gone; else just close ``fd``.
    """

    fd: int | None
    template: bytes


Begin: TypeAlias = Callable[[], Awaitable["PendingAnswer | None"]]
"""Sends status and headers of a ``wait``; None when the answer can't be handed over."""


@dataclass(frozen=True, slots=True)
class LogStream:
    """The output of a container, ready for the wire.

    Attributes:
        tty: raw bytes; otherwise each piece holds whole stdcopy frames (stream, 0, 0, 0, length as
            4 bytes big-endian, data).
        chunks: pieces of any size; closing the iterator (``aclose``) ends a ``follow``.
    """

    tty: bool
    chunks: ByteStream


@dataclass(frozen=True, slots=True)
class ArchiveStream:
    """A path of a container as a tar stream, and what it is."""

    stat: PathStat
    chunks: ByteStream
