"""Imported caches as the solver asks them; fits ``build.solve.claims.Claims``."""

from dataclasses import dataclass

from cutaway.build.portable.document import claim_key
from cutaway.build.solve.cache import CacheRecord, CacheStore, StepKey
from cutaway.images.content import ContentNotFound, ContentStore


@dataclass(frozen=True, slots=True)
class StoredClaims:
    """The claims of one origin that are on this machine.

    Attributes:
        origin: the reference or directory that was imported.
        cache: has the claims.
        content: has their layers.
    """

    origin: str
    cache: CacheStore
    content: ContentStore

    def find(self, key: StepKey) -> CacheRecord | None:
        """Return the claim about a step."""
        return self.cache.find(claim_key(self.origin, key))

    def fetch(self, record: CacheRecord) -> None:
        """See that the layer is here.

        Raises:
            ContentNotFound: it was removed.
        """
        if record.layer is not None and record.layer.descriptor.digest not in self.content:
            raise ContentNotFound(record.layer.descriptor.digest)
