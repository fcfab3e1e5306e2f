"""Computing digests. Apart from ``digest.py`` so that the launcher need not load OpenSSL."""

import hashlib
from collections.abc import Iterable

from cutaway.oci.digest import Digest


def digest_of(data: bytes | bytearray | memoryview) -> Digest:
    """Return the sha256 digest of ``data``."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def chain_ids(diff_ids: Iterable[Digest]) -> tuple[Digest, ...]:
    """Return the identifier of each stack of layers, from the lowest layer alone to all of them.

    ``ChainID(L0) = DiffID(L0)``; ``ChainID(L0|…|Ln) = Digest(ChainID(L0|…|Ln-1) + " " +
    DiffID(Ln))``. The same layer on another parent has another chain id.

    Source: image-spec config.md "Layer ChainID".
    """
    chain: list[Digest] = []
    for diff_id in diff_ids:
        chain.append(digest_of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)
