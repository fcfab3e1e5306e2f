"""Ports of the host: taking them by binding, and finding out who has one that is taken.

A published port is translated by the firewall before any socket sees it; the socket is bound all
the same. It keeps the port from being taken twice, says so at once if somebody has it, and serves
connections from the host's loopback, which can't be translated.
"""

import errno
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from cutaway.network.publishing.ports import (
    PortBinding,
    PortBook,
    PortInUse,
    PortRequest,
    PortUnavailable,
    choose_mode,
    host_addresses,
    parse_host_ports,
)

_TCP_LISTEN = "0A"
_BACKLOG = 1024
_NEXT_FREE_TRIES = 64


@dataclass(slots=True)
class HeldPort:
    """A port that was found for a request, with its socket while the engine has it.

    Attributes:
        binding: the port.
        bound: the socket; None for a protocol the kernel has no sockets for (SCTP, often).
    """

    binding: PortBinding
    bound: socket.socket | None

    def close(self) -> None:
        """Let go of the socket."""
        if self.bound is not None:
            self.bound.close()
            self.bound = None


def bind_port(protocol: str, address: str, port: int) -> socket.socket | None:
    """Take a port of the calling thread's network namespace.

    Returns:
        The socket, listening if it is TCP's; None when the kernel has no such sockets.

    Raises:
        OSError: EADDRINUSE; EADDRNOTAVAIL (the address is not this host's), EACCES.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if protocol == "sctp":
        return None
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    bound = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            # Connections of an earlier container in TIME_WAIT are no reason to refuse.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, port))
        if protocol == "tcp":
            bound.listen(_BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def hold_ports(
    book: PortBook,
    requests: Iterable[PortRequest],
    *,
    default: str,
    mode: str,
    owner: str,
    versions: Sequence[int],
) -> list[HeldPort]:
    """Find and take the ports of a container.

    Args:
        book: who has which; what is found is written into it.
        requests: what is asked for, in order.
        default: the address for requests without one.
        mode: how those without a mode are published.
        owner: whose they will be, for the book.
        versions: IP versions in which requests without an address are published; none:
            nothing is.

    Raises:
        PortInUse: with the owner's name; nothing is taken then.
        InvalidParameter: an address or a port that is none.
    """
    held: list[HeldPort] = []
    try:
        for request in requests:
            request = replace(request, mode=choose_mode(request, mode))
            addresses = host_addresses(request, default, versions)
            for one in _hold(book, request, addresses) if addresses else ():
                held.append(one)
                book.take(one.binding, owner)
    except BaseException:
        release_ports(book, held)
        raise
    return held


def release_ports(book: PortBook, held: Iterable[HeldPort]) -> None:
    """Give ports back."""
    for one in held:
        one.close()
        book.release(one.binding)


def _hold(book: PortBook, request: PortRequest, addresses: list[str]) -> list[HeldPort]:
    """Try the ports of one request until one is free on all its addresses."""
    requested = parse_host_ports(request.host_port)
    last: PortInUse | None = None
    for port in book.candidates(requested):
        owner = next((o for a in addresses if (o := book.owner(request.protocol, a, port))), None)
        if owner is None:
            found = _bind_all(request, addresses, port)
            if isinstance(found, list):
                return found
            if not requested:
                continue
            owner = find_owner(request.protocol, port)
        elif not requested:
            continue
        last = _in_use(book, request, addresses, port, owner=owner)
    if last is None:
        raise PortInUse(addresses[0], 0, request.protocol, owner="everybody", next_free=None)
    raise last


def _bind_all(request: PortRequest, addresses: list[str], port: int) -> list[HeldPort] | str:
    """Bind a port on all addresses; or return the one it is taken on."""
    held: list[HeldPort] = []
    for address in addresses:
        binding = PortBinding(
            container_port=request.container_port,
            protocol=request.protocol,
            host_ip=address,
            host_port=port,
            mode=request.mode,
        )
        try:
            held.append(HeldPort(binding, bind_port(request.protocol, address, port)))
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT or (
                error.errno == errno.EADDRNOTAVAIL and address == "::"
            ):
                continue  # no IPv6 on this host after all
            for one in held:
                one.close()
            if error.errno == errno.EADDRINUSE:
                return address
            raise PortUnavailable(address, port, error.strerror or str(error)) from error
    return held


def _in_use(
    book: PortBook, request: PortRequest, addresses: list[str], port: int, *, owner: str
) -> PortInUse:
    return PortInUse(
        addresses[0],
        port,
        request.protocol,
        owner=owner,
        next_free=_next_free(book, request.protocol, addresses, port),
    )


def _next_free(book: PortBook, protocol: str, addresses: list[str], port: int) -> int | None:
    for candidate in range(port + 1, min(port + _NEXT_FREE_TRIES, 65535) + 1):
        if not book.is_free(protocol, addresses, candidate):
            continue
        try:
            for address in addresses:
                bound = bind_port(protocol, address, candidate)
                if bound is not None:
                    bound.close()
        except OSError:
            continue
        return candidate
    return None


def find_owner(protocol: str, port: int, *, missing: str = "a process of this host") -> str:
    """Name the process that has a port: ``nginx (pid 812, nginx.service)``.

    A search through ``/proc``, for texts only.

    Args:
        protocol: ``tcp`` or ``udp``.
        port: of the host.
        missing: what to say when it is not found.
    """
    inodes = set(_listening_inodes(protocol, port))
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if _has_socket(pid, inodes):
            unit = _unit_of(pid)
            return f"{_name_of(pid)} (pid {pid}{', ' + unit if unit else ''})"
    return missing


def _listening_inodes(protocol: str, port: int) -> Iterator[str]:
    for suffix in ("", "6"):
        # thread-self: the calling thread's namespace, which need not be the process's.
        for line in _lines(f"/proc/thread-self/net/{protocol}{suffix}")[1:]:
            fields = line.split()
            if len(fields) < 10 or int(fields[1].rpartition(":")[2], 16) != port:
                continue
            if protocol != "tcp" or fields[3] == _TCP_LISTEN:
                yield fields[9]


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _has_socket(pid: str, inodes: set[str]) -> bool:
    directory = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(directory):
            target = os.readlink(f"{directory}/{name}")
            if target.startswith("socket:[") and target[8:-1] in inodes:
                return True
    except OSError:
        return False
    return False


def _name_of(pid: str) -> str:
    return (_lines(f"/proc/{pid}/comm") or ["?"])[0]


def _unit_of(pid: str) -> str:
    """Return the systemd unit of a process, from its cgroup's path; empty without."""
    for line in _lines(f"/proc/{pid}/cgroup"):
        for part in reversed(line.rpartition(":")[2].split("/")):
            if part.endswith((".service", ".scope", ".socket")):
                return part
    return ""
