"""Fetching a blob into the content store: resumed by Range, verified, never half there."""

from collections.abc import Callable

from cutaway.errors import CutawayError
from cutaway.images.cancellation import Cancelled
from cutaway.images.content import ContentStore, Ingest, VerificationFailed
from cutaway.images.registry.patience import Patience
from cutaway.images.registry.refusal import RegistryRefusal
from cutaway.images.registry.repository import Repository
from cutaway.images.registry.transport import Response, TransportFailure
from cutaway.oci import Descriptor

_PROGRESS_BYTES = 64 * 1024


def fetch_blob(
    repository: Repository,
    content: ContentStore,
    descriptor: Descriptor,
    *,
    on_bytes: Callable[[int], None],
    is_cancelled: Callable[[], bool],
) -> bool:
    """Bring one blob into the content store, unless it is there.

    Args:
        repository: where to fetch it.
        content: where to keep it; the caller holds a lease.
        descriptor: digest and size that it must have; its ``urls`` are not followed.
        on_bytes: told how many bytes are there so far.
        is_cancelled: asked between pieces.

    Returns:
        True if it was fetched, False if it was there.

    Raises:
        VerificationFailed: not what the descriptor says; nothing is kept.
        RegistryRefusal: the registry doesn't give it.
        TransportFailure: it kept failing; what arrived is kept and resumed next time.
        Cancelled: likewise.
        System: the disk is full.
    """
    with content.exclusive(descriptor.digest, is_cancelled):
        if descriptor.digest in content:
            return False
        ingest = content.ingest(descriptor)
        try:
            _fill(repository, ingest, descriptor, on_bytes=on_bytes, is_cancelled=is_cancelled)
        except (TransportFailure, RegistryRefusal, Cancelled) as error:
            if ingest.offset and may_resume(error):
                ingest.suspend()
            raise
        finally:
            ingest.abort()
    return True


def may_resume(error: CutawayError) -> bool:
    """Say whether the same request may succeed later, so that what arrived is worth keeping."""
    if isinstance(error, RegistryRefusal):
        return error.status == 429 or error.status >= 500
    return isinstance(error, TransportFailure | Cancelled)


def _fill(
    repository: Repository,
    ingest: Ingest,
    descriptor: Descriptor,
    *,
    on_bytes: Callable[[int], None],
    is_cancelled: Callable[[], bool],
) -> None:
    patience = repository.make_patience()
    was_resumed = ingest.offset > 0
    while True:
        try:
            if ingest.offset < descriptor.size or descriptor.size == 0:
                _receive(
                    repository,
                    ingest,
                    descriptor,
                    patience,
                    on_bytes=on_bytes,
                    is_cancelled=is_cancelled,
                )
            ingest.verify()
        except TransportFailure as failure:
            if not failure.is_transient:
                raise
            patience.after_failure(failure)
            continue
        except VerificationFailed:
            # The bytes kept from an earlier run may be the wrong ones: once from the beginning.
            if not was_resumed:
                raise
            was_resumed = False
            ingest.restart()
            continue
        ingest.commit()
        return


def _receive(
    repository: Repository,
    ingest: Ingest,
    descriptor: Descriptor,
    patience: Patience,
    *,
    on_bytes: Callable[[int], None],
    is_cancelled: Callable[[], bool],
) -> None:
    farthest = ingest.offset
    response = repository.open_blob(descriptor.digest, ingest.offset, patience)
    try:
        _check_range(repository, response, ingest, descriptor)
        for chunk in response.chunks():
            ingest.write(chunk)
            on_bytes(ingest.offset)
            if is_cancelled():
                raise Cancelled
            # A server that ignores Range and always drops early makes no progress, and one byte
            # for each connection is none either.
            if ingest.offset - farthest >= _PROGRESS_BYTES:
                farthest = ingest.offset
                patience.progressed()
    except CutawayError:
        response.abandon()
        raise
    if ingest.offset < descriptor.size:
        raise VerificationFailed(
            f"blob {descriptor.digest} has {ingest.offset} bytes, its descriptor says "
            f"{descriptor.size}"
        )


def _check_range(
    repository: Repository, response: Response, ingest: Ingest, descriptor: Descriptor
) -> None:
    if response.status == 416:
        ingest.restart()
        raise TransportFailure(
            f"blob {descriptor.digest}: the registry refused to resume", is_transient=True
        )
    if response.status != 206:
        if ingest.offset:
            repository.transport.explain(f"{descriptor.digest} is sent from its beginning")
            ingest.restart()
    elif not response.header("Content-Range").startswith(f"bytes {ingest.offset}-"):
        sent = response.header("Content-Range")
        ingest.restart()
        raise TransportFailure(
            f"blob {descriptor.digest}: asked to resume, the registry sent {sent!r}",
            is_transient=True,
        )
    announced = response.header("Content-Length")
    left = descriptor.size - ingest.offset
    if announced.isdecimal() and int(announced[:19]) != left:
        raise VerificationFailed(
            f"blob {descriptor.digest}: the registry announces {announced} bytes, its descriptor "
            f"leaves {left}"
        )
