"""What a bundle says beside config.json: ``rootfs.json``, cutaway's own.

OCI's config.json names the root file system as a directory that somebody mounted before. A
directory mounted on the host must be unmounted on the host, which is slow, and what a crash leaves
stays. So a bundle may give the *mounts* that make the root instead, and they are done inside the
container's own mount namespace. Everything else here is what must be looked up in the finished
root, which nobody else sees.
"""

from dataclasses import dataclass
from typing import Any

from cutaway.errors import InvalidParameter

EXTENSIONS_VERSION = 1


@dataclass(frozen=True, slots=True)
class RootfsMount:
    """One mount that makes the root file system, as a snapshotter returns it.

    Attributes:
        fstype: ``overlay`` or ``bind``.
        source: a directory for ``bind``.
        options: flags by the names of mount(8), and data.
        directory: where relative paths in ``options`` start, or None.
    """

    fstype: str
    source: str
    options: tuple[str, ...] = ()
    directory: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``rootfs.json`` holds."""
        return {
            "fstype": self.fstype,
            "source": self.source,
            "options": list(self.options),
            "directory": self.directory,
        }


@dataclass(frozen=True, slots=True)
class Extensions:
    """The content of ``rootfs.json``; the defaults mean "as config.json says".

    Attributes:
        mounts: make the root, in this order, in place of ``root.path``.
        user: Docker's ``user[:group]``, names or numbers, looked up in the container's own
            ``/etc/passwd`` and ``/etc/group``; empty is ``process.user``.
        groups: further groups, names or numbers (``--group-add``).
        init: PID 1 is a small init that forks the program, forwards signals and reaps.
        images: (destination of a bind in config.json, the image's mount) each: what takes the
            place of the bind's source.
    """

    mounts: tuple[RootfsMount, ...] = ()
    user: str = ""
    groups: tuple[str, ...] = ()
    init: bool = False
    images: tuple[tuple[str, RootfsMount], ...] = ()

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Extensions":
        """Read the document.

        Raises:
            InvalidParameter: a later version, or not our document.
        """
        version = document.get("version")
        if version != EXTENSIONS_VERSION:
            raise InvalidParameter(
                f"rootfs.json: expected version {EXTENSIONS_VERSION}, instead got {version!r}"
            )
        try:
            mounts = tuple(_read_mount(mount) for mount in document.get("mounts") or ())
            return cls(
                mounts=mounts,
                user=document.get("user") or "",
                groups=tuple(map(str, document.get("groups") or ())),
                init=bool(document.get("init", False)),
                images=tuple(
                    (image["destination"], _read_mount(image["mount"]))
                    for image in document.get("images") or ()
                ),
            )
        except (KeyError, TypeError) as error:
            raise InvalidParameter(f"rootfs.json: malformed: {error}") from None

    def to_json(self) -> dict[str, Any]:
        """Return the document that ``from_json`` reads."""
        return {
            "version": EXTENSIONS_VERSION,
            "mounts": [mount.to_json() for mount in self.mounts],
            "user": self.user,
            "groups": list(self.groups),
            "init": self.init,
            "images": [
                {"destination": destination, "mount": mount.to_json()}
                for destination, mount in self.images
            ],
        }


def _read_mount(document: dict[str, Any]) -> RootfsMount:
    return RootfsMount(
        fstype=document["fstype"],
        source=document["source"],
        options=tuple(document.get("options") or ()),
        directory=document.get("directory"),
    )
