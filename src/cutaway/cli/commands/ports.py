"""``port add`` and ``port rm``: published ports of a container that runs."""

from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.creating.ports import parse_publish
from cutaway.cli.flags import UsageError, Values
from cutaway.client.http import quote


def _bindings(texts: list[str]) -> dict[str, list[dict[str, str]]]:
    ports: dict[str, list[dict[str, str]]] = {}
    for text in texts:
        for port, binding in parse_publish(text):
            ports.setdefault(port, []).append(binding)
    return ports


def add(context: Context, flags: Values, arguments: list[str]) -> int:
    """Publish more ports; print where they are."""
    name, *texts = arguments
    ports = _bindings(texts)
    if flags["mode"] not in ("", "dnat", "host"):
        raise UsageError(f'invalid publish mode "{flags["mode"]}": it must be dnat or host')
    for bindings in ports.values():
        for binding in bindings:
            if flags["mode"]:
                binding["Mode"] = flags["mode"]
    _print(_change(context, name, "add", ports), ports)
    return 0


def remove(context: Context, flags: Values, arguments: list[str]) -> int:
    """Publish ports no more; each is named as it was published, or by the container's port."""
    name, *texts = arguments
    _change(context, name, "rm", _bindings(texts))
    return 0


def _change(context: Context, name: str, verb: str, ports: dict[str, Any]) -> dict[str, Any]:
    path = f"/cutaway/containers/{quote(name)}/ports/{verb}"
    answer: dict[str, Any] = context.client.post(path, {"Ports": ports})
    return answer


def _print(published: dict[str, Any], asked: dict[str, Any]) -> None:
    for port in asked:
        for binding in published.get(port) or ():
            address = binding["HostIp"]
            shown = f"[{address}]" if ":" in address else address
            print(f"{port} -> {shown}:{binding['HostPort']}")


COMMANDS = (
    Command(
        "port add",
        "[OPTIONS] CONTAINER [[IP:]HOST_PORT:]CONTAINER_PORT[/PROTO] [PORT...]",
        "Publish ports of a running container, at once and at its next starts",
        add,
        flags="    --mode string   dnat (the client's address is kept) or host (a listener)",
        at_least=2,
    ),
    Command(
        "port rm",
        "CONTAINER [[IP:]HOST_PORT:]CONTAINER_PORT[/PROTO] [PORT...]",
        "Publish ports of a running container no more",
        remove,
        at_least=2,
    ),
)
