"""The device allow-list: which nodes a container may read, write and make."""

from cutaway.oci.runtime_spec import DeviceRule

_ALL = DeviceRule(allow=False, type="a", access="rwm")

# "the runtime MUST supply /dev/null, zero, full, random, urandom, tty, console, ptmx" (config-linux
# .md "Default Devices"): so they are allowed, and every node may be made (not opened) as runc does.
DEFAULT_RULES = (
    DeviceRule(allow=True, type="c", access="m"),
    DeviceRule(allow=True, type="b", access="m"),
    DeviceRule(allow=True, type="c", major=1, minor=3, access="rwm"),  # null
    DeviceRule(allow=True, type="c", major=1, minor=5, access="rwm"),  # zero
    DeviceRule(allow=True, type="c", major=1, minor=7, access="rwm"),  # full
    DeviceRule(allow=True, type="c", major=1, minor=8, access="rwm"),  # random
    DeviceRule(allow=True, type="c", major=1, minor=9, access="rwm"),  # urandom
    DeviceRule(allow=True, type="c", major=5, minor=0, access="rwm"),  # tty
    DeviceRule(allow=True, type="c", major=5, minor=2, access="rwm"),  # ptmx
    DeviceRule(allow=True, type="c", major=136, access="rwm"),  # pts/N
)


def plan_device_rules(rules: tuple[DeviceRule, ...]) -> tuple[DeviceRule, ...]:
    """Return the whole list in order: nothing is allowed, then config.json, then the defaults.

    What stands before the last rule about *all* devices has no effect and is left out, so that a
    privileged container has one rule.
    """
    whole = [_ALL, *rules]
    last_all = max(i for i, rule in enumerate(whole) if is_about_all(rule))
    kept = whole[last_all:]
    if kept[0].allow and len(kept) == 1:
        return (kept[0],)
    defaults = [rule for rule in DEFAULT_RULES if rule not in kept]
    return (*kept, *defaults)


def is_about_all(rule: DeviceRule) -> bool:
    """Whether a rule speaks of every device and every access."""
    every_access = not rule.access or set(rule.access) == set("rwm")
    return rule.type in ("", "a") and every_access and rule.major is None and rule.minor is None


def format_v1_rule(rule: DeviceRule) -> str:
    """Return a rule as ``devices.allow`` and ``devices.deny`` of cgroup v1 read it."""
    if is_about_all(rule):
        return "a"
    major, minor = ("*" if n is None or n < 0 else str(n) for n in (rule.major, rule.minor))
    return f"{rule.type or 'a'} {major}:{minor} {rule.access or 'rwm'}"
