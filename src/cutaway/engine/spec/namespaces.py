"""What a container sees as its own: namespaces, hostname, and the sysctls that belong to them."""

from cutaway.engine.ids import short_id
from cutaway.engine.spec.intent import ContainerIntent
from cutaway.oci.runtime_spec import Namespace, NamespaceType

PING_GROUPS = "net.ipv4.ping_group_range"
UNPRIVILEGED_PORTS = "net.ipv4.ip_unprivileged_port_start"
DEFAULT_NETWORK_SYSCTLS = {PING_GROUPS: "0 2147483647", UNPRIVILEGED_PORTS: "0"}


def shares(mode: str) -> str:
    """Return the container named by ``container:NAME``, or the empty string."""
    kind, _, name = mode.partition(":")
    return name if kind == "container" else ""


def has_own_network(intent: ContainerIntent) -> bool:
    """Say whether the container gets a network namespace of its own."""
    return intent.host.network_mode != "host" and not shares(intent.host.network_mode)


def has_own_cgroup_namespace(intent: ContainerIntent) -> bool:
    """Decide by the request, the daemon's default, and else by what the machine has."""
    host = intent.host
    mode = host.cgroupns_mode or intent.settings.default_cgroupns_mode
    if mode:
        return mode == "private"
    # Docker: private on cgroup v2, where the mount would show the whole tree; host on v1, and
    # for privileged containers.
    return intent.machine.unified_cgroups and not host.privileged


def plan_namespaces(intent: ContainerIntent) -> tuple[Namespace, ...]:
    """Decide each namespace: a new one, another container's, or (left out) the machine's."""
    host = intent.host
    namespaces = [Namespace(NamespaceType.MOUNT)]
    if host.network_mode != "host":
        namespaces.append(_own_or_joined(NamespaceType.NETWORK, intent))
    if host.uts_mode != "host":
        namespaces.append(Namespace(NamespaceType.UTS))
    if host.pid_mode != "host":
        namespaces.append(_own_or_joined(NamespaceType.PID, intent))
    if host.ipc_mode != "host":
        namespaces.append(_own_or_joined(NamespaceType.IPC, intent))
    if has_own_cgroup_namespace(intent):
        namespaces.append(Namespace(NamespaceType.CGROUP))
    return tuple(namespaces)


def _own_or_joined(kind: NamespaceType, intent: ContainerIntent) -> Namespace:
    return Namespace(kind, intent.joins.get(kind.value, ""))


def hostname(intent: ContainerIntent) -> str:
    """Return the name the container has: asked for, the machine's, or its short id."""
    host = intent.host
    if intent.config.hostname:
        return intent.config.hostname
    if host.uts_mode == "host" or host.network_mode == "host":
        return intent.machine.hostname
    return short_id(intent.id)


def plan_sysctls(intent: ContainerIntent) -> dict[str, str]:
    """Return the sysctls to write: Docker's defaults, then the request's.

    The domain name is one, as Docker has it: runc knows runtime-spec's ``domainname`` since 1.2.
    """
    sysctls: dict[str, str] = {}
    if has_own_network(intent):
        for name, value in DEFAULT_NETWORK_SYSCTLS.items():
            if name in intent.machine.sysctls:
                sysctls[name] = value
    if intent.config.domainname and intent.host.uts_mode != "host":
        sysctls["kernel.domainname"] = intent.config.domainname
    return sysctls | (intent.host.sysctls or {})
