"""``docker ps``: which containers a list shows, by Docker's filters.

Source: moby ``daemon/list.go``; Engine API "ContainerList".
"""

import re
from collections.abc import Callable, Iterable, Mapping

from cutaway.engine.container import Container
from cutaway.engine.core import Core
from cutaway.engine.lifecycle import Status
from cutaway.engine.showing.inspection import describe_mounts, summarise
from cutaway.engine.validate.container import parse_port
from cutaway.errors import CutawayError, InvalidParameter
from cutaway.model import ContainerListOptions, ContainerSummary

Predicate = Callable[[Container, str], bool]
_TRUTH = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
# A filter on what does not run implies `all`.
_IMPLY_ALL = ("status", "exited")


async def list_containers(core: Core, options: ContainerListOptions) -> list[ContainerSummary]:
    """List containers, newest first.

    Raises:
        InvalidParameter: a filter's value is none. NoSuchContainer: of ``before`` and ``since``.
    """
    chosen = select(core, options)
    return [await summarise(core, container, size=options.size) for container in chosen]


def select(core: Core, options: ContainerListOptions) -> list[Container]:
    """Return the containers that a list shows."""
    filters = options.filters
    check_values(filters)
    everything = options.all or options.limit > 0 or any(filters.get(n) for n in _IMPLY_ALL)
    predicates = build_predicates(core, filters)

    def shown(container: Container) -> bool:
        runs = container.is_alive or container.state.status is Status.RESTARTING
        if not (everything or runs):
            return False
        return matches(container, filters, predicates)

    chosen = core.containers.select(shown)
    chosen = _between(core, chosen, filters)
    return chosen[: options.limit] if options.limit > 0 else chosen


def check_values(filters: Mapping[str, Iterable[str]]) -> None:
    """Check the values that come from small sets.

    Raises:
        InvalidParameter: ``invalid filter 'status=x'``.
    """
    for status in filters.get("status", ()):
        if status not in frozenset(Status):
            raise InvalidParameter(
                f"invalid filter 'status={status}': invalid value for state ({status}): must be "
                "one of created, running, paused, restarting, removing, exited, dead"
            )
    for code in filters.get("exited", ()):
        if not code.lstrip("-").isdecimal():
            raise InvalidParameter(f"invalid filter 'exited={code}'")
    for health in filters.get("health", ()):
        if health not in ("none", "starting", "healthy", "unhealthy"):
            raise InvalidParameter(
                f"invalid filter 'health={health}': invalid value for health ({health}): must be "
                "one of none, starting, healthy, unhealthy"
            )
    for name in ("is-task",):
        for value in filters.get(name, ()):
            truth(name, value)


def truth(name: str, text: str) -> bool:
    """Read a filter's truth value.

    Raises:
        InvalidParameter: neither.
    """
    if text.lower() not in _TRUTH:
        raise InvalidParameter(f"invalid filter '{name}={text}'")
    return _TRUTH[text.lower()]


def matches(
    container: Container,
    filters: Mapping[str, Iterable[str]],
    predicates: Mapping[str, Predicate],
) -> bool:
    """Say whether a container passes: any value of a filter, every filter, every label."""
    for name, values in filters.items():
        predicate = predicates.get(name)
        if predicate is None or not values:
            continue
        outcomes = (predicate(container, value) for value in values)
        if not (all(outcomes) if name in ("label", "label!") else any(outcomes)):
            return False
    return True


def build_predicates(core: Core, filters: Mapping[str, Iterable[str]]) -> dict[str, Predicate]:
    """Return what each filter means; images and networks are looked up once."""
    ancestors = {value: find_ancestors(core, value) for value in filters.get("ancestor", ())}
    return {
        "id": lambda c, value: c.id.startswith(value),
        "name": has_name,
        "label": has_label,
        "label!": lambda c, value: not has_label(c, value),
        "status": lambda c, value: str(c.state.status) == value,
        "exited": lambda c, value: (
            c.state.exit_code == int(value) and c.state.status is Status.EXITED
        ),
        "health": lambda c, value: (c.state.health or "none") == value,
        "ancestor": lambda c, value: c.document.image_id in ancestors[value],
        "volume": has_volume,
        "network": lambda c, value: is_on_network(core, c, value),
        "publish": has_published,
        "expose": has_exposed,
        "is-task": lambda _c, value: not truth("is-task", value),
        "isolation": lambda _c, value: value in ("", "default"),
    }


def has_name(container: Container, value: str) -> bool:
    """Match as Docker does: a regular expression, with or without the leading slash."""
    try:
        expression = re.compile(value)
    except re.error:
        return value in container.name
    return bool(expression.search(f"/{container.name}") or expression.search(container.name))


def has_label(container: Container, value: str) -> bool:
    """Match ``key`` or ``key=value``."""
    key, separator, wanted = value.partition("=")
    labels = container.config.labels or {}
    return key in labels and (not separator or labels[key] == wanted)


def find_ancestors(core: Core, value: str) -> frozenset[str]:
    """Return the ids of the image and of those built on it here."""
    try:
        image = core.images.find(value)
    except CutawayError:
        return frozenset()
    found: set[str] = set()
    pending = [image.id]
    while pending:
        identifier = pending.pop()
        if str(identifier) not in found:
            found.add(str(identifier))
            pending += core.images.children(identifier)
    # Layers tell descent too, for images that were built elsewhere.
    chain = image.chain_ids
    if chain:
        for other in core.images.list():
            if other.chain_ids[: len(chain)] == chain:
                found.add(str(other.id))
    return frozenset(found)


def has_volume(container: Container, value: str) -> bool:
    """Match a volume's name or a path in the container."""
    return any(value in (m.name, m.destination, m.source) for m in describe_mounts(container))


def is_on_network(core: Core, container: Container, value: str) -> bool:
    """Match a network's name or the beginning of its id."""
    for name in container.document.networks:
        if name == value:
            return True
        try:
            if core.network.network(name).id.startswith(value):
                return True
        except CutawayError:
            continue
    return False


def has_published(container: Container, value: str) -> bool:
    """Match a port that is published: ``80``, ``80/udp``, ``8000-8010/tcp``."""
    return _has_port(value, container.host_config.port_bindings or {})


def has_exposed(container: Container, value: str) -> bool:
    """Match a port that is exposed."""
    return _has_port(value, container.config.exposed_ports or {})


def _has_port(value: str, ports: Iterable[str]) -> bool:
    first, last, protocol = parse_port(value)
    for port in ports:
        low, high, of = parse_port(port)
        if of == protocol and low <= last and first <= high:
            return True
    return False


def _between(
    core: Core, chosen: list[Container], filters: Mapping[str, Iterable[str]]
) -> list[Container]:
    for reference in filters.get("before", ()):
        limit = core.containers.find(reference).document.created_ns
        chosen = [c for c in chosen if c.document.created_ns < limit]
    for reference in filters.get("since", ()):
        limit = core.containers.find(reference).document.created_ns
        chosen = [c for c in chosen if c.document.created_ns > limit]
    return chosen
