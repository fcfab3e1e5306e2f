"""The volume operations of one engine. Fits ``api``'s ``VolumeBackend``."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cutaway.engine.core import Core
from cutaway.engine.showing.listing import truth
from cutaway.errors import CutawayError, Unavailable
from cutaway.model import Filters, VolumeCreateRequest, VolumeList, VolumePruneReport, VolumeUsage
from cutaway.model import Volume as VolumeAnswer
from cutaway.volumes import Volume
from cutaway.volumes.errors import VolumeNotFound
from cutaway.volumes.leases.lease import Lease
from cutaway.volumes.volume import LOCAL


class VolumeService:
    """The volume operations of one engine."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def list(self, filters: Filters) -> VolumeList:
        """List volumes."""
        chosen, warnings = await self._core.in_long_thread(self._all)
        for name, values in filters.items():
            if values:
                chosen = self._filter(chosen, name, values)
        described = tuple(describe_volume(volume) for volume in chosen)
        return VolumeList(volumes=described, warnings=tuple(warnings) or None)

    def _all(self) -> tuple[Sequence[Volume], Sequence[str]]:
        """Return the volumes known here, then those that only plugins know, and who is silent."""
        known = self._core.volumes.volumes()
        names = {volume.name for volume in known}
        remote, warnings = self._core.volumes.remote.listed()
        places = {(v.driver, v.name): v.mountpoint for v in remote}
        known = [replace(v, mountpoint=places.get((v.driver, v.name), v.mountpoint)) for v in known]
        return [*known, *(v for v in remote if v.name not in names)], warnings

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
        return await self._core.in_long_thread(self._inspect, name)

    def _inspect(self, name: str) -> VolumeAnswer:
        volumes = self._core.volumes
        volume = self._find(name)
        status: dict[str, Any] = {}
        if volume.driver != LOCAL:
            told = volumes.remote.get(name, volume.driver)
            if told is not None:
                volume, status = replace(volume, mountpoint=told.mountpoint), dict(told.status)
        snapshots = volumes.snapshots(name)
        if snapshots:
            status["Snapshots"] = [
                {"Name": s.name, "CreatedAt": s.created_at, "Writers": s.labels.get("writers", "")}
                for s in snapshots
            ]
        lease = volumes.lease(name) if volumes.find(name) is not None else None
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
        return describe_volume(volume, status=status)

    def _find(self, name: str) -> Volume:
        """Return a volume known here, or one that only a plugin knows."""
        try:
            return self._core.volumes.get(name)
        except VolumeNotFound:
            return self._core.volumes.remote.find(name)

    async def create(self, request: VolumeCreateRequest) -> VolumeAnswer:
        """Make one, or return the existing one of that name."""
        if request.cluster_volume_spec:
            raise Unavailable(
                'This node is not a swarm manager. Use "docker swarm init" or "docker swarm '
                'join" to connect this node to swarm and try again.'
            )
        volume = await self._core.in_long_thread(
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
        found = self._core.volumes.find(name)
        await self._core.in_long_thread(self._core.volumes.remove, name, force=force)
        driver = found.driver if found is not None else LOCAL
        self._core.bus.publish("volume", "destroy", name, {"driver": driver})

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
            reclaimed += max(size, 0)
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
        scope=volume.scope,
        status=status or None,
        usage_data=usage,
    )
