"""dockerd's command line and ``daemon.json`` as one table: name, kind, default, what becomes of it.

Everything dockerd 28 takes is here, so that a start that works for dockerd works for cutawayd by
replacing the program's name. What cutaway honours fills a field of ``DaemonSettings``; what has no
meaning here is accepted; what would be ignored to somebody's loss is refused by a sentence.
"""

from dataclasses import dataclass
from enum import StrEnum

DEFAULT_CONFIG_FILE = "/etc/cutaway/daemon.json"
DEFAULT_DATA_ROOT = "/var/lib/cutaway"
DEFAULT_EXEC_ROOT = "/run/cutaway"


class Kind(StrEnum):
    """How an option's text becomes a value."""

    TEXT = "string"
    FLAG = "bool"
    NUMBER = "int"
    BYTES = "bytes"
    LIST = "list"
    MAP = "map"
    ULIMITS = "ulimit"
    POOLS = "pool-options"
    RUNTIMES = "runtime"


@dataclass(frozen=True, slots=True)
class Option:
    """One of dockerd's options.

    Attributes:
        flag: its name on the command line, without dashes.
        kind: how its text is read.
        help: one line for ``--help``.
        key: its name in daemon.json, where it differs from ``flag``.
        short: one-letter form.
        default: the value when nobody gives one.
        refuse: why it can't be honoured; any value but ``default`` is an error then.
        allow: words of a refused list that are allowed all the same: they change nothing.
        accept_only: as ``refuse`` is None but the values allowed are few.
        harmless: accepted and without meaning here; the text says why.
    """

    flag: str
    kind: Kind
    help: str
    key: str = ""
    short: str = ""
    default: object = None
    refuse: str = ""
    allow: tuple[str, ...] = ()
    accept_only: tuple[str, ...] = ()
    harmless: str = ""

    @property
    def name(self) -> str:
        """The key in daemon.json."""
        return self.key or self.flag

    @property
    def field(self) -> str:
        """The attribute of ``DaemonSettings`` that holds it."""
        return self.name.replace("-", "_")


_SWARM = "cutaway has no swarm mode"
_AUTHZ = "no authorization plugin would be asked"
_CONTAINERD = "cutaway needs no containerd"
_RT = "this needs a kernel with CONFIG_RT_GROUP_SCHED and is not supported"
_USERNS = "user namespace remapping is not supported yet"
_NETWORK_OPTS = "give them to each network: network create --opt"

