"""``--link``: names, and the environment variables that tell a container of another.

Docker calls links legacy; networks with names have taken their place. The names are the network's
matter; here are the variables, and the removal of a link.

Source: Docker documentation "Legacy container links", "Environment variables".
"""

from msgspec.structs import replace

from cutaway.engine.container import Container
from cutaway.engine.core import Core
from cutaway.engine.networking.endpoints import find_sandbox
from cutaway.engine.validate.container import parse_port
from cutaway.errors import Conflict, InvalidParameter, NotFound

_NOT_SHARED = frozenset({"HOME", "PATH"})


def split_link(text: str) -> tuple[str, str]:
    """Read ``container[:alias]``.

    Raises:
        InvalidParameter: it names nothing.
    """
    name, _, alias = text.partition(":")
    if not name:
        raise InvalidParameter(f"invalid format for links: {text}")
    return name.removeprefix("/"), (alias or name).rpartition("/")[2]


def link_variables(core: Core, container: Container) -> tuple[str, ...]:
    """Return the variables of every link of a container that is about to start.

    Raises:
        NoSuchContainer: the other is gone. Conflict: it does not run.
    """
    variables: list[str] = []
    for text in container.host_config.links or ():
        name, alias = split_link(text)
        other = core.containers.find(name)
        if not other.is_alive:
            raise Conflict(f"Cannot link to a non running container: /{other.name} AS {alias}")
        variables += _variables(core, container, other, alias)
    return tuple(variables)


def _variables(core: Core, container: Container, other: Container, alias: str) -> list[str]:
    prefix = alias.replace("-", "_").upper()
    sandbox = find_sandbox(core, other)
    address = next((e.address for e in sandbox.endpoints if e.address), "") if sandbox else ""
    ports = sorted(parse_port(port)[::2] for port in other.config.exposed_ports or ())
    variables = []
    if ports:
        number, protocol = ports[0]
        variables.append(f"{prefix}_PORT={protocol}://{address}:{number}")
    for number, protocol in ports:
        start = f"{prefix}_PORT_{number}_{protocol.upper()}"
        variables += [
            f"{start}={protocol}://{address}:{number}",
            f"{start}_ADDR={address}",
            f"{start}_PORT={number}",
            f"{start}_PROTO={protocol}",
        ]
    variables.append(f"{prefix}_NAME=/{container.name}/{alias}")
    for entry in other.config.env or ():
        key, separator, value = entry.partition("=")
        if separator and key not in _NOT_SHARED:
            variables.append(f"{prefix}_ENV_{key}={value}")
    return variables


def remove_link(core: Core, reference: str) -> None:
    """Remove one link, ``container/alias``; a running container keeps its names until it ends.

    Raises:
        NoSuchContainer: there is no such container. NotFound: it has no such link.
    """
    name, _, alias = reference.strip("/").rpartition("/")
    container = core.containers.find(name or alias)
    links = container.host_config.links or ()
    kept = tuple(text for text in links if split_link(text)[1] != alias)
    if not name or len(kept) == len(links):
        raise NotFound(f"Could not get parent {reference}: no such link")
    host = replace(container.host_config, links=kept or None)
    core.commit(container, document=replace(container.document, host_config=host))
