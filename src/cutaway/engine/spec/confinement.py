"""``--security-opt``: what was asked of the confinement, read and checked.

Source: moby ``daemon/daemon_unix.go`` ``parseSecurityOpt``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from cutaway.engine.configuration.settings import DaemonSettings
from cutaway.errors import InvalidParameter
from cutaway.errors import NotImplemented as Unsupported

UNCONFINED = "unconfined"
BUILTIN = "builtin"


@dataclass(frozen=True, slots=True)
class Confinement:
    """What ``security_opt`` came to.

    Attributes:
        seccomp: ``builtin``, ``unconfined``, or the JSON text of a profile.
        bare_system_paths: neither masked nor read-only paths.
    """

    no_new_privileges: bool = False
    seccomp: str = BUILTIN
    bare_system_paths: bool = False


def parse_security_options(
    options: Iterable[str], settings: DaemonSettings, *, privileged: bool
) -> Confinement:
    """Read the options over the daemon's defaults.

    Raises:
        InvalidParameter: no such option. NotImplemented: this machine has no such confinement.
    """
    confinement = Confinement(
        no_new_privileges=settings.no_new_privileges,
        seccomp=UNCONFINED if privileged else settings.seccomp_profile,
    )
    for option in options:
        confinement = _apply(confinement, option)
    return confinement


def _apply(confinement: Confinement, option: str) -> Confinement:
    if option == "no-new-privileges":
        return replace(confinement, no_new_privileges=True)
    if option == "disable":
        return confinement
    key, value = _split(option)
    match key:
        case "seccomp":
            return replace(confinement, seccomp=value)
        case "no-new-privileges":
            if value not in ("true", "false"):
                raise InvalidParameter(f'invalid --security-opt 2: "{option}"')
            return replace(confinement, no_new_privileges=value == "true")
        case "systempaths" if value == UNCONFINED:
            return replace(confinement, bare_system_paths=True)
        case "label":
            if value != "disable":
                raise Unsupported(f"--security-opt {option}: SELinux is not supported")
            return confinement
        case "apparmor":
            if value not in (UNCONFINED, "docker-default", ""):
                raise Unsupported(f"--security-opt {option}: AppArmor is not supported")
            return confinement
    raise InvalidParameter(f'invalid --security-opt 2: "{option}"')


def _split(option: str) -> tuple[str, str]:
    # "label:disable" is the old spelling; a profile's JSON has colons of its own.
    for separator in "=:":
        key, found, value = option.partition(separator)
        if found and key.isascii() and key.replace("-", "").isalpha():
            return key, value
    raise InvalidParameter(f'invalid --security-opt 1: "{option}"')
