"""What can go wrong with networks, in Docker's words."""

from collections.abc import Sequence

from cutaway.errors import Conflict, Forbidden, InvalidParameter, NotFound, NotImplemented


class NetworkNotFound(NotFound):
    """No network has this name or id."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"network {reference} not found")
        self.reference = reference


class AmbiguousNetwork(InvalidParameter):
    """A shortened id fits several networks."""

    def __init__(self, reference: str, matches: int) -> None:
        super().__init__(f"network {reference} is ambiguous ({matches} matches found on id prefix)")
        self.reference = reference


class NetworkExists(Conflict):
    """The name is taken."""

    def __init__(self, name: str) -> None:
        super().__init__(f"network with name {name} already exists")
        self.name = name


class NetworkInUse(Forbidden):
    """A network with endpoints can't be removed.

    Attributes:
        endpoints: (container name, endpoint id) of each.
    """

    def __init__(self, name: str, endpoints: Sequence[tuple[str, str]]) -> None:
        listed = ", ".join(f'name:"{who}" id:"{endpoint[:12]}"' for who, endpoint in endpoints)
        super().__init__(
            f"error while removing network: network {name} has active endpoints ({listed})"
        )
        self.name = name
        self.endpoints = tuple(endpoints)


class PredefinedNetwork(Forbidden):
    """``bridge``, ``host`` and ``none`` are always there."""

    def __init__(self, name: str, *, removing: bool) -> None:
        if removing:
            super().__init__(f"{name} is a pre-defined network and cannot be removed")
        else:
            super().__init__(f"operation is not permitted on predefined {name} network")
        self.name = name


class PoolOverlaps(Forbidden):
    """The subnet that was asked for is (partly) another's.

    Attributes:
        owner: what it overlaps: ``network web (172.18.0.0/16)``, ``route 10.0.0.0/8 dev eth0``.
    """

    def __init__(self, subnet: str, owner: str) -> None:
        super().__init__(
            "invalid pool request: Pool overlaps with other one on this address space: "
            f"{subnet} overlaps with {owner}"
        )
        self.subnet = subnet
        self.owner = owner


class PoolsExhausted(InvalidParameter):
    """Every default pool overlaps with a network or a route of the machine."""

    def __init__(self, version: int, blockers: Sequence[str]) -> None:
        shown = ", ".join(blockers[:4]) + (", …" if len(blockers) > 4 else "")
        super().__init__(
            f"could not find an available, non-overlapping IPv{version} address pool among the "
            f"defaults to assign to the network; in the way: {shown or 'nothing (no pools)'}; "
            "give one with --subnet, or more with --default-address-pool"
        )


class AddressInUse(Forbidden):
    """The address that was asked for is another endpoint's, the gateway's or reserved."""

    def __init__(self, address: str, owner: str) -> None:
        super().__init__(f"Address already in use: {address} belongs to {owner}")
        self.address = address
        self.owner = owner


class AddressOutOfRange(InvalidParameter):
    """The address that was asked for is in no subnet of the network."""

    def __init__(self, address: str) -> None:
        super().__init__(
            "invalid endpoint settings:\n"
            f"no configured subnet or ip-range contain the IP address {address}"
        )
        self.address = address


class AddressesExhausted(Forbidden):
    """Every address of the network's pools is leased."""

    def __init__(self, network: str, version: int) -> None:
        super().__init__(
            f"no available IPv{version} addresses on this network's address pools: {network}"
        )


class EndpointExists(Forbidden):
    """The container is on the network already."""

    def __init__(self, container: str, network: str) -> None:
        super().__init__(f"endpoint with name {container} already exists in network {network}")


class NotConnected(Conflict):
    """The container is not on the network."""

    def __init__(self, container: str, network: str) -> None:
        super().__init__(f"container {container} is not connected to network {network}")


class MissingLinkKind(NotImplemented):
    """The kernel was built without a kind of link.

    Attributes:
        option: the kernel's configuration option.
    """

    def __init__(self, kind: str, option: str) -> None:
        super().__init__(
            f"this machine's kernel has no {kind} devices: it was built without {option}, "
            f"or the module can't be loaded"
        )
        self.kind = kind
        self.option = option


class UnknownDriver(NotFound):
    """No driver, built in or plugged in, has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f'plugin "{name}" not found; the drivers are bridge, host, ipvlan, macvlan, null'
        )
        self.name = name
