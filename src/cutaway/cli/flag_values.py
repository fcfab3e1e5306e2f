"""Values that docker's command checks while it parses flags, in its words."""

ULIMITS = {
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc",
    "rss", "rtprio", "rttime", "sigpending", "stack",
}  # fmt: skip
_SYSCTLS = {
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
    "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
}  # fmt: skip


def check_extra_host(text: str) -> None:
    """Refuse an ``--add-host`` that is not ``name:address`` or ``name=address``.

    Raises:
        ValueError: in docker's words.
    """
    name, _, address = text.replace("=", ":", 1).partition(":")
    if not name or not address:
        raise ValueError(f'bad format for add-host: "{text}"')


def check_address(text: str) -> None:
    """Refuse what is no IP address.

    Raises:
        ValueError: in docker's words.
    """
    from socket import AF_INET, AF_INET6, inet_pton

    try:
        inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except OSError:
        raise ValueError(f"IP address is not correctly formatted: {text}") from None


def split_ulimit(text: str) -> tuple[str, int, int]:
    """Read ``NAME=SOFT[:HARD]``; the hard limit is the soft one if none is given.

    Raises:
        ValueError: malformed, unknown, or the soft limit is above the hard one.
    """
    name, equals, limits = text.partition("=")
    soft, _, hard = limits.partition(":")
    if not equals or not limits:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    try:
        low = -1 if soft == "unlimited" else int(soft)
        high = low if not hard else -1 if hard == "unlimited" else int(hard)
    except ValueError:
        raise ValueError(f"invalid ulimit argument: {text}") from None
    if high != -1 and (low > high or low == -1):
        raise ValueError(
            f"ulimit soft limit must be less than or equal to hard limit: {low} > {high}"
        )
    return name, low, high


def check_sysctl(text: str) -> str:
    """Return a ``--sysctl`` value that belongs to a namespace.

    Raises:
        ValueError: it would change the whole machine.
    """
    name = text.partition("=")[0]
    if "=" in text and (name in _SYSCTLS or name.startswith(("net.", "fs.mqueue."))):
        return text
    raise ValueError(f"sysctl '{text}' is not allowed")
