"""Which instructions without a layer were met before: for ``Using cache``, and nothing else.

An ENV costs nothing to do again. But the classic builder says of it, too, whether an earlier build
had the same instruction at the same place, and clients count those lines.
"""

import hashlib
import json
import time

from cutaway.build.dockerfile.frontend import BuildStep
from cutaway.build.solve.cache import CacheRecord, CacheStore


class SettingsCache:
    """The records of instructions without a layer, as one build sees them.

    Args:
        cache: where they are.
        use: False for ``--no-cache``: they are still remembered.
        trusted_chains: see ``SolverOptions``.
    """

    def __init__(
        self, cache: CacheStore, *, use: bool, trusted_chains: frozenset[str] | None
    ) -> None:
        self._cache = cache
        self._use = use
        self._trusted = trusted_chains

    def meet(self, step: BuildStep, chain_id: str) -> bool:
        """Tell whether a step was met before on the file system ``chain_id``; remember it."""
        document = ["settings", chain_id, step.config.to_json(), step.original]
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        is_known = self._cache.find(key) is not None
        if not is_known:
            now = int(time.time())
            record = CacheRecord(
                key=key, chain_id=chain_id, description=step.original, created_s=now,
                last_used_s=now,
            )  # fmt: skip
            self._cache.put(record)
        return self._use and is_known and (self._trusted is None or chain_id in self._trusted)
