"""Where a container sees its own limits: it depends on the machine's cgroup version."""

from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
IS_UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers").exists()


def by_version(v1: T, v2: T) -> T:
    """Return what holds on this machine: with cgroup v1 (hybrid, too) or with v2 alone."""
    return v2 if IS_UNIFIED else v1
