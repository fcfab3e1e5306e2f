"""What the solver asks of caches that were made elsewhere; ``build.portable`` has them."""

from typing import Protocol

from cutaway.build.solve.cache import CacheRecord, StepKey


class Claims(Protocol):
    """Steps that were done elsewhere, as somebody claims; every method is any thread's.

    Attributes:
        origin: where the claims come from.
    """

    @property
    def origin(self) -> str:
        """Where the claims come from, for people."""
        ...

    def find(self, key: StepKey) -> CacheRecord | None:
        """Return the claim about a step."""
        ...

    def fetch(self, record: CacheRecord) -> None:
        """Bring the blob of a claim's layer, verified.

        Raises:
            CutawayError: it can't be had, or is not what the claim says.
        """
        ...
