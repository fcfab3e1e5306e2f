"""Sending a blob: not at all if the registry has it, mounted if it has it elsewhere, else in full.

| request | answer | then |
|---|---|---|
| ``HEAD blobs/DIGEST`` | 200 | it is there |
| ``POST blobs/uploads/?mount=DIGEST&from=OTHER`` | 201 | mounted from another repository |
| ``POST blobs/uploads/`` (or the one above) | 202, Location | an upload has begun |
| ``PUT LOCATION?digest=DIGEST``, whole body | 201 | sent in one piece (monolithic) |
| ``PATCH LOCATION``, a piece | 202, Location | sent in pieces (chunked); then an empty PUT |

A broken monolithic upload begins anew; a broken chunked one asks how much arrived and goes on.

Source: distribution-spec "Push".
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlencode, urlsplit

from cutaway.errors import System
from cutaway.images.cancellation import Cancelled
from cutaway.images.content import ContentStore
from cutaway.images.registry.patience import Patience
from cutaway.images.registry.refusal import RegistryRefusal
from cutaway.images.registry.repository import RETRIED, Repository
from cutaway.images.registry.transport import Response, TransportFailure
from cutaway.oci import Descriptor

_PIECE_BYTES = 1024 * 1024
_MONOLITHIC_LIMIT = 256 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024 * 1024
_TOO_LARGE = frozenset({405, 411, 413})
_FINISH_TIMEOUT_S = 300.0  # a registry may read the whole blob again before it answers
_ERROR_LIMIT = 64 * 1024


class Outcome(StrEnum):
    """How a blob came to be in the repository."""

    EXISTED = "existed"
    MOUNTED = "mounted"
    PUSHED = "pushed"


@dataclass(frozen=True, slots=True)
class Upload:
    """What became of one blob.

    Attributes:
        outcome: how.
        mounted_from: the other repository's path.
    """

    outcome: Outcome
    mounted_from: str = ""


class BlobUpload:
    """Sends one blob of the content store to one repository; ``run`` is called once."""

    def __init__(
        self,
        repository: Repository,
        content: ContentStore,
        descriptor: Descriptor,
        *,
        on_bytes: Callable[[int], None],
        is_cancelled: Callable[[], bool],
        chunk_bytes: int = 0,
    ) -> None:
        self._repository = repository
        self._content = content
        self._descriptor = descriptor
        self._on_bytes = on_bytes
        self._is_cancelled = is_cancelled
        self._chunk_bytes = chunk_bytes
        if not chunk_bytes and descriptor.size > _MONOLITHIC_LIMIT:
            self._chunk_bytes = _CHUNK_BYTES

    def run(self, mount_from: tuple[str, ...] = ()) -> Upload:
        """Make the repository have the blob.

        Args:
            mount_from: paths of repositories of the same registry that may have it.

        Raises:
            RegistryRefusal: the registry refuses.
            TransportFailure: it kept failing.
            Cancelled: between two pieces.
        """
        if self._repository.blob_size(self._descriptor.digest) is not None:
            return Upload(Outcome.EXISTED)
        location = None
        for path in mount_from:
            location = self._begin(mount_from=path)
            if location is None:
                return Upload(Outcome.MOUNTED, path)
            self._repository.transport.explain(f"{path} did not lend the blob: it is sent")
            break  # the attempt began an upload: use it
        self._send(location)
        return Upload(Outcome.PUSHED)

    def _begin(self, mount_from: str = "") -> str | None:
        """Begin an upload and return its location; None when the blob was mounted instead."""
        path = "blobs/uploads/"
        if mount_from:
            path += "?" + urlencode({"mount": self._descriptor.digest, "from": mount_from})
        response = self._repository.request("POST", path, {"Content-Length": "0"}, follow=False)
        response.read(_ERROR_LIMIT)
        if response.status == 201 and mount_from:
            return None
        return self._repository.locate(response.header("Location"))

    def _send(self, location: str | None) -> None:
        patience = self._repository.make_patience()
        while True:
            try:
                current = location or self._begin()
                location = None
                if current is None:
                    return
                if self._chunk_bytes:
                    self._send_chunked(current, patience)
                else:
                    self._send_whole(current, patience)
                return
            except TransportFailure as failure:
                if not failure.is_transient:
                    raise
                patience.after_failure(failure)
            except RegistryRefusal as refusal:
                if refusal.status in _TOO_LARGE and not self._chunk_bytes:
                    self._chunk_bytes = _CHUNK_BYTES // 8
                    continue
                if refusal.status not in RETRIED:
                    raise
                patience.after_failure(refusal)

    def _send_whole(self, location: str, patience: Patience) -> None:
        size = self._descriptor.size
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        response = self._repository.request(
            "PUT",
            self._with_digest(location),
            headers,
            body=lambda: self._pieces(0, size),
            patience=patience,
            follow=False,
            retry=False,
            timeout_s=_FINISH_TIMEOUT_S,
        )
        self._expect_created(response)

    def _send_chunked(self, location: str, patience: Patience) -> None:
        offset = 0
        while offset < self._descriptor.size:
            end = min(offset + self._chunk_bytes, self._descriptor.size)
            try:
                location = self._send_chunk(location, offset, end, patience)
                offset = end
                patience.progressed()
            except TransportFailure as failure:
                if not failure.is_transient:
                    raise
                patience.after_failure(failure)
                location, offset = self._ask_offset(location)
        headers = {"Content-Length": "0"}
        response = self._repository.request(
            "PUT",
            self._with_digest(location),
            headers,
            patience=patience,
            follow=False,
            timeout_s=_FINISH_TIMEOUT_S,
        )
        self._expect_created(response)

    def _send_chunk(self, location: str, start: int, end: int, patience: Patience) -> str:
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(end - start),
            "Content-Range": f"{start}-{end - 1}",
        }
        response = self._repository.request(
            "PATCH",
            location,
            headers,
            body=lambda: self._pieces(start, end),
            patience=patience,
            follow=False,
            retry=False,
        )
        response.read(_ERROR_LIMIT)
        return self._repository.locate(response.header("Location") or location)

    def _ask_offset(self, location: str) -> tuple[str, int]:
        response = self._repository.request("GET", location, {}, follow=False)
        response.read(_ERROR_LIMIT)
        _, dash, last = response.header("Range").removeprefix("bytes=").partition("-")
        arrived = int(last[:19]) + 1 if dash and last.isdecimal() and last != "0" else 0
        return self._repository.locate(response.header("Location") or location), arrived

    def _pieces(self, start: int, end: int) -> Iterator[bytes]:
        with self._content.open(self._descriptor.digest) as file:
            file.seek(start)
            position = start
            while position < end:
                if self._is_cancelled():
                    raise Cancelled
                piece = file.read(min(_PIECE_BYTES, end - position))
                if not piece:
                    raise System(f"blob {self._descriptor.digest} is damaged: it is too short")
                yield piece
                position += len(piece)
                self._on_bytes(position)

    def _with_digest(self, location: str) -> str:
        separator = "&" if urlsplit(location).query else "?"
        return location + separator + urlencode({"digest": self._descriptor.digest})

    def _expect_created(self, response: Response) -> None:
        response.read(_ERROR_LIMIT)
        if response.status not in (201, 202, 204):
            raise RegistryRefusal(response.status)
