"""The volume operations of one engine. Fits ``api``'s ``VolumeBackend``."""

from collections.abc import Callable, Sequence
from typing import Any

from cutaway.engine.core import Core
from cutaway.engine.showing.listing import truth
from cutaway.errors import CutawayError, Unavailable
from cutaway.model import Filters, VolumeCreateRequest, VolumeList, VolumePruneReport, VolumeUsage
from cutaway.model import Volume as VolumeAnswer
from cutaway.volumes import Volume
from cutaway.volumes.leases.lease import Lease


class VolumeService:
    """The volume operations of one engine."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def list(self, filters: Filters) -> VolumeList:
        """List volumes."""
        chosen: Sequence[Volume] = await self._core.in_thread(self._core.volumes.volumes)
        for name, values in filters.items():
            if values:
                chosen = self._filter(chosen, name, values)
        return VolumeList(volumes=tuple(describe_volume(volume) for volume in chosen))

    def _filter(
        self, volumes: Sequence[Volume], name: str, values: Sequence[str]
    ) -> Sequence[Volume]:
        predicates: dict[str, Callable[[Volume, str], bool]] = {
            "name": lambda v, text: text in v.name,
            "driver": lambda v, text: v.driver == text,
            "label": has_label,
            "dangling": lambda v, text: (
                bool(self._core.volumes.users(v.name)) is not truth("dangling", text)
            ),
        }
        predicate = predicates.get(name)
        if predicate is None:
            return volumes
        every = all if name == "label" else any
        return [v for v in volumes if every(predicate(v, text) for text in values)]

    async def inspect(self, name: str) -> VolumeAnswer:
        """Tell all about one."""
        return await self._core.in_thread(self._inspect, name)

    def _inspect(self, name: str) -> VolumeAnswer:
        volumes = self._core.volumes
        status: dict[str, Any] = {}
        snapshots = volumes.snapshots(name)
        if snapshots:
            status["Snapshots"] = [
                {"Name": s.name, "CreatedAt": s.created_at, "Writers": s.labels.get("writers", "")}
                for s in snapshots
            ]
        lease = volumes.lease(name)
        if lease is not None:
            status["Lease"] = {
                "Holder": lease.claim.name,
                "Container": lease.claim.container,
                "Host": lease.claim.host,
                "Engine": lease.claim.engine,
                "Epoch": lease.epoch,
                "State": describe_lease(lease),
                "RenewedSecondsAgo": round(lease.age_s),
                "Lost": volumes.why_lost(name),
            }
        return describe_volume(volumes.get(name), status=status)

    async def create(self, request: VolumeCreateRequest) -> VolumeAnswer:
        """Make one, or return the existing one of that name."""
        if request.cluster_volume_spec:
            raise Unavailable(
                'This node is not a swarm manager. Use "docker swarm init" or "docker swarm '
                'join" to connect this node to swarm and try again.'
            )
        volume = await self._core.in_thread(
            self._core.volumes.create,
            request.name,
            driver=request.driver or "local",
            options=request.driver_opts or {},
            labels=request.labels or {},
        )
        self._core.bus.publish("volume", "create", volume.name, {"driver": volume.driver})
        return describe_volume(volume)

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Remove it."""
        await self._core.in_thread(self._core.volumes.remove, name, force=force)
        self._core.bus.publish("volume", "destroy", name, {"driver": "local"})

    async def prune(self, filters: Filters) -> VolumePruneReport:
        """Remove volumes that no container uses; anonymous ones unless ``all=true``."""
        everything = any(truth("all", value) for value in filters.get("all", ()))
        removed: list[str] = []
        reclaimed = 0
        for volume in await self._core.in_thread(self._core.volumes.unused):
            if not (everything or volume.anonymous):
                continue
            if not all(has_label(volume, value) for value in filters.get("label", ())):
                continue
            if any(has_label(volume, value) for value in filters.get("label!", ())):
                continue
            size = await self._core.in_thread(self._core.volumes.usage_bytes, volume.name)
            try:
                await self.remove(volume.name)
            except CutawayError:
                continue
            removed.append(volume.name)
            reclaimed += size
        self._core.bus.publish("volume", "prune", "", {"reclaimed": str(reclaimed)})
        return VolumePruneReport(volumes_deleted=tuple(removed), space_reclaimed=reclaimed)


def has_label(volume: Volume, value: str) -> bool:
    """Match ``key`` or ``key=value``."""
    key, separator, wanted = value.partition("=")
    return key in volume.labels and (not separator or volume.labels[key] == wanted)


def describe_lease(lease: Lease) -> str:
    """Say in a word how a lease stands."""
    if not lease.is_held:
        return "given back"
    return "held" if lease.is_live else "expired"


def describe_volume(
    volume: Volume, usage: VolumeUsage | None = None, *, status: dict[str, Any] | None = None
) -> VolumeAnswer:
    """Return a volume in Docker's words; ``status`` is what only this engine tells."""
    return VolumeAnswer(
        created_at=volume.created_at,
        driver=volume.driver,
        labels=dict(volume.labels) or None,
        mountpoint=volume.mountpoint,
        name=volume.name,
        options=dict(volume.options) or None,
        status=status or None,
        usage_data=usage,
    )
