"""config.json itself: the parts every platform has."""

from dataclasses import dataclass, field

from cutaway.errors import InvalidParameter
from cutaway.oci.codec import JsonObject, Uint32
from cutaway.oci.runtime_spec.linux import IDMapping, Linux
from cutaway.oci.runtime_spec.process import Process

SPEC_VERSION = "1.2.1"


@dataclass(frozen=True, slots=True)
class Root(JsonObject):
    """The container's root file system: a directory, relative to the bundle or absolute."""

    path: str
    readonly: bool = False


@dataclass(frozen=True, slots=True)
class Mount(JsonObject):
    """One file system to attach in the container, in the order listed.

    Attributes:
        destination: in the container.
        type: file system type; empty or ``none`` or ``bind`` for a bind mount.
        source: device, host path, or a name.
        options: flags by the names of mount(8), the rest data for the file system.
        uid_mappings: for an id-mapped mount.
        gid_mappings: for an id-mapped mount.
    """

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    uid_mappings: tuple[IDMapping, ...] = ()
    gid_mappings: tuple[IDMapping, ...] = ()


@dataclass(frozen=True, slots=True)
class Hook(JsonObject):
    """A host program run at a point of the life cycle; it reads the state on its stdin.

    Attributes:
        path: absolute, on the host.
        args: argv, with ``argv[0]``.
        env: its whole environment.
        timeout: seconds until it is killed; None waits for ever.
    """

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: Uint32 | None = None

    def validate(self, path: str) -> None:
        """Refuse a relative path and a timeout of no time."""
        if not self.path.startswith("/"):
            raise InvalidParameter(f"{path}.path: expected an absolute path, got {self.path!r}")
        if self.timeout == 0:
            raise InvalidParameter(f"{path}.timeout: expected at least 1 second, got 0")


@dataclass(frozen=True, slots=True)
class Hooks(JsonObject):
    """Host programs by the moment at which they run.

    Source: runtime-spec config.md "POSIX-platform Hooks", runtime.md "Lifecycle".
    """

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


@dataclass(frozen=True, slots=True)
class Spec(JsonObject):
    """A whole config.json, as far as Linux goes.

    ``process`` and ``root`` are optional in the schema; the runtime requires them at ``create``
    and ``start`` as config.md says.

    Source: runtime-spec config.md.
    """

    oci_version: str
    process: Process | None = None
    root: Root | None = None
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    hooks: Hooks | None = None
    annotations: dict[str, str] = field(default_factory=dict)
    linux: Linux | None = None

    def validate(self, path: str) -> None:
        """Refuse a version of the specification that is not 1.x."""
        if not self.oci_version.startswith("1."):
            raise InvalidParameter(
                f"ociVersion: expected 1.x, got {self.oci_version!r}: not a version we know"
            )
