"""Where a file of a container comes from. Not Docker's."""

from cutaway.model.base import Int64, Model, always
from cutaway.model.mount import MountPoint


class FileLayer(Model):
    """A layer of the image that has something to say of a path.

    Attributes:
        number: from 1, the lowest.
        of: how many the image has.
        digest: of the layer as it was pulled or pushed.
        created_by: the line of the image's history that made it.
        created: RFC 3339.
        deletes: it deletes what is below.
        hidden: something above is seen in its place.
    """

    number: Int64 = always(0)
    of: Int64 = always(0)
    digest: str = always("")
    created_by: str = always("")
    created: str = always("")
    deletes: bool = always(False)
    hidden: bool = always(False)


class FileOrigin(Model):
    """Where a path comes from.

    Attributes:
        path: links on the way resolved.
        kind: ``layer``, ``container`` (its own layer), ``mount``, ``engine`` (a file or file system
            that every container gets), or ``deleted`` (by a layer of the image).
        change: of ``container``: ``created``, ``copied up``, ``replaced`` or ``deleted``.
        since: RFC 3339, when the container's own layer got it.
        mount: of ``mount``.
        host_path: where on the host it is, of ``mount``; empty when nowhere.
        engine_target: of ``engine``: what is mounted.
        layers: that have or delete it, topmost first.
    """

    path: str = always("")
    kind: str = always("")
    change: str = ""
    since: str = ""
    mount: MountPoint | None = None
    host_path: str = ""
    engine_target: str = ""
    layers: tuple[FileLayer, ...] = always(())
