"""What an exported cache says: which steps give which layers, and which directories go with it."""

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass

from cutaway.build.solve.cache import CacheRecord, Layer, StepKey
from cutaway.errors import InvalidParameter
from cutaway.oci import LAYER_TYPES, Descriptor, Digest
from cutaway.oci.codec import JsonObject

VERSION = 1
MAX_LAYERS = 1000  # of a manifest


@dataclass(frozen=True, slots=True)
class PortableStep(JsonObject):
    """One step and its result.

    Attributes:
        definition, base, inputs: see ``StepKey``.
        description: the instruction, for people.
        layer, diff_id: what the step added; None when it changed nothing.
    """

    definition: str
    base: str
    inputs: tuple[str, ...] = ()
    description: str = ""
    layer: Descriptor | None = None
    diff_id: Digest | None = None

    def validate(self, path: str) -> None:
        """Refuse half a layer, and blobs that are none."""
        if (self.layer is None) != (self.diff_id is None):
            raise InvalidParameter(f"{path}: a layer without its diff id")
        if self.layer is not None and self.layer.media_type not in LAYER_TYPES:
            raise InvalidParameter(f"{path}: {self.layer.media_type} is no layer")

    @property
    def key(self) -> StepKey:
        """What the step is found by: computed, never read."""
        return StepKey(self.definition, self.base, self.inputs)


@dataclass(frozen=True, slots=True)
class PortableMount(JsonObject):
    """A directory of ``RUN --mount=type=cache``: its id, and a layer with its content."""

    id: str
    layer: Descriptor


@dataclass(frozen=True, slots=True)
class PortableCache(JsonObject):
    """A whole cache: the config document of its manifest."""

    version: int
    steps: tuple[PortableStep, ...] = ()
    mounts: tuple[PortableMount, ...] = ()

    def validate(self, path: str) -> None:
        """Refuse what a later version wrote."""
        if self.version != VERSION:
            raise InvalidParameter(
                f"the cache is of version {self.version}, this engine reads version {VERSION}: "
                "export it again, or update the engine"
            )

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """Every blob that it needs, once."""
        steps = (step.layer for step in self.steps if step.layer is not None)
        found = (*steps, *(mount.layer for mount in self.mounts))
        return tuple({layer.digest: layer for layer in found}.values())


def portable_steps(records: Iterable[CacheRecord]) -> tuple[PortableStep, ...]:
    """Return what can be told of records: the newest first, as far as a manifest has room."""
    steps: list[PortableStep] = []
    digests: set[Digest] = set()
    for record in sorted(records, key=lambda r: (-r.last_used_s, r.key)):
        parts, layer = record.parts, record.layer
        if parts is None:
            continue
        if layer is not None:
            if len(digests | {layer.descriptor.digest}) > MAX_LAYERS:
                break
            digests.add(layer.descriptor.digest)
        steps.append(
            PortableStep(
                parts.definition,
                parts.base_chain_id,
                parts.inputs,
                record.description,
                layer.descriptor if layer else None,
                layer.diff_id if layer else None,
            )  # fmt: skip
        )
    return tuple(steps)


def claim_key(origin: str, key: StepKey) -> str:
    """Return where a claim is kept: never where a record of this engine is."""
    text = json.dumps(["claim", origin, key.digest])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def claim_of(step: PortableStep, origin: str) -> CacheRecord:
    """Return a step of an imported cache as a record under its origin."""
    now = int(time.time())
    layer = None
    if step.layer is not None and step.diff_id is not None:
        layer = Layer(step.layer, step.diff_id)
    return CacheRecord(
        key=claim_key(origin, step.key),
        parts=step.key,
        layer=layer,
        description=step.description,
        origin=origin,
        created_s=now,
        last_used_s=now,
    )
