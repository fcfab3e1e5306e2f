"""``system df`` reads both shapes of the answer."""

from cutaway.cli.commands.prune import _usage_rows, _with_lists

IMAGE = {"Size": 2_000_000, "SharedSize": 0, "Containers": 0}
OLD = {"LayersSize": 2_000_000, "Images": [IMAGE], "Containers": [], "Volumes": [],
       "BuildCache": []}  # fmt: skip
NEW = {
    "ImageUsage": {"TotalSize": 2_000_000, "TotalCount": 1, "Items": [IMAGE]},
    "ContainerUsage": {"Items": []},
    "VolumeUsage": {"Items": []},
    "BuildCacheUsage": {"Items": []},
}


def test_both_shapes_give_the_same_table() -> None:
    rows = _usage_rows(_with_lists(NEW))
    assert rows == _usage_rows(_with_lists(OLD))
    assert rows[0] == {
        "Type": "Images",
        "TotalCount": "1",
        "Active": "0",
        "Size": "2MB",
        "Reclaimable": "2MB (100%)",
    }
