"""What the daemon was told about networks: its flags and ``daemon.json`` keys, as one value."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

DEFAULT_BRIDGE = "cutaway0"


@dataclass(frozen=True, slots=True)
class AddressPool:
    """A range of addresses that networks without a subnet of their own are cut from.

    Attributes:
        base: the whole range, ``172.17.0.0/16``.
        size: prefix length of each network's subnet.
    """

    base: IPv4Network | IPv6Network
    size: int

    @classmethod
    def parse(cls, base: str, size: int) -> "AddressPool":
        """Make a pool from ``default-address-pools`` of daemon.json.

        Raises:
            ValueError: ``base`` is no network, or ``size`` is shorter than its prefix.
        """
        network = ip_network(base)
        if not network.prefixlen <= size <= network.max_prefixlen:
            raise ValueError(f"invalid pool size {size} for base {base}")
        return cls(network, size)


# Docker's own defaults, in its order: 172.17 to 172.31, then sixteen networks of 192.168.
DEFAULT_POOLS = (
    *(AddressPool.parse(f"172.{second}.0.0/16", 16) for second in range(17, 32)),
    AddressPool.parse("192.168.0.0/16", 20),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """How this engine is to make networks.

    Attributes:
        run_directory: tmpfs directory of the resolver's socket, ``/run/cutaway/network``.
        instance: a word that tells this engine's kernel objects from another's on the same host:
            it names the firewall tables and is written into every link's alias.
        bridge: ``--bridge``: device of the default network; ``none`` means there is none. Any
            name but ``cutaway0`` must exist already and is never changed or removed.
        bip: ``--bip``: address and prefix of the default bridge, ``172.20.0.1/16``.
        bip6: ``--bip6``.
        fixed_cidr: ``--fixed-cidr``: the part of the subnet that containers' addresses come from.
        fixed_cidr_v6: ``--fixed-cidr-v6``.
        default_gateway: ``--default-gateway``: the containers' way out, when it is not the bridge.
        default_gateway_v6: ``--default-gateway-v6``.
        mtu: ``--mtu``; None infers it from the machine's way out.
        icc: ``--icc``: containers on the default bridge may talk to each other.
        ip_masq: ``--ip-masq``: hide their addresses behind the machine's.
        ip_forward: ``--ip-forward``: switch on the kernel's forwarding.
        ipv6: ``--ipv6``: the default bridge has IPv6.
        host_address: ``--ip``: where ports without an address are published.
        host_gateways: ``--host-gateway-ip``: what ``host-gateway`` stands for in ``--add-host``;
            empty: the default bridge's addresses.
        publish_mode: ``--publish-mode``: ``dnat``, or ``host``: by a listener.
        default_address_pools: where subnets come from, in order.
        dns: ``--dns``.
        dns_search: ``--dns-search``.
        dns_options: ``--dns-opt``.
    """

    run_directory: str
    instance: str = "cutaway"
    bridge: str = DEFAULT_BRIDGE
    bip: str | None = None
    bip6: str | None = None
    fixed_cidr: str | None = None
    fixed_cidr_v6: str | None = None
    default_gateway: str | None = None
    default_gateway_v6: str | None = None
    mtu: int | None = None
    icc: bool = True
    ip_masq: bool = True
    ip_forward: bool = True
    ipv6: bool = False
    host_address: str = "0.0.0.0"  # noqa: S104, RUF100 - Docker's default for published ports
    host_gateways: tuple[str, ...] = ()
    publish_mode: str = "dnat"
    default_address_pools: tuple[AddressPool, ...] = DEFAULT_POOLS
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
