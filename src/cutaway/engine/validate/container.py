"""Rules for ``Config``: what runs.

Source: moby ``daemon/container.go`` ``validateContainerConfig``, ``validateHealthCheck``.
"""

import re

from cutaway.engine.units import parse_signal
from cutaway.errors import InvalidParameter
from cutaway.model import ContainerConfig, HealthConfig

MINIMUM_HEALTH_NS = 1_000_000
_UID_LIMIT = 2**31 - 1
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(\w+))?")
_HEALTH_TIMES = (
    ("Interval", "interval"),
    ("Timeout", "timeout"),
    ("StartPeriod", "start_period"),
    ("StartInterval", "start_interval"),
)


def validate_config(config: ContainerConfig) -> None:
    """Check everything that needs nothing but the request.

    Raises:
        InvalidParameter: with dockerd's sentence.
    """
    for what, text in (("hostname", config.hostname), ("domainname", config.domainname)):
        _refuse_control(what, text)
    if len(config.hostname) > 64:
        raise InvalidParameter(f"invalid hostname: {config.hostname}: longer than 64 characters")
    _refuse_control("user", config.user)
    validate_user(config.user)
    if config.working_dir and not config.working_dir.startswith("/"):
        raise InvalidParameter(
            f"the working directory '{config.working_dir}' is invalid, "
            "it needs to be an absolute path"
        )
    if config.stop_signal:
        parse_signal(config.stop_signal)
    for entry in config.env or ():
        check_environment_entry(entry)
    for argument in (*(config.entrypoint or ()), *(config.cmd or ())):
        if "\0" in argument:
            raise InvalidParameter("an argument of the command contains a NUL character")
    for port in config.exposed_ports or {}:
        parse_port(port)
    if config.healthcheck is not None:
        validate_health(config.healthcheck)


def _refuse_control(what: str, text: str) -> None:
    # CVE-2022-4318: a newline would write a second line into /etc/passwd, /etc/hosts, …
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise InvalidParameter(f"invalid {what}: {text!r} contains a control character")


def check_environment_entry(entry: str) -> None:
    """Check ``NAME=value`` or ``NAME``.

    Raises:
        InvalidParameter: no name, or one that a line of ``env``'s output could not show.
    """
    name = entry.partition("=")[0]
    if not name or "\n" in name or "\0" in entry:
        raise InvalidParameter(f"invalid environment variable: {entry}")


def validate_user(user: str) -> None:
    """Check ``name|uid[:group|gid]``: numbers must fit, names are looked up in the container.

    Raises:
        InvalidParameter: CVE-2024-40635: a number past 2³¹-1 must not wrap round to root.
    """
    for part in user.split(":", 1):
        if part.lstrip("-").isdecimal() and not 0 <= int(part) <= _UID_LIMIT:
            raise InvalidParameter(
                f"unable to find user {part}: uids and gids must be in range 0-{_UID_LIMIT}"
            )


def parse_port(text: str) -> tuple[int, int, str]:
    """Read ``80``, ``80/udp`` or ``8000-8010/tcp`` as first, last and protocol.

    Raises:
        InvalidParameter: another shape, or a number that is no port.
    """
    match = _PORT.fullmatch(text)
    if match:
        first, last = int(match[1]), int(match[2] or match[1])
        protocol = (match[3] or "tcp").lower()
        if 1 <= first <= last <= 65535 and protocol in ("tcp", "udp", "sctp"):
            return first, last, protocol
    raise InvalidParameter(f"invalid port specification: {text!r}".replace("'", '"'))


def validate_health(check: HealthConfig) -> None:
    """Check the times of a health check.

    Raises:
        InvalidParameter: below a millisecond, negative, or an unknown kind of test.
    """
    for name, field in _HEALTH_TIMES:
        value = getattr(check, field)
        if value != 0 and value < MINIMUM_HEALTH_NS:
            raise InvalidParameter(f"{name} in Healthcheck cannot be less than 1ms")
    if check.retries < 0:
        raise InvalidParameter("Retries in Healthcheck cannot be negative")
    if check.test and check.test[0] not in ("NONE", "CMD", "CMD-SHELL"):
        raise InvalidParameter(f"Unknown healthcheck type '{check.test[0]}' (expected 'CMD')")
