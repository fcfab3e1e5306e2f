"""The leases that this engine's containers hold: taken at a start, given back at the end."""

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from cutaway import linux
from cutaway.files import read_json, write_json
from cutaway.steps import Ledger, Step
from cutaway.volumes.leases import lease as leases
from cutaway.volumes.leases.keeper import TITLE_DIGITS, Charge
from cutaway.volumes.leases.lease import Claim, Lease
from cutaway.volumes.local.options import plan_local
from cutaway.volumes.volume import Volume

log = logging.getLogger(__name__)
_END_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """A container that wants to write, and how to stop it.

    Attributes:
        claim: who it is.
        cgroup: its own, below each hierarchy's root.
        bundle: what its shim starts.
    """

    claim: Claim
    cgroup: str
    bundle: str


class LeaseBook:
    """Takes and gives back leases. Calls for one volume come one at a time.

    Attributes:
        held: the volumes whose lease a container of this engine holds, by name.
    """

    def __init__(self) -> None:
        self._keepers: dict[str, subprocess.Popen[bytes]] = {}
        self.held: dict[str, Volume] = {}

    def adopt(self, volume: Volume) -> None:
        """Go on with what an engine before took."""
        self.held[volume.name] = volume
        self.watch(volume)

    def take(self, volume: Volume, writer: Writer, ledger: Ledger) -> None:
        """Let a container be the one writer; harmless when it is.

        Raises:
            VolumeLeased: another container is.
        """
        held = read_note(volume)
        if held is not None and held.claim.container == writer.claim.container:
            pidfd = find_keeper(held)
            if pidfd is not None:
                os.close(pidfd)
                return
            self.give_back(volume)
        directory = lease_directory(volume)
        step = TakeLease(
            why="access=single-writer",
            directory=directory,
            volume=volume.name,
            container=writer.claim.container,
        )
        taken = ledger.apply(step, writer.claim)
        charge = Charge(
            volume=volume.name,
            directory=directory,
            mountpoint=volume.mountpoint,
            note=_note_path(volume),
            cgroup=writer.cgroup,
            bundle=writer.bundle,
            epoch=taken["epoch"],
            token=taken["token"],
            claim=writer.claim,
        )
        write_json(charge.note, charge.to_json())
        start = StartKeeper(
            why="access=single-writer", volume=volume.name, charge=json.dumps(charge.to_json())
        )
        ledger.apply(start, self)
        self.held[volume.name] = volume

    def give_back(self, volume: Volume) -> None:
        """Let others write; harmless when this engine holds nothing of the volume."""
        charge = read_note(volume)
        self.held.pop(volume.name, None)
        if charge is None:
            return
        self.end_keeper(charge)
        leases.give_back(charge.directory, charge.lease)  # should the keeper have been killed
        note = _note_path(volume)
        os.rename(note, f"{note}.last")

    def watch(self, volume: Volume) -> None:
        """See that a lease that is held has its keeper; one that was killed is started again."""
        charge = read_note(volume)
        if charge is None or charge.lost:
            return
        process = self._keepers.get(charge.token)
        if process is not None and process.poll() is None:
            return
        pidfd = find_keeper(charge) if process is None else None
        if pidfd is None:
            log.warning("the keeper of the lease of %s was killed: starting another", volume.name)
            self.start_keeper(json.dumps(charge.to_json()))
        else:
            os.close(pidfd)

    def why_lost(self, volume: Volume) -> str:
        """Say how the last holder here lost its lease; empty when it gave it back."""
        charge = read_note(volume) or read_note(volume, ".last")
        if charge is None or not charge.lost:
            return ""
        return f"{charge.claim.name} lost it and was killed: {charge.lost}"

    def held_by(self, volume: Volume) -> str:
        """Return the id of the container of this engine that holds the lease, or ``""``."""
        charge = read_note(volume)
        return charge.claim.container if charge is not None else ""

    def start_keeper(self, charge: str) -> int:
        """Start the process; it outlives the engine."""
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "cutaway.volumes.leases.keeper", charge],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"LANG": "C.UTF-8"},
            start_new_session=True,
        )
        self._keepers[json.loads(charge)["token"]] = process
        return process.pid

    def end_keeper(self, charge: Charge) -> None:
        """End the keeper of a lease, this engine's child or that of one before."""
        process = self._keepers.pop(charge.token, None)
        if process is not None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
                return
            process.kill()  # its file system hangs
            process.wait()
            return
        pidfd = find_keeper(charge)
        if pidfd is not None:
            with contextlib.suppress(linux.KernelError):
                linux.pidfd_send_signal(pidfd, signal.SIGTERM)
            select.select([pidfd], [], [], _END_S)
            os.close(pidfd)


def lease_directory(volume: Volume) -> str:
    """Return where the lease's file is: in what is shared; of a plain volume, beside its data."""
    mount = plan_local(volume.options).mount
    if mount is None:
        return os.path.dirname(volume.mountpoint)
    # what is bound can be seen in its own place, too, also when nothing is mounted here
    return volume.mountpoint if mount.fstype else mount.device


def find_keeper(charge: Charge) -> int | None:
    """Return a pidfd of the process that keeps a lease, or None."""
    mark = charge.token.encode()[:TITLE_DIGITS]  # in its arguments first, then in its title
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        try:
            pidfd = linux.pidfd_open(int(entry))
        except OSError:
            continue
        # read when it is held: the number can't be another's by now
        with contextlib.suppress(OSError), open(f"/proc/{entry}/cmdline", "rb") as file:
            if mark in file.read():
                return pidfd
        os.close(pidfd)
    return None


def _note_path(volume: Volume) -> str:
    return os.path.join(os.path.dirname(volume.mountpoint), "lease.json")


def read_note(volume: Volume, suffix: str = "") -> Charge | None:
    """Return what this engine noted of the lease that it took, or None."""
    try:
        document = read_json(_note_path(volume) + suffix)
    except FileNotFoundError:
        return None
    return Charge.from_json(document)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeLease(Step[Claim]):
    """Become the one writer of a volume.

    Attributes:
        directory: where everybody sees it.
        volume: its name.
        container: the writer's id.
    """

    directory: str
    volume: str
    container: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"take the lease of the volume {self.volume}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"# link a lease's file into {self.directory}"

    def apply(self, scope: Claim) -> Any:
        """Make the lease's file; return its epoch and token.

        Raises:
            VolumeLeased: another container writes.
        """
        lease = leases.take(self.directory, self.volume, scope)
        return {"epoch": lease.epoch, "token": lease.token}

    def undo(self, scope: Claim, result: Any) -> None:
        """Give it back."""
        lease = Lease(epoch=result["epoch"], token=result["token"], claim=scope, is_held=True)
        leases.give_back(self.directory, lease)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartKeeper(Step[LeaseBook]):
    """Start the process that renews a lease.

    Attributes:
        volume: its name.
        charge: what the keeper is told, JSON.
    """

    volume: str
    charge: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"start the keeper of the lease of {self.volume}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"# python3 -m cutaway.volumes.leases.keeper '{self.charge}'"

    def apply(self, scope: LeaseBook) -> Any:
        """Start it; return its process id."""
        return scope.start_keeper(self.charge)

    def undo(self, scope: LeaseBook, result: Any) -> None:
        """End it."""
        scope.end_keeper(Charge.from_json(json.loads(self.charge)))
