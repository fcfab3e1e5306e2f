"""``cutaway file CONTAINER:/path``: which layer a file comes from, or which mount.

First the path is resolved as the container's processes would, then it is looked up where it could
come from: in what is mounted, in the container's own layer, in the image's layers from the top.
"""

from datetime import UTC, datetime

from cutaway.engine.container import Container
from cutaway.engine.containers.files import ENGINE_TARGETS, open_tree
from cutaway.engine.core import Core
from cutaway.engine.volumes.mounting import describe_mount
from cutaway.errors import InvalidParameter, NotFound
from cutaway.images.trees.origins import Finding, look_in_layer
from cutaway.images.trees.tree import resolve_path
from cutaway.model import FileLayer, FileOrigin
from cutaway.oci import Digest
from cutaway.volumes import MountPoint


async def find_origin(core: Core, container: Container, path: str) -> FileOrigin:
    """Say where a path of a container comes from, running or not.

    Raises:
        NotFound: it is nowhere, and never was in a layer. InvalidParameter: it is no path.
    """
    if not path.startswith("/"):
        raise InvalidParameter(f"{path!r} is no absolute path: say CONTAINER:/PATH")
    async with container.lock:
        return await core.in_long_thread(_find, core, container, path)


def _find(core: Core, container: Container, path: str) -> FileOrigin:
    with open_tree(core, container) as tree:
        real = resolve_path(tree, path)
    mount = _mount_of(container, real)
    if mount is not None:
        below = real.removeprefix(mount.destination)
        return FileOrigin(
            path=real,
            kind="mount",
            mount=describe_mount(mount),
            host_path=f"{mount.source}{below}" if mount.source.startswith("/") else "",
        )
    engines = _above(real, ENGINE_TARGETS)
    if engines:
        return FileOrigin(path=real, kind="engine", engine_target=engines)
    own = look_in_layer(core.snapshots.directory(container.id), real)
    layers = _look_in_image(core, container, real, is_hidden=own.hides_below)
    return _join(container, real, own, layers)


def _mount_of(container: Container, path: str) -> MountPoint | None:
    """Return the innermost mount that holds a path."""
    points = container.document.mount_points
    place = _above(path, frozenset(point.destination for point in points))
    return next((point for point in points if point.destination == place), None)


def _above(path: str, places: frozenset[str]) -> str:
    """Return the longest of some places that is the path or above it, or ``""``."""
    found = [place for place in places if path == place or path.startswith(f"{place}/")]
    return max(found, key=len, default="")


def _look_in_image(
    core: Core, container: Container, path: str, *, is_hidden: bool
) -> tuple[FileLayer, ...]:
    """Return the layers that have the path or delete it, topmost first."""
    if not container.document.chain_id:
        return ()
    image = core.images.get(Digest(container.document.image_id))
    steps = [step for step in image.config.history if not step.empty_layer]
    found: list[FileLayer] = []
    for index in range(len(image.chain_ids) - 1, -1, -1):
        finding = look_in_layer(core.snapshots.directory(str(image.chain_ids[index])), path)
        step = steps[index] if index < len(steps) else None
        if finding.is_there or finding.is_deleted:
            found.append(
                FileLayer(
                    number=index + 1,
                    of=len(image.chain_ids),
                    digest=str(image.layers[index].digest),
                    created_by=step.created_by if step else "",
                    created=step.created if step else "",
                    deletes=finding.is_deleted,
                    hidden=is_hidden,
                )
            )
        is_hidden = is_hidden or finding.hides_below
    while found and found[-1].deletes:  # what never was below
        found.pop()
    return tuple(found)


def _join(
    container: Container, path: str, own: Finding, layers: tuple[FileLayer, ...]
) -> FileOrigin:
    since = _time(own.born_ns)
    in_image = bool(layers) and not layers[0].deletes
    if own.is_there:
        change = "created"
        if own.is_copied_up or (own.is_merged and in_image):
            change = "copied up"
        elif in_image:
            change = "replaced"
        return FileOrigin(path=path, kind="container", change=change, since=since, layers=layers)
    if own.is_deleted and in_image:
        return FileOrigin(path=path, kind="container", change="deleted", since=since, layers=layers)
    if not layers or own.is_deleted:
        raise NotFound(f"Could not find the file {path} in container {container.name}")
    kind = "deleted" if layers[0].deletes else "layer"
    return FileOrigin(path=path, kind=kind, layers=layers)


def _time(time_ns: int) -> str:
    if not time_ns:
        return ""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
