"""The daemon's settings: typed, checked and complete. ``directives.py`` reads them."""

import ipaddress
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cutaway.engine.configuration.options import (
    DEFAULT_DATA_ROOT,
    DEFAULT_EXEC_ROOT,
    OPTIONS,
    Kind,
    Option,
)
from cutaway.engine.units import Ulimit
from cutaway.errors import InvalidParameter

BUILTIN_RUNTIME = "cutaway"


class BadSettings(InvalidParameter):
    """A flag or key that the daemon can't start with."""


@dataclass(frozen=True, slots=True)
class AddressPool:
    """A range of addresses from which networks without a subnet get theirs."""

    base: str
    size: int


@dataclass(frozen=True, slots=True)
class Runtime:
    """An OCI runtime program a container may ask for by name."""

    name: str
    path: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BuildGc:
    """When builds make their cache smaller: ``builder.gc`` of daemon.json. 0: no limit.

    Attributes:
        max_used_bytes: what it may take.
        min_free_bytes: what is to be free on its disk.
    """

    max_used_bytes: int = 0
    min_free_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSettings:
    """Everything the daemon was told, checked and complete. Fields are daemon.json's keys."""

    data_root: str = DEFAULT_DATA_ROOT
    exec_root: str = DEFAULT_EXEC_ROOT
    pidfile: str = ""
    plugin_sockets: str = "/run/docker/plugins"
    hosts: tuple[str, ...] = ()
    group: str = "docker"
    labels: tuple[str, ...] = ()
    debug: bool = False
    log_level: str = "info"
    log_format: str = "text"
    shutdown_timeout: int = 15
    experimental: bool = True
    tls: bool = False
    tlsverify: bool = False
    tlscacert: str = ""
    tlscert: str = ""
    tlskey: str = ""
    default_runtime: str = BUILTIN_RUNTIME
    runtimes: Mapping[str, Runtime] = field(default_factory=dict)
    default_ulimits: tuple[Ulimit, ...] = ()
    default_shm_size: int = 64 << 20
    default_ipc_mode: str = "private"
    default_cgroupns_mode: str = ""
    cgroup_parent: str = ""
    exec_opts: tuple[str, ...] = ()
    init: bool = False
    init_path: str = ""
    no_new_privileges: bool = False
    seccomp_profile: str = "builtin"
    log_driver: str = "json-file"
    log_opts: Mapping[str, str] = field(default_factory=dict)
    bridge: str = ""
    bip: str = ""
    bip6: str = ""
    fixed_cidr: str = ""
    fixed_cidr_v6: str = ""
    mtu: int = 0
    default_gateway: str = ""
    default_gateway_v6: str = ""
    default_address_pools: tuple[AddressPool, ...] = ()
    dns: tuple[str, ...] = ()
    dns_opts: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    host_gateway_ips: tuple[str, ...] = ()
    ip: str = "0.0.0.0"  # noqa: S104, RUF100 - dockerd's default for published ports
    publish_mode: str = "dnat"
    icc: bool = True
    ip_masq: bool = True
    ip_forward: bool = True
    ipv6: bool = False
    insecure_registries: tuple[str, ...] = ()
    registry_mirrors: tuple[str, ...] = ()
    max_concurrent_downloads: int = 3
    max_concurrent_uploads: int = 5
    max_download_attempts: int = 5
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    storage_driver: str = ""
    build_gc: BuildGc = BuildGc()

    @property
    def listen_on(self) -> tuple[str, ...]:
        """The sockets to serve: ``hosts``, or the one in the exec root."""
        return self.hosts or (f"unix://{self.exec_root}/cutaway.sock",)

    @property
    def lock_path(self) -> str:
        """The pid file, which is also the lock."""
        return self.pidfile or f"{self.exec_root}/cutawayd.pid"