OPTIONS: tuple[Option, ...] = (
    # where things are
    Option("data-root", Kind.TEXT, "Root directory of persistent state", default=DEFAULT_DATA_ROOT),
    Option(
        "exec-root",
        Kind.TEXT,
        "Root directory for execution state files",
        default=DEFAULT_EXEC_ROOT,
    ),
    Option("pidfile", Kind.TEXT, "Path of the daemon's PID file", short="p", default=""),
    Option("host", Kind.LIST, "Daemon sockets to connect to", key="hosts", short="H"),
    Option("group", Kind.TEXT, "Group for the unix socket", short="G", default="docker"),
    Option("label", Kind.LIST, "Set key=value labels to the daemon", key="labels"),
    Option("debug", Kind.FLAG, "Enable debug mode", short="D", default=False),
    Option(
        "log-level",
        Kind.TEXT,
        "Set the logging level",
        short="l",
        default="info",
        accept_only=("debug", "info", "warn", "error", "fatal"),
    ),
    Option("log-format", Kind.TEXT, "Logging format", default="text", accept_only=("text", "json")),
    Option(
        "raw-logs", Kind.FLAG, "Full timestamps without colours", harmless="logs have no colours"
    ),
    Option("shutdown-timeout", Kind.NUMBER, "Shutdown timeout", default=15),
    Option("experimental", Kind.FLAG, "Enable experimental features", default=True),
    Option("feature", Kind.MAP, "", key="features", harmless="they choose between dockerd's parts"),
    Option("live-restore", Kind.FLAG, "Keep containers alive", harmless="always on"),
    Option(
        "metrics-addr", Kind.TEXT, "Metrics address", default="", refuse="no metrics are served"
    ),
    Option(
        "min-api-version",
        Kind.TEXT,
        "",
        default="1.24",
        refuse="every version since 1.24 is served; leave it out",
    ),
    # the API over TCP
    Option("tls", Kind.FLAG, "Use TLS; implied by --tlsverify", default=False),
    Option("tlsverify", Kind.FLAG, "Use TLS and verify the remote", default=False),
    Option("tlscacert", Kind.TEXT, "Trust certs signed only by this CA", default=""),
    Option("tlscert", Kind.TEXT, "Path to TLS certificate file", default=""),
    Option("tlskey", Kind.TEXT, "Path to TLS key file", default=""),
    Option(
        "plugin-sockets",
        Kind.TEXT,
        "Directory of the sockets of volume and network plugins",
        default="/run/docker/plugins",
    ),
    Option("authorization-plugin", Kind.LIST, "", key="authorization-plugins", refuse=_AUTHZ),
    # containers
    Option("default-runtime", Kind.TEXT, "Default OCI runtime", default="cutaway"),
    Option("add-runtime", Kind.RUNTIMES, "Register an additional OCI runtime", key="runtimes"),
    Option("default-ulimit", Kind.ULIMITS, "Default ulimits", key="default-ulimits"),
    Option("default-shm-size", Kind.BYTES, "Default shm size", default=64 << 20),
    Option(
        "default-ipc-mode",
        Kind.TEXT,
        "Default mode for containers ipc",
        default="private",
        accept_only=("private", "shareable"),
    ),
    Option(
        "default-cgroupns-mode",
        Kind.TEXT,
        "Default mode for containers cgroup namespace",
        default="",
        accept_only=("", "host", "private"),
    ),
    Option("cgroup-parent", Kind.TEXT, "Set parent cgroup for all containers", default=""),
    Option("exec-opt", Kind.LIST, "Runtime execution options", key="exec-opts"),
    Option("init", Kind.FLAG, "Run an init in every container", default=False),
    Option("init-path", Kind.TEXT, "Path to the init of external runtimes", default=""),
    Option("no-new-privileges", Kind.FLAG, "Set no-new-privileges by default", default=False),
    Option("seccomp-profile", Kind.TEXT, "Path to seccomp profile", default="builtin"),
    Option("selinux-enabled", Kind.FLAG, "", default=False, refuse="SELinux is not supported"),
    Option("userns-remap", Kind.TEXT, "", default="", refuse=_USERNS),
    Option("rootless", Kind.FLAG, "", default=False, refuse="rootless mode is not supported yet"),
    Option("cpu-rt-period", Kind.NUMBER, "", default=0, refuse=_RT),
    Option("cpu-rt-runtime", Kind.NUMBER, "", default=0, refuse=_RT),
    Option("cdi-spec-dir", Kind.LIST, "", key="cdi-spec-dirs", harmless="no CDI devices"),
    Option("log-driver", Kind.TEXT, "Default driver for container logs", default="json-file"),
    Option("log-opt", Kind.MAP, "Default log driver options", key="log-opts"),
    # networks
    Option("bridge", Kind.TEXT, "Attach containers to a network bridge", short="b", default=""),
    Option("bip", Kind.TEXT, "Address and prefix of the default bridge", default=""),
    Option("bip6", Kind.TEXT, "IPv6 address and prefix of the default bridge", default=""),
    Option("fixed-cidr", Kind.TEXT, "IPv4 subnet for the bridge's containers", default=""),
    Option("fixed-cidr-v6", Kind.TEXT, "IPv6 subnet for the bridge's containers", default=""),
    Option("mtu", Kind.NUMBER, "Set the MTU of the default bridge", default=0),
    Option("default-gateway", Kind.TEXT, "Default gateway IPv4 address", default=""),
    Option("default-gateway-v6", Kind.TEXT, "Default gateway IPv6 address", default=""),
    Option("default-address-pool", Kind.POOLS, "Address pools", key="default-address-pools"),
    Option("default-network-opt", Kind.MAP, "", key="default-network-opts", refuse=_NETWORK_OPTS),
    Option("dns", Kind.LIST, "DNS server to use"),
    Option("dns-opt", Kind.LIST, "DNS options to use", key="dns-opts"),
    Option("dns-search", Kind.LIST, "DNS search domains to use"),
    Option("host-gateway-ip", Kind.LIST, "Address of host-gateway", key="host-gateway-ips"),
    Option("ip", Kind.TEXT, "Default host address when binding ports", default="0.0.0.0"),
    Option(
        "publish-mode",
        Kind.TEXT,
        "How ports are published: by dnat, or by a listener of the host",
        default="dnat",
        accept_only=("dnat", "host"),
    ),
    Option("icc", Kind.FLAG, "Enable inter-container communication", default=True),
    Option("ip-masq", Kind.FLAG, "Enable IP masquerading", default=True),
    Option("ip-forward", Kind.FLAG, "Enable IP forwarding in the kernel", default=True),
    Option("ip-forward-no-drop", Kind.FLAG, "", harmless="foreign chains are never touched"),
    Option(
        "iptables",
        Kind.FLAG,
        "Enable addition of firewall rules",
        default=True,
        refuse="networks need rules; they are in nftables tables of the engine's own, and no other "
        "table is ever touched: leave it out",
    ),
    Option("ip6tables", Kind.FLAG, "", harmless="one firewall serves both families"),
    Option("firewall-backend", Kind.TEXT, "", harmless="always nftables, without the nft program"),
    Option(
        "allow-direct-routing",
        Kind.FLAG,
        "",
        default=False,
        refuse="containers are reached from outside by published ports only",
    ),
    Option(
        "bridge-accept-fwmark",
        Kind.TEXT,
        "",
        default="",
        refuse="containers are reached from outside by published ports only",
    ),
    Option("ipv6", Kind.FLAG, "Enable IPv6 on the default bridge", default=False),
    Option("userland-proxy", Kind.FLAG, "", harmless="there is no proxy"),
    Option("userland-proxy-path", Kind.TEXT, "", harmless="there is no proxy"),
    Option("network-control-plane-mtu", Kind.NUMBER, "", harmless=_SWARM),
    # registries
    Option(
        "insecure-registry", Kind.LIST, "Allow plain HTTP or any TLS", key="insecure-registries"
    ),
    Option("registry-mirror", Kind.LIST, "Preferred registry mirror", key="registry-mirrors"),
    Option("max-concurrent-downloads", Kind.NUMBER, "Parallel layers of a pull", default=3),
    Option("max-concurrent-uploads", Kind.NUMBER, "Parallel layers of a push", default=5),
    Option("max-download-attempts", Kind.NUMBER, "Attempts for a download", default=5),
    Option("http-proxy", Kind.TEXT, "HTTP proxy for registries", default=""),
    Option("https-proxy", Kind.TEXT, "HTTPS proxy for registries", default=""),
    Option("no-proxy", Kind.TEXT, "Hosts reached without a proxy", default=""),
    # storage
    Option(
        "storage-driver",
        Kind.TEXT,
        "Storage driver",
        short="s",
        default="",
        accept_only=("", "overlay2", "overlayfs", "overlay"),
    ),
    Option(
        "storage-opt",
        Kind.LIST,
        "",
        key="storage-opts",
        refuse="layers are overlay mounts without options",
        allow=("overlay2.override_kernel_check=true", "overlay2.override_kernel_check=1"),
    ),
    # what belongs to parts that cutaway doesn't have
    Option("containerd", Kind.TEXT, "", harmless=_CONTAINERD),
    Option("containerd-namespace", Kind.TEXT, "", harmless=_CONTAINERD),
    Option("containerd-plugins-namespace", Kind.TEXT, "", harmless=_CONTAINERD),
    Option("containerd-plugin-namespace", Kind.TEXT, "", harmless=_CONTAINERD),
    Option("cri-containerd", Kind.FLAG, "", harmless=_CONTAINERD),
    Option("swarm-default-advertise-addr", Kind.TEXT, "", default="", refuse=_SWARM),
    Option("node-generic-resource", Kind.LIST, "", key="node-generic-resources", refuse=_SWARM),
)

# Keys of daemon.json that are no flags.
FILE_ONLY_KEYS = frozenset(
    {"proxies", "builder", "host-gateway-ip", "deprecated-key-path", "default-runtimes"}
)

BY_FLAG = {option.flag: option for option in OPTIONS}
BY_SHORT = {option.short: option for option in OPTIONS if option.short}
BY_KEY = {option.name: option for option in OPTIONS}
