"""Port flags: ``-p [IP:][HOST:]CONTAINER[/PROTO]`` with ranges, and ``--expose``."""

from cutaway.cli.flags import UsageError

Binding = dict[str, str]


def parse_publish(text: str) -> list[tuple[str, Binding]]:
    """Read one ``-p`` value.

    Returns:
        ``("80/tcp", {"HostIp": "127.0.0.1", "HostPort": "8080"})`` for every port of a range.

    Raises:
        UsageError: in docker's words.
    """
    if "=" in text.partition("/")[0]:
        text = _long_form(text)
    address, host, container, protocol = _split(text)
    inside = _range(container, text)
    if host:
        outside = _range(host, text, what="hostPort")
        if len(outside) != len(inside) and len(inside) != 1:
            raise UsageError(f"invalid ranges specified for container and host Ports: {text}")
        if len(outside) != len(inside):
            # One container port on the first free of a range: the engine chooses.
            return [(f"{inside[0]}/{protocol}", {"HostIp": address, "HostPort": host})]
        ports = [str(port) for port in outside]
    else:
        ports = [""] * len(inside)
    return [
        (f"{port}/{protocol}", {"HostIp": address, "HostPort": published})
        for port, published in zip(inside, ports, strict=True)
    ]


def parse_expose(text: str) -> list[str]:
    """Read ``80``, ``80/udp`` or ``7000-7010/tcp`` into ``["80/tcp", …]``."""
    ports, _, protocol = text.partition("/")
    protocol = _protocol(protocol, text)
    try:
        return [f"{port}/{protocol}" for port in _range(ports, text)]
    except UsageError:
        raise UsageError(
            f"invalid range format for --expose: {text}, error: "
            f'strconv.ParseUint: parsing "{ports}": invalid syntax'
        ) from None


def _split(text: str) -> tuple[str, str, str, str]:
    ports, _, protocol = text.partition("/")
    address = ""
    if ports.startswith("["):
        address, bracket, ports = ports[1:].partition("]:")
        if not bracket:
            raise UsageError(f"invalid IP address: {text}")
    parts = ports.split(":")
    container = parts.pop()
    host = parts.pop() if parts else ""
    if parts:
        address = ":".join(parts)
    if not container:
        raise UsageError(f"no port specified: {text}<empty>")
    if address and not _is_address(address):
        raise UsageError(f"invalid IP address: {address}")
    return address, host, container, _protocol(protocol, text)


def _is_address(text: str) -> bool:
    import socket

    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        socket.inet_pton(family, text)
    except OSError:
        return False
    return True


def _protocol(text: str, whole: str) -> str:
    protocol = text.lower() or "tcp"
    if protocol not in {"tcp", "udp", "sctp"}:
        raise UsageError(f"invalid proto: {protocol}: {whole}")
    return protocol


def _range(text: str, whole: str, *, what: str = "containerPort") -> range:
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise UsageError(f"invalid {what}: {text}")
    start, end = int(first), int(last or first)
    if not 0 <= start <= end <= 65535:
        raise UsageError(f"invalid {what}: {text}")
    return range(start, end + 1)


def _long_form(text: str) -> str:
    fields = dict(part.partition("=")[::2] for part in text.split(","))
    if "target" not in fields:
        raise UsageError(f"missing mandatory field 'target': {text}")
    published = fields.get("published", "")
    return f"{published}:{fields['target']}/{fields.get('protocol', 'tcp')}"
