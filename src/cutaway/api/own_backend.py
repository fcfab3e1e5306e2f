"""What the API needs for the operations that Docker has not. Rules: see ``backend``."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from cutaway import model


class OwnNetworkBackend(Protocol):
    """Published ports of running containers, and answers to "why can't it be reached"."""

    async def add_ports(self, reference: str, ports: model.PortMap) -> model.PortMap:
        """Publish more ports of a container, also while it runs; return all it has.

        Raises:
            System: a port is taken; the sentence names the owner and the next free port.
        """
        ...

    async def remove_ports(self, reference: str, ports: model.PortMap) -> model.PortMap:
        """Publish ports no more, also while it runs; return those that are left.

        Raises:
            NotFound: none of them is published.
        """
        ...

    async def denied(self, reference: str) -> Sequence[model.Refusal]:
        """Tell what a container's egress policy refused in the last hour, newest first.

        Raises:
            NotFound: there is no such container, or it does not run.
        """
        ...

    async def reach(self, port: int, protocol: str) -> Sequence[model.Reach]:
        """Tell who can reach a port of the host, and which rule decides.

        Raises:
            NotFound: no container publishes it; the sentence says who listens instead.
        """
        ...

    async def diagnose(self) -> Sequence[model.Finding]:
        """Look at all that networks need, and name what is in the way."""
        ...


class OwnVolumeBackend(Protocol):
    """Mounts of running containers, origins of files, and what is done with whole volumes."""

    async def add_mounts(self, reference: str, binds: Sequence[str]) -> Sequence[model.MountPoint]:
        """Mount volumes and host directories, also while the container runs; return the new ones.

        Raises:
            InvalidParameter: ``-v`` would refuse it, too. Conflict: it would hide another mount.
        """
        ...

    async def remove_mounts(self, reference: str, targets: Sequence[str], *, force: bool) -> None:
        """Take mounts away, also while the container runs.

        Raises:
            NotFound: there is none at that place. Conflict: files there are open.
        """
        ...

    async def find_origin(self, reference: str, path: str) -> model.FileOrigin:
        """Say where a file of a container comes from: which layer, change or mount.

        Raises:
            NotFound: it is nowhere.
        """
        ...

    async def export(self, name: str) -> AsyncIterator[bytes]:
        """Read a volume, or ``VOLUME@SNAPSHOT``, as a tar."""
        ...

    async def import_tar(
        self, name: str, body: AsyncIterator[bytes], options: Mapping[str, str]
    ) -> model.Volume:
        """Make a new volume of a tar.

        Raises:
            Conflict: the name is taken. InvalidParameter: an option, or the tar, is none.
        """
        ...

    async def clone(self, name: str, new_name: str, *, pause: bool) -> model.VolumeCopy:
        """Make a new volume with what another one, or ``VOLUME@SNAPSHOT``, has.

        Args:
            name: of the other.
            new_name: of the new one.
            pause: hold the containers still that write to it.

        Raises:
            Conflict: the name is taken.
        """
        ...

    async def snapshot(self, name: str, snapshot: str, *, pause: bool) -> model.VolumeCopy:
        """Keep what a volume has now, read-only, as ``name@snapshot``.

        Raises:
            Conflict: it has a snapshot of this name.
        """
        ...


class OwnImageBackend(Protocol):
    """How images relate: to each other, to their bases, to what a registry has about them."""

    async def diff(self, old: str, new: str) -> model.ImageComparison:
        """Compare two images: layers, and files by layer.

        Raises:
            NotFound: no such image, or one that is not unpacked.
        """
        ...

    async def squash(
        self, reference: str, *, keep: str, name: str
    ) -> AsyncIterator[model.ProgressMessage]:
        """Make the layers above a base one; the last message's ``aux`` is a ``SquashReport``.

        Args:
            reference: what to squash.
            keep: an image whose layers stay as they are; empty: none.
            name: of the new image; empty: the tag it was found by.
        """
        ...

    async def referrers(
        self,
        reference: str,
        *,
        artifact_type: str,
        auth: model.AuthConfig | None,
        trust: model.RegistryTrust | None,
    ) -> model.Referrers:
        """Ask a registry what refers to an image there: signatures, SBOMs."""
        ...

    async def tag_history(self, name: str) -> Sequence[model.TagMove]:
        """List the moves of a tag, oldest first."""
        ...

    async def check(self) -> AsyncIterator[model.ProgressMessage]:
        """Read every blob again; the last message's ``aux`` is an ``ImageCheck``."""
        ...

    async def disk_parts(self) -> list[model.DiskPart]:
        """Say where the bytes below the data root are, so that they add up to ``du``."""
        ...


class ManifestBackend(Protocol):
    """Lists of images: drafted here, pushed; and manifests as a registry has them."""

    async def create(
        self,
        draft: model.ManifestDraft,
        *,
        auth: model.AuthConfig | None,
        trust: model.RegistryTrust | None,
    ) -> model.ManifestView:
        """Begin a list of images, or add to one.

        Raises:
            Conflict: it exists, and ``draft.amend`` is not set.
            NotFound: a member is neither here nor in its registry.
        """
        ...

    async def annotate(self, annotation: model.ManifestAnnotation) -> model.ManifestView:
        """Say for which platform a member is; what is not said stays.

        Raises:
            NotFound: no such draft, or no such member in it.
        """
        ...

    async def push(
        self,
        name: str,
        *,
        purge: bool,
        auth: model.AuthConfig | None,
        trust: model.RegistryTrust | None,
    ) -> model.ManifestPushed:
        """Send a list, and the members that its repository lacks; forget it with ``purge``."""
        ...

    async def remove(self, name: str) -> None:
        """Forget a list that was drafted here.

        Raises:
            NotFound: there is none.
        """
        ...

    async def inspect(
        self,
        name: str,
        *,
        verbose: bool,
        auth: model.AuthConfig | None,
        trust: model.RegistryTrust | None,
    ) -> model.ManifestView:
        """Look at a draft, else at what the registry has of that name.

        Args:
            name: of a list or an image.
            verbose: fetch the members' own manifests, too.
            auth: for the name's registry.
            trust: which certificates this request trusts.
        """
        ...
