"""``network create``, ``ls``, ``rm``, ``connect`` and ``disconnect``."""

from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.creating.body import read_labels
from cutaway.cli.filters import encode_filters
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.screen.table import print_rows
from cutaway.cli.screen.terminal import warn
from cutaway.cli.units import go_time
from cutaway.client import ApiError
from cutaway.client.http import quote

_CREATE_FLAGS = """
    --attachable           Enable manual container attachment
    --aux-address map      Auxiliary IPv4 or IPv6 addresses used by Network driver (default map[])
    --config-from string   The network from which to copy the configuration
    --config-only          Create a configuration only network
-d, --driver string        Driver to manage the Network (default "bridge")
    --egress string        What its containers may reach: none, lan or allow=HOST:PORT,...
    --gateway strings      IPv4 or IPv6 Gateway for the master subnet
    --ingress              Create swarm routing-mesh network
    --internal             Restrict external access to the network
    --ip-range strings     Allocate container ip from a sub-range
    --ipam-driver string   IP Address Management Driver (default "default")
    --ipam-opt map         Set IPAM driver specific options (default map[])
    --ipv4                 Enable or disable IPv4 address assignment (default true)
    --ipv6                 Enable or disable IPv6 address assignment
    --label list           Set metadata on a network
-o, --opt map              Set driver specific options (default map[])
    --scope string         Control the network's scope
    --subnet strings       Subnet in CIDR format that represents a network segment
"""
_CONNECT_FLAGS = """
    --alias strings           Add network-scoped alias for the container
    --driver-opt strings      driver options for the network
    --gw-priority int         Highest gw-priority provides the default gateway. Accepts positive and negative values.
    --ip string               IPv4 address (e.g., "172.30.100.104")
    --ip6 string              IPv6 address (e.g., "2001:db8::33")
    --link list               Add link to another container
    --link-local-ip strings   Add a link-local address for the container
"""  # noqa: E501 - one flag a line


_RAW = """network_id: {{.ID}}
name: {{.Name}}
driver: {{.Driver}}
scope: {{.Scope}}
"""


def _pairs(texts: list[str]) -> dict[str, str]:
    return {key: value for key, _, value in (text.partition("=") for text in texts)}


def _split(texts: list[str]) -> list[str]:
    return [part for text in texts for part in text.split(",")]


def create(context: Context, flags: Values, arguments: list[str]) -> int:
    """Create a network and print its id."""
    body: dict[str, Any] = {
        "Name": arguments[0],
        "Driver": flags["driver"],
        "Scope": flags["scope"],
        "Internal": flags["internal"],
        "Attachable": flags["attachable"],
        "Ingress": flags["ingress"],
        "ConfigOnly": flags["config-only"],
        "Options": {**_pairs(flags["opt"]), **_egress(flags)},
        "Labels": read_labels([], flags["label"]),
        "IPAM": {
            "Driver": flags["ipam-driver"],
            "Options": _pairs(flags["ipam-opt"]),
            "Config": ipam_config(flags),
        },
    }
    for family in ("ipv4", "ipv6"):
        if family in flags.given:
            body[f"Enable{family.upper().replace('IPV', 'IPv')}"] = flags[family]
    if flags["config-from"]:
        body["ConfigFrom"] = {"Network": flags["config-from"]}
    answer = context.client.post("/networks/create", body)
    print(answer["Id"])
    return 0


def _egress(flags: Values) -> dict[str, str]:
    return {"com.cutaway.network.egress": flags["egress"]} if flags["egress"] else {}


def ipam_config(flags: Values) -> list[dict[str, Any]]:
    """Join subnets, ranges, gateways and auxiliary addresses into one entry a subnet.

    Raises:
        UsageError: a range, gateway or address that is in none of the subnets.
    """
    from ipaddress import ip_address, ip_network

    entries: dict[str, dict[str, Any]] = {s: {"Subnet": s} for s in _split(flags["subnet"])}

    def entry_of(text: str, what: str) -> dict[str, Any]:
        try:
            address = ip_address(text.partition("/")[0])
            for subnet, entry in entries.items():
                if address in ip_network(subnet, strict=False):
                    return entry
        except ValueError as error:
            raise UsageError(f"invalid {what}: {error}") from None
        raise UsageError(f"no matching subnet for {what} {text}")

    for text in _split(flags["ip-range"]):
        entry_of(text, "range")["IPRange"] = text
    for text in _split(flags["gateway"]):
        entry_of(text, "gateway")["Gateway"] = text
    for name, text in _pairs(flags["aux-address"]).items():
        entry_of(text, "aux-address").setdefault("AuxiliaryAddresses", {})[name] = text
    return list(entries.values())


