"""Rules for ``Resources``: limits of ``docker run`` and ``docker update``.

Source: moby ``daemon/daemon_unix.go`` ``verifyPlatformContainerResources``.
"""

from cutaway.engine.spec.intent import Machine
from cutaway.engine.spec.resources import parse_device_rule
from cutaway.engine.units import Ulimit, check_ulimit
from cutaway.errors import InvalidParameter
from cutaway.errors import NotImplemented as Unsupported
from cutaway.model import Resources

MINIMUM_MEMORY = 6 << 20
_BLKIO_WEIGHT = range(10, 1001)
_WINDOWS_ONLY = ("cpu_count", "cpu_percent", "io_maximum_iops", "io_maximum_bandwidth")


def validate_resources(limits: Resources, machine: Machine) -> list[str]:
    """Check limits against each other and the machine.

    Returns:
        Warnings for the user, possibly none.

    Raises:
        InvalidParameter: with dockerd's sentence.
    """
    for name in _WINDOWS_ONLY:
        if getattr(limits, name):
            raise InvalidParameter(f"{name} is only supported on Windows")
    _check_memory(limits)
    _check_cpu(limits, machine)
    _check_cpuset(limits, machine)
    _check_block_io(limits)
    for rule in limits.device_cgroup_rules or ():
        parse_device_rule(rule)
    for limit in limits.ulimits or ():
        try:
            check_ulimit(Ulimit(limit.name, limit.soft, limit.hard))
        except ValueError as error:
            raise InvalidParameter(str(error)) from None
    if limits.device_requests:
        request = limits.device_requests[0]
        capabilities = " ".join(f"[{' '.join(names)}]" for names in request.capabilities or ())
        raise Unsupported(
            f'could not select device driver "{request.driver}" with capabilities: [{capabilities}]'
        )
    return _warnings(limits)


def _check_memory(limits: Resources) -> None:
    memory, swap, reservation = limits.memory, limits.memory_swap, limits.memory_reservation
    if 0 < memory < MINIMUM_MEMORY:
        raise InvalidParameter("Minimum memory limit allowed is 6MB")
    if memory < 0 or reservation < 0:
        raise InvalidParameter("invalid memory limit: it can not be negative")
    if memory > 0 and 0 < swap < memory:
        raise InvalidParameter(
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        )
    if memory == 0 and swap > 0:
        raise InvalidParameter(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    if limits.memory_swappiness is not None and not -1 <= limits.memory_swappiness <= 100:
        raise InvalidParameter(
            f"Invalid value: {limits.memory_swappiness}, valid memory swappiness range is 0-100"
        )
    if 0 < reservation < MINIMUM_MEMORY:
        raise InvalidParameter("Minimum memory reservation allowed is 6MB")
    if 0 < memory < reservation:
        raise InvalidParameter(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        )


def _check_cpu(limits: Resources, machine: Machine) -> None:
    if limits.nano_cpus:
        if limits.cpu_period:
            raise InvalidParameter(
                "Conflicting options: Nano CPUs and CPU Period cannot both be set"
            )
        if limits.cpu_quota:
            raise InvalidParameter(
                "Conflicting options: Nano CPUs and CPU Quota cannot both be set"
            )
        if not 0 < limits.nano_cpus <= machine.cpu_count * 1_000_000_000:
            raise InvalidParameter(
                f"range of CPUs is from 0.01 to {machine.cpu_count}.00, as there are only "
                f"{machine.cpu_count} CPUs available"
            )
    if limits.cpu_shares < 0:
        raise InvalidParameter(
            f"invalid CPU shares ({limits.cpu_shares}): value must be a positive integer"
        )
    if limits.cpu_period and not 1000 <= limits.cpu_period <= 1_000_000:
        raise InvalidParameter(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    # -1 means no quota.
    if limits.cpu_quota > 0 and limits.cpu_quota < 1000:
        raise InvalidParameter("CPU cfs quota can not be less than 1ms (i.e. 1000)")


def _check_cpuset(limits: Resources, machine: Machine) -> None:
    for text, available, what, noun in (
        (limits.cpuset_cpus, machine.cpus, "cpus", "CPUs"),
        (limits.cpuset_mems, machine.memory_nodes, "mems", "memory nodes"),
    ):
        if not text:
            continue
        try:
            wanted = parse_list(text)
        except ValueError as error:
            raise InvalidParameter(f"Invalid value {text} for cpuset {what}: {error}") from None
        if not wanted <= parse_list(available):
            raise InvalidParameter(
                f"Requested {noun} are not available - requested {text}, available: {available}"
            )


def parse_list(text: str) -> set[int]:
    """Read the kernel's lists: ``0-2,7``.

    Raises:
        ValueError: another shape, or more than 8192 members.
    """
    members: set[int] = set()
    for part in text.split(","):
        first, separator, last = part.partition("-")
        if not first.isdecimal() or not (last.isdecimal() if separator else True):
            raise ValueError(f"invalid format: {text}")
        low = int(first)
        high = int(last) if separator else low
        if not low <= high:
            raise ValueError(f"invalid format: {text}")
        if high >= 8192:
            raise ValueError("value of out range, maximum is 8192")
        members.update(range(low, high + 1))
    return members


def _check_block_io(limits: Resources) -> None:
    if limits.blkio_weight and limits.blkio_weight not in _BLKIO_WEIGHT:
        raise InvalidParameter("Range of blkio weight is from 10 to 1000")
    for device in limits.blkio_weight_device or ():
        if device.weight and device.weight not in _BLKIO_WEIGHT:
            raise InvalidParameter(f"invalid weight for device: {device.path}:{device.weight}")
    for devices in (
        limits.blkio_device_read_bps,
        limits.blkio_device_write_bps,
        limits.blkio_device_read_iops,
        limits.blkio_device_write_iops,
    ):
        for throttled in devices or ():
            if throttled.rate < 0:
                raise InvalidParameter(f"invalid rate for device: {throttled.path}")


def _warnings(limits: Resources) -> list[str]:
    warnings: list[str] = []
    if limits.kernel_memory:
        warnings.append(
            "Specifying a kernel memory limit is deprecated and will be removed in a future "
            "release; it has no effect on this kernel."
        )
    if limits.oom_kill_disable and not limits.memory:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, this can "
            "result in the system running out of resources."
        )
    return warnings