def build_settings(values: Mapping[str, Any]) -> DaemonSettings:
    """Check each value on its own and against the others, and make the settings.

    Raises:
        BadSettings: the value can't be honoured; the sentence says why.
    """
    fields: dict[str, Any] = {}
    for option in OPTIONS:
        if option.name not in values or option.harmless:
            continue
        value = values[option.name]
        if option.kind is Kind.NUMBER and value == 0:
            continue  # as in dockerd: the default
        if option.refuse and not _changes_nothing(option, value):
            raise BadSettings(f"--{option.flag} can't be honoured: {option.refuse}")
        if option.accept_only and value not in option.accept_only:
            raise BadSettings(
                f'invalid value "{value}" for --{option.flag}: expected one of '
                + ", ".join(repr(word) for word in option.accept_only)
            )
        if not option.refuse:
            fields[option.field] = value
    settings = DaemonSettings(**fields, build_gc=values.get("builder", BuildGc()))
    _check_together(settings)
    return settings


def _changes_nothing(option: Option, value: Any) -> bool:
    if isinstance(value, tuple):
        return all(word in option.allow for word in value)
    return value in (option.default, {}, None)


def _check_together(settings: DaemonSettings) -> None:
    if settings.bridge and settings.bip:
        raise BadSettings(
            "You specified -b & --bip, mutually exclusive options. Please specify only one"
        )
    if settings.bip:
        _check_address("bip", settings.bip)
    if settings.default_runtime not in {BUILTIN_RUNTIME, "runc", *settings.runtimes}:
        raise BadSettings(f"specified default runtime '{settings.default_runtime}' does not exist")
    if BUILTIN_RUNTIME in settings.runtimes:
        raise BadSettings(f"runtime name '{BUILTIN_RUNTIME}' is reserved")
    if settings.shutdown_timeout < -1:
        raise BadSettings(f"invalid shutdown-timeout: {settings.shutdown_timeout}")
    for root in (settings.data_root, settings.exec_root):
        if not os.path.isabs(root):
            raise BadSettings(f"{root} is not an absolute path")
    _check_numbers(settings)
    _check_lists(settings)


def _check_numbers(settings: DaemonSettings) -> None:
    for what, number in (
        ("default MTU", settings.mtu),
        ("max concurrent downloads", settings.max_concurrent_downloads),
        ("max concurrent uploads", settings.max_concurrent_uploads),
        ("max download attempts", settings.max_download_attempts),
    ):
        if number < 0:
            raise BadSettings(f"invalid {what}: {number}")


def _check_lists(settings: DaemonSettings) -> None:
    single = (settings.ip, settings.default_gateway, settings.default_gateway_v6)
    for address in (*settings.dns, *settings.host_gateway_ips, *filter(None, single)):
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise BadSettings(f"{address} is not an ip address") from None
    for mirror in settings.registry_mirrors:
        if not mirror.startswith(("https://", "http://")):
            raise BadSettings(
                f'invalid mirror: no scheme specified for "{mirror}": must use either '
                "'https://' or 'http://'"
            )
    for option in settings.exec_opts:
        if option not in ("native.cgroupdriver=cgroupfs", "native.cgroupdriver="):
            raise BadSettings(
                f"--exec-opt {option} can't be honoured: cgroups are driven by cgroupfs"
            )
    values: dict[str, str] = {}
    for label in settings.labels:
        key, separator, value = label.partition("=")
        if not separator:
            raise BadSettings(f"bad attribute format: {label}")
        if values.setdefault(key, value) != value:
            raise BadSettings(f"conflict labels for {label} and {key}={values[key]}")


def _check_address(name: str, text: str) -> None:
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError as error:
        raise BadSettings(f"invalid {name}: {error}") from None
    if interface.network.prefixlen == interface.max_prefixlen or "/" not in text:
        raise BadSettings(f"invalid {name}: {text} leaves no room for containers")


def instance_name(settings: DaemonSettings) -> str:
    """Return the word that tells this engine's objects on the host from another engine's.

    It names the firewall tables and the default parent cgroup. The engine at the default place
    is plainly ``cutaway``; any other is told apart by where it runs.
    """
    if settings.exec_root == DEFAULT_EXEC_ROOT:
        return BUILTIN_RUNTIME
    return f"{BUILTIN_RUNTIME}-{zlib.crc32(settings.exec_root.encode()):08x}"