def list_networks(context: Context, flags: Values, arguments: list[str]) -> int:
    """List networks."""
    networks = context.client.get("/networks", filters=encode_filters(flags["filter"]))
    networks.sort(key=lambda network: network["Name"])
    truncate = not flags["no-trunc"]
    if flags["quiet"] and not flags["format"]:
        for network in networks:
            print(network["Id"][:12] if truncate else network["Id"])
        return 0
    columns = {
        "ID": "NETWORK ID",
        "Name": "NAME",
        "Driver": "DRIVER",
        "Scope": "SCOPE",
        "IPv4": "IPV4",
        "IPv6": "IPV6",
        "Internal": "INTERNAL",
        "Labels": "LABELS",
        "Label": "LABEL",
        "CreatedAt": "CREATED AT",
    }
    rows = [_network_row(network, truncate=truncate) for network in networks]
    default = ["ID", "Name", "Driver", "Scope"]
    print_rows(
        rows,
        columns,
        template=context.list_format(flags, "networksFormat"),
        default=default,
        go_type="*network.networkContext",
        raw=_RAW,
    )
    return 0


def _network_row(network: dict[str, Any], *, truncate: bool) -> dict[str, Any]:
    labels = network.get("Labels") or {}
    return {
        "ID": network["Id"][:12] if truncate else network["Id"],
        "Name": network["Name"],
        "Driver": network["Driver"],
        "Scope": network["Scope"],
        "IPv4": str(network.get("EnableIPv4", True)).lower(),
        "IPv6": str(network.get("EnableIPv6", False)).lower(),
        "Internal": str(network.get("Internal", False)).lower(),
        "Labels": ",".join(f"{k}={v}" for k, v in sorted(labels.items())),
        "Label": lambda name: labels.get(name, ""),
        "CreatedAt": go_time(network["Created"]),
    }


def remove(context: Context, flags: Values, arguments: list[str]) -> int:
    """Remove networks."""
    failed = False
    for name in arguments:
        try:
            context.client.delete(f"/networks/{quote(name)}")
        except ApiError as error:
            if flags["force"] and error.status == 404:
                continue
            warn(f"Error response from daemon: {error}")
            failed = True
        else:
            print(name, flush=True)
    return 1 if failed else 0


def connect(context: Context, flags: Values, arguments: list[str]) -> int:
    """Connect a container to a network."""
    network, container = arguments
    addresses = {"IPv4Address": flags["ip"], "IPv6Address": flags["ip6"]}
    ipam: dict[str, Any] = {k: v for k, v in addresses.items() if v}
    if flags["link-local-ip"]:
        ipam["LinkLocalIPs"] = _split(flags["link-local-ip"])
    endpoint = {
        "IPAMConfig": ipam or None,
        "Links": flags["link"] or None,
        "Aliases": _split(flags["alias"]) or None,
        "DriverOpts": _pairs(_split(flags["driver-opt"])) or None,
        "GwPriority": flags["gw-priority"] or 0,
    }
    body = {"Container": container, "EndpointConfig": endpoint}
    context.client.post(f"/networks/{quote(network)}/connect", body)
    return 0


def disconnect(context: Context, flags: Values, arguments: list[str]) -> int:
    """Disconnect a container from a network."""
    network, container = arguments
    body = {"Container": container, "Force": flags["force"]}
    context.client.post(f"/networks/{quote(network)}/disconnect", body)
    return 0


COMMANDS = (
    Command(
        "network create",
        "[OPTIONS] NETWORK",
        "Create a network",
        create,
        flags=_CREATE_FLAGS,
        at_least=1,
        at_most=1,
    ),
    Command(
        "network ls",
        "[OPTIONS]",
        "List networks",
        list_networks,
        flags="""
-f, --filter filter   Provide filter values (e.g. "driver=bridge")
    --format string   $FORMAT_TABLE
    --no-trunc        Do not truncate the output
-q, --quiet           Only display network IDs
""",
        at_most=0,
        aliases=("network ls", "network list"),
    ),
    Command(
        "network rm",
        "NETWORK [NETWORK...]",
        "Remove one or more networks",
        remove,
        flags="-f, --force   Do not error if the network does not exist",
        at_least=1,
        aliases=("network rm", "network remove"),
    ),
    Command(
        "network connect",
        "[OPTIONS] NETWORK CONTAINER",
        "Connect a container to a network",
        connect,
        flags=_CONNECT_FLAGS,
        at_least=2,
        at_most=2,
    ),
    Command(
        "network disconnect",
        "[OPTIONS] NETWORK CONTAINER",
        "Disconnect a container from a network",
        disconnect,
        flags="-f, --force   Force the container to disconnect from a network",
        at_least=2,
        at_most=2,
    ),
)
