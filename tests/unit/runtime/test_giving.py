"""Id maps that show an owner as somebody else."""

import pytest

from cutaway.oci.runtime_spec import IDMapping
from cutaway.runtime.giving import plan_swap

ALL = 2**32 - 1


def shown(mappings: tuple[IDMapping, ...], on_disk: int) -> int:
    for mapping in mappings:
        if mapping.container_id <= on_disk < mapping.container_id + mapping.size:
            return on_disk - mapping.container_id + mapping.host_id
    raise AssertionError(f"{on_disk} is shown as nobody")


@pytest.mark.parametrize(("first", "second"), [(0, 1000), (1000, 33), (5, 5), (5, 6), (0, ALL - 1)])
def test_two_ids_change_places_and_all_others_stay(first: int, second: int) -> None:
    mappings = plan_swap(first, second)
    assert shown(mappings, first) == second
    assert shown(mappings, second) == first
    for other in {0, 1, 4, 7, 500, 65534, ALL - 1} - {first, second}:
        assert shown(mappings, other) == other
    assert sum(mapping.size for mapping in mappings) == ALL
