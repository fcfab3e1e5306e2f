"""What can go wrong with volumes and mounts, in Docker's words."""

from collections.abc import Sequence

from cutaway.errors import Conflict, InvalidParameter, NotFound, System


class VolumeNotFound(NotFound):
    """No volume has this name."""

    def __init__(self, name: str, silent: Sequence[str] = ()) -> None:
        asked = f" here; {'; '.join(silent)}" if silent else ""
        super().__init__(f"get {name}: no such volume{asked}")
        self.name = name


class VolumeInUse(Conflict):
    """Containers, running or not, still name the volume."""

    def __init__(self, name: str, containers: Sequence[str]) -> None:
        super().__init__(f"remove {name}: volume is in use - [{', '.join(containers)}]")
        self.name = name
        self.containers = tuple(containers)


class VolumeDriverConflict(Conflict):
    """The name is taken by a volume of another driver."""

    def __init__(self, name: str, driver: str) -> None:
        super().__init__(
            f"create {name}: conflict: volume name must be unique: "
            f"a volume with driver {driver} has it already"
        )


class VolumeExists(Conflict):
    """An import or clone makes a new volume, and there is one."""

    def __init__(self, name: str) -> None:
        super().__init__(f"create {name}: a volume of this name exists already")
        self.name = name


class VolumeHasSnapshots(Conflict):
    """Snapshots are part of their volume: they would go with it."""

    def __init__(self, name: str, snapshots: Sequence[str]) -> None:
        super().__init__(
            f"remove {name}: volume has snapshots - [{', '.join(snapshots)}]: remove them first, "
            "or use --force"
        )
        self.snapshots = tuple(snapshots)


class VolumeFilling(Conflict):
    """The volume is being imported or cloned."""

    def __init__(self, name: str) -> None:
        super().__init__(f"get {name}: the volume is being filled by an import or clone")
        self.name = name


class VolumeLeased(Conflict):
    """The volume has one writer at a time, and it is another container."""

    def __init__(
        self,
        volume: str,
        *,
        name: str = "another container",
        container: str = "?",
        host: str = "?",
        engine: str = "?",
        age_s: float = 0.0,
        epoch: int = 0,
    ) -> None:
        super().__init__(
            f"volume {volume} has one writer at a time (access=single-writer): it is {name} "
            f"({container[:12]}) on host {host}, engine {engine[:12]}, whose lease (epoch {epoch}) "
            f"was renewed {age_s:.0f} s ago; stop it first, or mount the volume read-only"
        )
        self.volume = volume
        self.container = container


class InvalidVolumeName(InvalidParameter):
    """A volume's name is a directory's name: no slashes, no leading dot."""

    def __init__(self, name: str) -> None:
        if len(name) == 1:
            super().__init__(
                f"create {name}: volume name is too short, names should be at least two "
                "alphanumeric characters"
            )
            return
        super().__init__(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path"
        )


class InvalidMount(InvalidParameter):
    """A mount that can never work: the type and the reason."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f'invalid mount config for type "{kind}": {reason}')
        self.kind = kind
        self.reason = reason


class InvalidVolumeSpecification(InvalidParameter):
    """A ``-v`` argument that says nothing."""

    def __init__(self, text: str, reason: str = "") -> None:
        tail = f": {reason}" if reason else ""
        super().__init__(f"invalid volume specification: '{text}'{tail}")


class DuplicateMountPoint(InvalidParameter):
    """Two mounts want the same place in the container."""

    def __init__(self, destination: str) -> None:
        super().__init__(f"Duplicate mount point: {destination}")
        self.destination = destination


class VolumeMountFailed(System):
    """The volume's own file system (nfs, tmpfs, a device) could not be mounted."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"error while mounting volume '{name}': {reason}")


class ServerUnknown(System):
    """The server of a volume has a name that nobody knows."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"error resolving passed in network volume address: lookup {name}: {reason}"
        )
        self.name = name


class UnknownVolumeDriver(NotFound):
    """No driver, built in or plugged in, has this name."""

    def __init__(self, name: str, driver: str) -> None:
        super().__init__(
            f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found'
        )
        self.driver = driver
