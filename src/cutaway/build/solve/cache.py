"""The build cache: what a step's inputs were, and the layer that came of it.

A key is a digest of a vertex's definition and of its inputs' *content*: the chain id of the file
system below, the digest of the files copied. Only results of builds made here are records; never
what a pulled image claims of itself (CVE-2024-24557).
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from cutaway.build.graph import CopyFiles, MakeDirectory, MountSpec, RunCommand, Vertex
from cutaway.oci import Descriptor, Digest

KEY_VERSION = 2


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer in the content store: its blob and the digest of its uncompressed archive."""

    descriptor: Descriptor
    diff_id: Digest


@dataclass(frozen=True, slots=True)
class StepKey:
    """What decides whether a step is up to date.

    Attributes:
        definition: digest of the instruction, its variables expanded.
        base_chain_id: of the file system it is done on; empty for the empty one.
        inputs: digests of the content of its other inputs, in their order.
    """

    definition: str
    base_chain_id: str
    inputs: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The key of the step's record."""
        return _digest([self.definition, self.base_chain_id, list(self.inputs)])


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRecord:
    """One remembered step.

    Attributes:
        key: digest of ``parts``, or of something else that is remembered.
        parts: what the key is of; None when the record is not of a step.
        chain_id: of the result where it was made; the base's when the step changed nothing.
        layer: what the step added, or None.
        description: the instruction.
        size_bytes: of the layer when unpacked.
        created_s, last_used_s: seconds since 1970.
        use_count: how often it hit.
        origin: empty for what was done here; else where the claim comes from: ``build.portable``.
    """

    key: str
    parts: StepKey | None = None
    chain_id: str = ""
    layer: Layer | None = None
    description: str
    size_bytes: int = 0
    created_s: int
    last_used_s: int
    use_count: int = 0
    origin: str = ""

    def used(self, now_s: int) -> "CacheRecord":
        """Return the record after one more use."""
        return replace(self, last_used_s=now_s, use_count=self.use_count + 1)

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON object."""
        parts, layer = self.parts, self.layer
        return {
            "key": self.key,
            "parts": parts and [parts.definition, parts.base_chain_id, list(parts.inputs)],
            "chain_id": self.chain_id,
            "layer": layer
            and {"descriptor": layer.descriptor.to_json(), "diff_id": str(layer.diff_id)},
            "description": self.description,
            "size_bytes": self.size_bytes,
            "created_s": self.created_s,
            "last_used_s": self.last_used_s,
            "use_count": self.use_count,
            "origin": self.origin,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "CacheRecord":
        """Read what ``to_json`` wrote.

        Raises:
            KeyError, TypeError, ValueError: it did not.
        """
        parts, layer = document["parts"], document["layer"]
        read = {
            "parts": parts and StepKey(str(parts[0]), str(parts[1]), tuple(map(str, parts[2]))),
            "layer": layer
            and Layer(Descriptor.from_json(layer["descriptor"]), Digest.parse(layer["diff_id"])),
        }
        return cls(**{**document, **read})


class CacheStore(Protocol):
    """Where records are kept; every method is callable from any thread."""

    def find(self, key: str) -> CacheRecord | None:
        """Return the record of a key."""
        ...

    def put(self, record: CacheRecord) -> None:
        """Add or replace a record."""
        ...

    def records(self) -> list[CacheRecord]:
        """Return all records."""
        ...

    def remove(self, keys: Iterable[str]) -> None:
        """Forget records."""
        ...


def step_key(vertex: Vertex, base_chain_id: str, input_digests: tuple[str, ...]) -> StepKey:
    """Return the key of a step.

    Args:
        vertex: a copy, a directory or a command.
        base_chain_id: of the file system it is done on.
        input_digests: of the content of its other inputs, in their order.
    """
    return StepKey(_digest([KEY_VERSION, *_definition(vertex)]), base_chain_id, input_digests)


def explain_miss(key: StepKey, description: str, records: Iterable[CacheRecord]) -> str:
    """Say in a sentence what is different from the earlier step that is most like this one."""
    same_definition = False
    same_base = ""
    for record in records:
        parts = record.parts
        if parts is None:
            continue
        if parts.definition == key.definition:
            if parts.base_chain_id == key.base_chain_id:
                return "the files that it takes have changed since it was last done"
            same_definition = True
        elif parts.base_chain_id == key.base_chain_id and record.description != description:
            same_base = record.description
    if same_definition:
        return "a step before it has another result than when it was last done"
    if same_base:
        return f"another instruction was done here before: {same_base}"
    return "no earlier step had this definition and these inputs"


def _digest(document: list[Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _definition(vertex: Vertex) -> list[Any]:
    if isinstance(vertex, CopyFiles):
        return ["copy", vertex.destination, vertex.owner, vertex.mode, vertex.unpack,
                vertex.parents, [source.skip for source in vertex.sources],
                list(vertex.exclude), vertex.link, vertex.epoch]  # fmt: skip
    if isinstance(vertex, MakeDirectory):
        return ["mkdir", vertex.path, vertex.epoch, vertex.owner]
    if isinstance(vertex, RunCommand):
        return ["run", list(vertex.args), list(vertex.env), vertex.cwd, vertex.user,
                [_mount(mount) for mount in vertex.mounts], vertex.network, vertex.security,
                vertex.epoch]  # fmt: skip
    raise TypeError(f"{type(vertex).__name__} is an origin, not a step")


def _mount(mount: MountSpec) -> list[Any]:
    # A cache's content, a secret and an agent never decide whether a step is up to date.
    return [mount.kind, mount.target, mount.source, mount.read_only, mount.identifier,
            mount.mode, mount.uid, mount.gid, mount.size_bytes, mount.env]  # fmt: skip
