"""What a prune of the build cache takes, and where it stops."""

import pytest

from cutaway.engine.building.cache import choose
from cutaway.model import BuildCache, BuildPruneOptions

NOW_NS = 1_700_000_000 * 10**9


def record(name: str, size: int, day: int, *, shared: bool = False) -> BuildCache:
    return BuildCache(
        id=name,
        type="regular",
        shared=shared,
        size=size,
        last_used_at=f"2023-01-{day:02}T00:00:00Z",
    )


USAGE = (record("old", 10, 1), record("shared", 10, 2, shared=True), record("new", 10, 3))


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({}, ["old", "new"]),
        ({"all": True}, ["old", "shared", "new"]),
        ({"max_used_space": 20}, ["old"]),
        ({"max_used_space": 30}, []),
        ({"reserved_space": 20}, ["old"]),
        ({"min_free_space": 100}, []),
        ({"min_free_space": 101}, ["old"]),
        ({"all": True, "min_free_space": 111}, ["old", "shared", "new"]),
        ({"max_used_space": 30, "min_free_space": 105}, ["old"]),
        ({"max_used_space": 20, "min_free_space": 100}, ["old"]),
    ],
)
def test_a_prune_removes_the_longest_unused_until_its_targets_are_met(
    options: dict[str, int], chosen: list[str]
) -> None:
    found = choose(USAGE, BuildPruneOptions(**options), {}, free_bytes=100, now_ns=NOW_NS)
    assert [item.id for item in found] == chosen
