import pytest

from cutaway.errors import InvalidParameter
from cutaway.oci.runtime_spec import IDMapping
from cutaway.security.idmaps import (
    format_map,
    parse_map,
    parse_subordinate_ids,
    plan_map,
    to_container,
    to_host,
    validate_map,
)
from cutaway.security.paths import MASKED_PATHS, READONLY_PATHS, thermal_paths

REMAP = (IDMapping(0, 100000, 65536),)


def test_the_interrupt_and_power_side_channels_are_masked() -> None:
    assert {"/proc/interrupts", "/sys/devices/virtual/powercap"} <= set(MASKED_PATHS)
    assert "/proc/sys" in READONLY_PATHS


def test_no_path_is_both_masked_and_read_only() -> None:
    assert not set(MASKED_PATHS) & set(READONLY_PATHS)


def test_thermal_paths_name_each_cpu() -> None:
    assert thermal_paths([0, 3]) == (
        "/sys/devices/system/cpu/cpu0/thermal_throttle",
        "/sys/devices/system/cpu/cpu3/thermal_throttle",
    )


def test_map_is_written_as_the_kernel_reads_it() -> None:
    assert format_map((*REMAP, IDMapping(65536, 7, 1))) == b"0 100000 65536\n65536 7 1\n"


def test_map_is_read_as_the_kernel_writes_it() -> None:
    assert parse_map("         0     100000      65536\n") == REMAP


def test_ids_translate_both_ways() -> None:
    assert to_host(REMAP, 5) == 100005
    assert to_container(REMAP, 100005) == 5


@pytest.mark.parametrize("outside", [-1, 65536])
def test_an_unmapped_container_id_has_no_host_id(outside: int) -> None:
    assert to_host(REMAP, outside) is None


@pytest.mark.parametrize("outside", [99999, 165536])
def test_an_unmapped_host_id_has_no_container_id(outside: int) -> None:
    assert to_container(REMAP, outside) is None


@pytest.mark.parametrize(
    ("mappings", "text"),
    [
        ((), "uidMappings: expected 1 to 340 lines, got 0"),
        ((IDMapping(0, 0, 1),) * 341, "uidMappings: expected 1 to 340 lines, got 341"),
        ((IDMapping(0, 5, 0),), "uidMappings[0]: the size is 0"),
        ((IDMapping(0, 2**32 - 2, 2),), "uidMappings[0]: ids go to 4294967294"),
        (
            (IDMapping(0, 0, 10), IDMapping(9, 100, 1)),
            "uidMappings[1]: overlaps an earlier line inside the container",
        ),
        (
            (IDMapping(0, 100, 10), IDMapping(10, 95, 6)),
            "uidMappings[1]: overlaps an earlier line on the host",
        ),
    ],
)
def test_a_map_the_kernel_would_refuse_is_refused_with_its_line(
    mappings: tuple[IDMapping, ...], text: str
) -> None:
    with pytest.raises(InvalidParameter) as error:
        validate_map(mappings)
    assert str(error.value) == text


def test_the_largest_map_is_accepted() -> None:
    validate_map((IDMapping(0, 0, 2**32 - 1),), "gidMappings")


def test_subordinate_ids_are_found_by_name_and_number() -> None:
    text = "root:1:2\ndockremap:100000:65536\n 1000:5:6\n#comment\n\ndockremap:300000:10\n"
    assert parse_subordinate_ids(text, "dockremap", 1000) == (
        (100000, 65536),
        (5, 6),
        (300000, 10),
    )


@pytest.mark.parametrize("line", ["dockremap:1", "dockremap:1:x", "dockremap:1:-5"])
def test_a_malformed_subordinate_line_is_refused(line: str) -> None:
    with pytest.raises(InvalidParameter, match="malformed subordinate id line"):
        parse_subordinate_ids(line, "dockremap", 1)


def test_ranges_are_laid_side_by_side() -> None:
    assert plan_map([(100000, 65536), (300000, 10)]) == (
        IDMapping(0, 100000, 65536),
        IDMapping(65536, 300000, 10),
    )


def test_overlapping_ranges_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="overlaps"):
        plan_map([(100000, 65536), (100010, 10)])
