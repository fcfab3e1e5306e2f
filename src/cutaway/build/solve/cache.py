"""The build cache: what a step's inputs were, and the layer that came of it.

A key is a digest of a vertex's definition and of its inputs' *content*: the chain id of the file
system below, the digest of the files copied. Only results of builds made here are records, never
what a pulled image claims of itself (CVE-2024-24557).
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from cutaway.build.graph import CopyFiles, MakeDirectory, MountSpec, RunCommand, Vertex
from cutaway.oci import Descriptor, Digest

KEY_VERSION = 1


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer in the content store: its blob and the digest of its uncompressed archive."""

    descriptor: Descriptor
    diff_id: Digest


@dataclass(frozen=True, slots=True)
class CacheRecord:
    """One remembered step.

    Attributes:
        key: see ``cache_key``.
        base_chain_id: of the file system below; empty for the empty one.
        chain_id: of the result; the base's when the step changed nothing.
        layer: what the step added, or None.
        description: the instruction.
        size_bytes: of the layer when unpacked.
        created_s, last_used_s: seconds since 1970.
        use_count: how often it hit.
    """

    key: str
    base_chain_id: str
    chain_id: str
    layer: Layer | None
    description: str
    size_bytes: int
    created_s: int
    last_used_s: int
    use_count: int

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON object."""
        return {
            "key": self.key,
            "base_chain_id": self.base_chain_id,
            "chain_id": self.chain_id,
            "layer": self.layer
            and {
                "descriptor": self.layer.descriptor.to_json(),
                "diff_id": str(self.layer.diff_id),
            },
            "description": self.description,
            "size_bytes": self.size_bytes,
            "created_s": self.created_s,
            "last_used_s": self.last_used_s,
            "use_count": self.use_count,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "CacheRecord":
        """Read what ``to_json`` wrote."""
        layer = document["layer"]
        return cls(
            **{
                **document,
                "layer": layer
                and Layer(
                    Descriptor.from_json(layer["descriptor"]), Digest.parse(layer["diff_id"])
                ),
            }
        )


class CacheStore(Protocol):
    """Where records are kept; every method is one transaction, callable from any thread."""

    def find(self, key: str) -> CacheRecord | None:
        """Return the record of a key."""
        ...

    def put(self, record: CacheRecord) -> None:
        """Add or replace a record."""
        ...

    def touch(self, key: str, now_s: int) -> None:
        """Count one use."""
        ...

    def records(self) -> list[CacheRecord]:
        """Return all records."""
        ...

    def remove(self, keys: Iterable[str]) -> None:
        """Forget records."""
        ...


class MemoryCache:
    """A cache that lives as long as its owner; for tests and ``--no-cache`` machines."""

    def __init__(self) -> None:
        self._records: dict[str, CacheRecord] = {}

    def find(self, key: str) -> CacheRecord | None:
        """Return the record of a key."""
        return self._records.get(key)

    def put(self, record: CacheRecord) -> None:
        """Add or replace a record."""
        self._records[record.key] = record

    def touch(self, key: str, now_s: int) -> None:
        """Count one use."""
        if key in self._records:
            old = self._records[key].to_json()
            old |= {"last_used_s": now_s, "use_count": old["use_count"] + 1}
            self._records[key] = CacheRecord.from_json(old)

    def records(self) -> list[CacheRecord]:
        """Return all records."""
        return list(self._records.values())

    def remove(self, keys: Iterable[str]) -> None:
        """Forget records."""
        for key in keys:
            self._records.pop(key, None)


def cache_key(vertex: Vertex, base_chain_id: str, input_digests: tuple[str, ...]) -> str:
    """Return the key of a step.

    Args:
        vertex: a copy, a directory or a command.
        base_chain_id: of the file system it is done on.
        input_digests: of the content of its other inputs, in their order.
    """
    if isinstance(vertex, CopyFiles) and vertex.link:
        base_chain_id = ""  # a linked copy does not read what is below it
    document = [KEY_VERSION, *_definition(vertex), base_chain_id, list(input_digests)]
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _definition(vertex: Vertex) -> list[Any]:
    if isinstance(vertex, CopyFiles):
        return ["copy", vertex.destination, vertex.owner, vertex.mode, vertex.unpack,
                vertex.parents, list(vertex.exclude), vertex.epoch]  # fmt: skip
    if isinstance(vertex, MakeDirectory):
        return ["mkdir", vertex.path, vertex.epoch]
    if isinstance(vertex, RunCommand):
        return ["run", list(vertex.args), list(vertex.env), vertex.cwd, vertex.user,
                [_mount(mount) for mount in vertex.mounts], vertex.network, vertex.security,
                vertex.epoch]  # fmt: skip
    raise TypeError(f"{type(vertex).__name__} is an origin, not a step")


def _mount(mount: MountSpec) -> list[Any]:
    # A cache's content, a secret and an agent never decide whether a step is up to date.
    return [mount.kind, mount.target, mount.source, mount.read_only, mount.identifier,
            mount.mode, mount.uid, mount.gid, mount.size_bytes, mount.env]  # fmt: skip
