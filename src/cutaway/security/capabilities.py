"""Capabilities: Docker's default set, and ``--cap-add`` and ``--cap-drop`` applied to it.

Source: capabilities(7); moby ``daemon/pkg/oci/caps`` (NormalizeLegacyCapabilities,
TweakCapabilities), whose texts are repeated here because clients match them.
"""

from collections.abc import Iterable, Sequence

from cutaway.errors import InvalidParameter
from cutaway.linux.abi import CAP

ALL_CAPABILITIES = tuple(f"CAP_{capability.name}" for capability in CAP)

DEFAULT_CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)

_ALL = "ALL"
_KNOWN = frozenset(ALL_CAPABILITIES)


def normalize(names: Iterable[str]) -> tuple[str, ...]:
    """Return names as ``CAP_X`` or ``ALL``; case and the prefix are free.

    Raises:
        InvalidParameter: ``unknown capability: "CAP_X"``.
    """
    normalized = []
    for name in names:
        upper = name.upper()
        if upper != _ALL:
            upper = upper if upper.startswith("CAP_") else f"CAP_{upper}"
            if upper not in _KNOWN:
                raise InvalidParameter(f'unknown capability: "{upper}"')
        normalized.append(upper)
    return tuple(normalized)


def _normalize_option(option: str, names: Sequence[str]) -> tuple[str, ...]:
    try:
        return normalize(names)
    except InvalidParameter as error:
        raise InvalidParameter(f"invalid {option}: {error}") from None


def plan_capabilities(
    add: Sequence[str], drop: Sequence[str], *, privileged: bool = False
) -> tuple[str, ...]:
    """Decide a container's capabilities by Docker's rules.

    In order:

    1. privileged: all, whatever is added or dropped;
    2. ``ALL`` added: all but those dropped (a dropped ``ALL`` has no effect);
    3. ``ALL`` dropped: those added;
    4. else the default ones, without those dropped, and those added, which thus win.

    Raises:
        InvalidParameter: ``invalid CapAdd: unknown capability: "CAP_X"``.
    """
    added, dropped = _normalize_option("CapAdd", add), _normalize_option("CapDrop", drop)
    if privileged:
        return ALL_CAPABILITIES
    if _ALL in added:
        return tuple(name for name in ALL_CAPABILITIES if name not in dropped)
    if _ALL in dropped:
        return tuple(dict.fromkeys(added))
    kept = [name for name in DEFAULT_CAPABILITIES if name not in dropped]
    return tuple(dict.fromkeys(kept + list(added)))


def to_bits(names: Iterable[str]) -> int:
    """Return a set as the kernel has it, bit ``1 << number`` for each name.

    Raises:
        InvalidParameter: a name that is not a capability.
    """
    bits = 0
    for name in names:
        if name not in _KNOWN:
            raise InvalidParameter(f'unknown capability: "{name}"')
        bits |= 1 << CAP[name.removeprefix("CAP_")]
    return bits


def from_bits(bits: int) -> tuple[str, ...]:
    """Return the names in a set, in the kernel's order; bits newer than this table are left out."""
    return tuple(f"CAP_{capability.name}" for capability in CAP if bits >> capability & 1)


def restrict(names: Iterable[str], allowed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split names into those in the set ``allowed`` and those that this machine can't give.

    An engine that runs in a sandbox itself lacks some; asking the kernel for them would fail the
    whole container, so the runtime asks for the first and warns about the second, as runc does.

    Returns:
        ``(given, missing)``, both in the order of ``names``.
    """
    given: list[str] = []
    missing: list[str] = []
    for name in names:
        (given if to_bits((name,)) & allowed else missing).append(name)
    return tuple(given), tuple(missing)
