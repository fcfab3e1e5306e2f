"""The three files every container gets from its engine: hosts, resolv.conf, hostname.

Pure: texts from values. Who writes them where, and mounts them, is the engine.

Docker's counterpart: libnetwork's ``etchosts`` and ``internal/resolvconf``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from cutaway.errors import InvalidParameter
from cutaway.network.facts import parse_nameservers

EMBEDDED_DNS = "127.0.0.11"
_FALLBACK_SERVERS = ("8.8.8.8", "8.8.4.4")
_LOCALHOST = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::", "ip6-localnet"),
    ("ff00::", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
)


@dataclass(frozen=True, slots=True)
class EtcFiles:
    """The texts of ``/etc/hosts``, ``/etc/resolv.conf`` and ``/etc/hostname``."""

    hosts: str
    resolv_conf: str
    hostname: str


def check_line(text: str, what: str) -> str:
    """Refuse what would end the line or the field it is written into.

    Raises:
        InvalidParameter: ``text`` holds white space or control characters (CVE-2022-4318's
            class: a newline in a value wrote a line of its own).
    """
    if any(c.isspace() or not c.isprintable() for c in text):
        raise InvalidParameter(f"invalid {what}: {text!r} holds white space or control characters")
    return text


def hosts_line(address: str, *names: str) -> str:
    """Return one line of ``/etc/hosts``."""
    return f"{address}\t{' '.join(check_line(n, 'host name') for n in names)}\n"


def own_names(hostname: str, domain_name: str) -> tuple[str, ...]:
    """Return the names a container has for itself: ``web.example.org web``."""
    if domain_name:
        return (f"{hostname}.{domain_name}", hostname)
    short, dot, _ = hostname.partition(".")
    return (hostname, short) if dot else (hostname,)


def parse_extra_host(text: str, host_gateway: Sequence[str]) -> list[tuple[str, str]]:
    """Read ``--add-host``: ``name:address``, ``name=address`` or ``name:host-gateway``.

    Args:
        text: the option's value.
        host_gateway: the addresses that ``host-gateway`` stands for.

    Returns:
        (address, name), one for each address.

    Raises:
        InvalidParameter: in Docker's words.
    """
    separator = "=" if "=" in text else ":"
    name, found, address = text.partition(separator)
    if not found or not name:
        raise InvalidParameter(f'bad format for add-host: "{text}"')
    if address == "host-gateway":
        if not host_gateway:
            raise InvalidParameter(
                "unable to derive the IP value for host-gateway: this engine has no bridge network"
            )
        return [(a, name) for a in host_gateway]
    address = address.removeprefix("[").removesuffix("]")
    try:
        return [(str(ip_address(address)), name)]
    except ValueError:
        raise InvalidParameter(f'invalid IP address in add-host: "{address}"') from None


def hosts(
    own: Iterable[tuple[str, Sequence[str]]],
    extra: Iterable[tuple[str, str]] = (),
    *,
    ipv6: bool = True,
) -> str:
    """Return the text of ``/etc/hosts``.

    Args:
        own: the container's addresses with its names.
        extra: (address, name): ``--add-host`` and links, in order.
        ipv6: also the lines for IPv6's own addresses.
    """
    lines = [hosts_line(a, *n.split()) for a, n in _LOCALHOST if ipv6 or ":" not in a]
    lines += [hosts_line(address, name) for address, name in extra]
    lines += [hosts_line(address, *names) for address, names in own]
    return "".join(lines)


def edit_hosts(text: str, remove: Iterable[str], add: Iterable[str]) -> str:
    """Change ``/etc/hosts`` for a network that came or went; all other lines stay as they are.

    Args:
        text: the file as it is now, with whatever its users wrote.
        remove: whole lines to take out.
        add: whole lines to put in, unless they are there.
    """
    gone = {line.rstrip("\n") for line in remove}
    kept = [line for line in text.splitlines() if line not in gone]
    kept += [line.rstrip("\n") for line in add if line.rstrip("\n") not in kept]
    return "".join(line + "\n" for line in kept)


@dataclass(frozen=True, slots=True)
class ResolverConfig:
    """What a resolv.conf says.

    Attributes:
        servers: addresses.
        search: domains.
        options: ``ndots:0``.
    """

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "ResolverConfig":
        """Read a resolv.conf as the C library does: the last ``search`` or ``domain`` counts."""
        search: tuple[str, ...] = ()
        options: tuple[str, ...] = ()
        for line in text.splitlines():
            words = line.split()
            if len(words) > 1 and words[0] in ("search", "domain"):
                search = tuple(words[1:])
            elif len(words) > 1 and words[0] == "options":
                options += tuple(words[1:])
        return cls(parse_nameservers(text), search, options)

    def override(
        self, servers: Sequence[str], search: Sequence[str], options: Sequence[str]
    ) -> "ResolverConfig":
        """Return it with what the user gave in place of what the host has.

        ``search`` of a single dot means no search domain at all.
        """
        return ResolverConfig(
            tuple(servers) or self.servers,
            (tuple(search) if tuple(search) != (".",) else ()) if search else self.search,
            tuple(options) or self.options,
        )

    def reachable_servers(self, *, has_ipv6: bool) -> tuple[str, ...]:
        """Return the servers that a container can reach, at least one.

        A loopback address means the host's own resolver, which answers nobody in another
        namespace; when nothing else is left Docker falls back to a public server, and so do we.
        """
        usable = tuple(s for s in self.servers if _is_usable(s, has_ipv6=has_ipv6))
        return usable or _FALLBACK_SERVERS


def _is_usable(server: str, *, has_ipv6: bool) -> bool:
    address = ip_address(server)
    return not address.is_loopback and (has_ipv6 or address.version == 4)


def resolv_conf(config: ResolverConfig, *, based_on: str = "") -> str:
    """Return the text of ``/etc/resolv.conf``.

    Args:
        config: what it says.
        based_on: a comment for the reader about where it came from.
    """
    lines = ["# Generated by cutaway."]
    lines += [f"nameserver {check_line(s, 'DNS server')}" for s in config.servers]
    if config.search:
        lines.append("search " + " ".join(check_line(s, "search domain") for s in config.search))
    if config.options:
        lines.append("options " + " ".join(check_line(o, "DNS option") for o in config.options))
    if based_on:
        lines += ["", f"# {based_on}"]
    return "\n".join(lines) + "\n"


def embedded_resolv_conf(config: ResolverConfig) -> str:
    """Return the text for a sandbox with a name server of its own at 127.0.0.11."""
    options = config.options
    if not any(o.startswith("ndots:") for o in options):
        options = (*options, "ndots:0")
    return resolv_conf(
        ResolverConfig((EMBEDDED_DNS,), config.search, options),
        based_on=f"ExtServers: [{' '.join(config.servers)}]",
    )


def hostname_file(hostname: str) -> str:
    """Return the text of ``/etc/hostname``."""
    return check_line(hostname, "hostname") + "\n"
