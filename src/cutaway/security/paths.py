"""Paths of /proc and /sys that a container does not see, or can't write.

Source: moby ``daemon/pkg/oci/defaults.go``.
"""

from collections.abc import Iterable

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",  # keystroke timing: GHSA-6fw5-f8r9-fgfm
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",  # power side channel: GHSA-jq35-85cj-fj4p
    "/sys/firmware",
)

READONLY_PATHS = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)


def thermal_paths(cpus: Iterable[int]) -> tuple[str, ...]:
    """Return the masked paths of each CPU's thermal counters (GHSA-6fw5-f8r9-fgfm).

    Args:
        cpus: numbers of the CPUs whose directory has ``thermal_throttle``; the host is probed by
            the caller. A masked path that does not exist is no error, only needless.
    """
    return tuple(f"/sys/devices/system/cpu/cpu{cpu}/thermal_throttle" for cpu in cpus)
