"""Rules for ``HostConfig``: what the machine may grant.

Source: moby ``daemon/container.go`` ``validateHostConfig``, ``daemon/daemon_unix.go``
``verifyPlatformContainerSettings``, ``runconfig/hostconfig_unix.go``, ``runconfig/errors.go``.
"""

import ipaddress
import re

from cutaway.engine.spec.intent import Machine
from cutaway.engine.spec.namespaces import shares
from cutaway.engine.validate.container import parse_port
from cutaway.engine.validate.limits import validate_resources
from cutaway.errors import InvalidParameter
from cutaway.errors import NotImplemented as Unsupported
from cutaway.model import ContainerConfig, HostConfig, PortMap, RestartPolicy
from cutaway.network.egress import parse_egress

LOG_DRIVERS = frozenset({"json-file", "local", "none", "syslog", "journald"})
_SYSCTL = re.compile(r"[a-z0-9_]+(?:[./][A-Za-z0-9_\-]+)+")
_IPC_SYSCTLS = frozenset(
    f"kernel.{name}"
    for name in (
        *("msgmax", "msgmnb", "msgmni", "sem", "shmall"),
        *("shmmax", "shmmni", "shm_rmid_forced"),
    )
)
_HOST_PORT = re.compile(r"(?:\d{1,5}(?:-\d{1,5})?)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def validate_host_config(config: ContainerConfig, host: HostConfig, machine: Machine) -> list[str]:
    """Check a HostConfig on its own and against the Config.

    Returns:
        Warnings for the user, possibly none.

    Raises:
        InvalidParameter: with dockerd's sentence. NotImplemented: cutaway has no such thing.
    """
    _check_modes(host)
    _check_network_mode(config, host)
    check_ports(host.port_bindings or {})
    _check_names(host)
    validate_restart_policy(host.restart_policy)
    if host.auto_remove and host.restart_policy.name not in ("", "no"):
        raise InvalidParameter("can't create 'AutoRemove' container with restart policy")
    if host.isolation not in ("", "default"):
        raise InvalidParameter(
            f"invalid isolation ({host.isolation}): linux only supports 'default'"
        )
    if host.shm_size < 0:
        raise InvalidParameter("SHM size can not be less than 0")
    if not -1000 <= host.oom_score_adj <= 1000:
        raise InvalidParameter(
            f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    if "" in (host.annotations or {}):
        raise InvalidParameter(
            "invalid Annotations: the empty string is not permitted as an annotation key"
        )
    _check_egress(host)
    validate_sysctls(host)
    validate_log_config(host)
    _refuse_unsupported(host)
    return [*validate_resources(host, machine), *_warn_of_ports(host)]


def _warn_of_ports(host: HostConfig) -> list[str]:
    if host.network_mode == "host" and host.port_bindings:
        return ["Published ports are discarded when using host network mode"]
    return []


def _check_modes(host: HostConfig) -> None:
    for name, mode, words, joins in (
        ("IPC", host.ipc_mode, ("", "none", "private", "shareable", "host"), True),
        ("PID", host.pid_mode, ("", "private", "host"), True),
        ("UTS", host.uts_mode, ("", "private", "host"), False),
        ("user", host.userns_mode, ("", "host"), False),
        ("cgroup namespace", host.cgroupns_mode, ("", "host", "private"), False),
    ):
        if mode in words or (joins and shares(mode)):
            continue
        raise InvalidParameter(f"invalid {name} mode: {mode}")


def _check_network_mode(config: ContainerConfig, host: HostConfig) -> None:
    mode = host.network_mode
    if config.hostname and host.uts_mode == "host":
        raise InvalidParameter("conflicting options: hostname and the UTS mode")
    if mode == "host" and host.links:
        raise InvalidParameter(
            "conflicting options: host type networking can't be used with links. "
            "This would result in undefined behavior"
        )
    if mode.startswith("container") and not shares(mode):
        raise InvalidParameter("invalid network mode: invalid container format container:<name|id>")
    if not shares(mode):
        return
    conflicts = (
        (config.hostname, "hostname and the network mode"),
        (config.mac_address, "mac-address and the network mode"),
        (host.dns, "dns and the network mode"),
        (host.extra_hosts, "custom host-to-IP mapping and the network mode"),
        (
            host.port_bindings or host.publish_all_ports,
            "port publishing and the container type network mode",
        ),
        (config.exposed_ports, "port exposing and the container type network mode"),
    )
    if host.links:
        raise InvalidParameter(
            "conflicting options: container type network can't be used with links. "
            "This would result in undefined behavior"
        )
    for present, words in conflicts:
        if present:
            raise InvalidParameter(f"conflicting options: {words}")


def _check_egress(host: HostConfig) -> None:
    policy = parse_egress(host.egress)
    if policy.kind != "all" and (shares(host.network_mode) or host.network_mode == "host"):
        raise InvalidParameter(
            f"conflicting options: an egress policy and the network mode {host.network_mode}"
        )


def check_ports(ports: PortMap) -> None:
    """Check ``PortBindings``.

    Raises:
        InvalidParameter: a port, address or mode that is none.
    """
    for port, bindings in ports.items():
        parse_port(port)
        for binding in bindings or ():
            numbers = [int(n) for n in binding.host_port.split("-") if n.isdecimal()]
            if not _HOST_PORT.fullmatch(binding.host_port) or any(n > 65535 for n in numbers):
                raise InvalidParameter(f'invalid port specification: "{binding.host_port}"')
            if binding.host_ip:
                _check_address(binding.host_ip, "invalid IP address in port binding")
            if binding.mode not in ("", "dnat", "host"):
                raise InvalidParameter(
                    f'invalid publish mode "{binding.mode}": it must be dnat or host'
                )


def _check_address(text: str, sentence: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise InvalidParameter(f"{sentence}: {text}") from None


def _check_names(host: HostConfig) -> None:
    for entry in host.extra_hosts or ():
        name, separator, address = entry.partition(":")
        if not separator or not name or _CONTROL.search(entry):
            raise InvalidParameter(f"bad format for add-host: {entry!r}".replace("'", '"'))
        if address != "host-gateway":
            bare = address.removeprefix("[").removesuffix("]")
            _check_address(bare, "invalid IP address in add-host")
    for server in host.dns or ():
        _check_address(server, "bad parameters: invalid DNS server")
    for word in (*(host.dns_search or ()), *(host.dns_options or ())):
        if _CONTROL.search(word):
            raise InvalidParameter(f"invalid DNS option: {word!r}")
    for group in host.group_add or ():
        if _CONTROL.search(group) or ":" in group or not group:
            raise InvalidParameter(f"invalid group: {group!r}")


def validate_restart_policy(policy: RestartPolicy) -> None:
    """Check a restart policy.

    Raises:
        InvalidParameter: unknown, or a count where none is possible.
    """
    name, count = policy.name, policy.maximum_retry_count
    prefix = "invalid restart policy"
    if name == "on-failed":
        raise InvalidParameter(f"{prefix}: unknown policy 'on-failed'; did you mean 'on-failure'?")
    if name not in ("", "no", "always", "unless-stopped", "on-failure", "on-unhealthy"):
        raise InvalidParameter(
            f"{prefix}: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', "
            "or 'unless-stopped'"
        )
    if count < 0:
        raise InvalidParameter(f"{prefix}: maximum retry count cannot be negative")
    if count and name in ("", "no", "always", "unless-stopped"):
        detail = "" if name else " and a restart policy must be set"
        raise InvalidParameter(
            f"{prefix}: maximum retry count can only be used with 'on-failure'{detail}"
        )


def validate_sysctls(host: HostConfig) -> None:
    """Allow only sysctls of the container's own namespaces, by an exact shape (CVE-2022-0811).

    Raises:
        InvalidParameter: another one would change the machine.
    """
    for name, value in (host.sysctls or {}).items():
        dotted = name.replace("/", ".")
        if not _SYSCTL.fullmatch(name) or ".." in dotted or _CONTROL.search(value):
            raise InvalidParameter(f"invalid sysctl: {name!r}")
        if dotted.startswith("net."):
            if host.network_mode == "host":
                raise InvalidParameter(f'sysctl "{name}" not allowed in host network namespace')
        elif dotted in _IPC_SYSCTLS or dotted.startswith("fs.mqueue."):
            if host.ipc_mode == "host":
                raise InvalidParameter(f'sysctl "{name}" not allowed in host ipc namespace')
        else:
            raise InvalidParameter(f'sysctl "{name}" is not in a separate kernel namespace')


def validate_log_config(host: HostConfig) -> None:
    """Check the log driver's name; its options are read by ``engine.logs``.

    Raises:
        InvalidParameter: no such driver.
    """
    driver = host.log_config.type
    if driver and driver not in LOG_DRIVERS:
        raise InvalidParameter(f"logger: no log driver named '{driver}' is registered")


def _refuse_unsupported(host: HostConfig) -> None:
    if host.storage_opt:
        raise Unsupported(
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
        )
    if host.cgroup:
        raise InvalidParameter(f"invalid cgroup mode: {host.cgroup}")
