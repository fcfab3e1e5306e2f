"""What an exported cache says, compared as values."""

from dataclasses import replace

import pytest

from cutaway.build.portable.document import (
    MAX_LAYERS,
    PortableCache,
    PortableStep,
    claim_key,
    claim_of,
    portable_steps,
)
from cutaway.build.solve.cache import CacheRecord, Layer, StepKey
from cutaway.errors import InvalidParameter
from cutaway.oci import Descriptor, Digest, MediaType

KEY = StepKey("definition", "base", ("input",))


def layer(number: int) -> Layer:
    digest = Digest.parse(f"sha256:{number:064x}")
    return Layer(Descriptor(MediaType.OCI_LAYER_GZIP, digest, 10), digest)


def record(number: int = 0, **changes: object) -> CacheRecord:
    made = CacheRecord(
        key=KEY.digest, parts=KEY, layer=layer(number), description="RUN x", created_s=1,
        last_used_s=number,
    )  # fmt: skip
    return replace(made, **changes)


def test_a_step_comes_back_as_a_claim_of_its_origin():
    cache = PortableCache(1, portable_steps([record(3)]))
    (step,) = PortableCache.from_json(cache.to_json()).steps
    claim = claim_of(step, "elsewhere")
    assert (claim.parts, claim.layer, claim.description) == (KEY, layer(3), "RUN x")
    assert (claim.origin, claim.key) == ("elsewhere", claim_key("elsewhere", KEY))


def test_a_claim_is_never_found_where_records_of_this_engine_are():
    keys = {KEY.digest, claim_key("one", KEY), claim_key("two", KEY), claim_key("", KEY)}
    assert len(keys) == 4


def test_what_is_no_step_is_not_told():
    assert portable_steps([record(parts=None)]) == ()


def test_the_newest_steps_are_told_as_far_as_a_manifest_has_room():
    steps = portable_steps(record(number) for number in range(MAX_LAYERS + 5))
    assert len(steps) == MAX_LAYERS
    assert steps[0].layer == layer(MAX_LAYERS + 4).descriptor


@pytest.mark.parametrize(
    "step",
    [
        PortableStep("d", "b", layer=layer(1).descriptor),
        PortableStep("d", "b", diff_id=layer(1).diff_id),
        PortableStep("d", "b", layer=Descriptor("text/html", layer(1).diff_id, 1),
                     diff_id=layer(1).diff_id),
    ],
)  # fmt: skip
def test_half_a_layer_and_other_blobs_are_refused(step: PortableStep):
    with pytest.raises(InvalidParameter, match="layer"):
        PortableCache.from_json(PortableCache(1, (step,)).to_json())
