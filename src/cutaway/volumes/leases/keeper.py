"""The keeper: a process that renews one lease as long as its container lives, and fences it else.

It is started by the engine and outlives it: a lease must not depend on a process that may be
killed or replaced at any time. What it is told is one JSON object, ``Charge``.

====================================== =======================================================
what happens                           what it does
====================================== =======================================================
SIGTERM: the engine takes it back      gives the lease back, ends
no process in the container for long   the same: there is no engine that would have said so
the lease is somebody else's           *fences*: processes killed, restarts read-only; ends
the file system did not answer too long the same, before the lease expires for others
====================================== =======================================================
"""

import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from cutaway import linux
from cutaway.cgroups import ContainerCgroup, kill_all, list_pids, probe_cgroup_layout
from cutaway.files import read_json, write_json
from cutaway.volumes.leases.lease import (
    FENCE_S,
    RENEW_S,
    Claim,
    Lease,
    LeaseLost,
    give_back,
    renew,
)

TITLE_DIGITS = 16
"""So much of the token is in what ``ps`` shows: by it the next engine finds the keeper."""
_EMPTY_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What a keeper is told.

    Attributes:
        volume: its name.
        directory: where the lease's file is.
        mountpoint: the volume's content on this host.
        note: the engine's own record of the lease; a fenced one says why.
        cgroup: of the container, below each hierarchy's root.
        bundle: of the container: what its shim starts again, and where it notes its end.
        epoch, token, claim: of the lease.
        lost: why the holder was fenced; empty while it was not.
    """

    volume: str
    directory: str
    mountpoint: str
    note: str
    cgroup: str
    bundle: str
    epoch: int
    token: str
    claim: Claim
    lost: str = ""

    @property
    def lease(self) -> Lease:
        """The lease that is kept."""
        return Lease(epoch=self.epoch, token=self.token, claim=self.claim, is_held=True)

    def to_json(self) -> dict[str, Any]:
        """Return the charge as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Charge":
        """Read what ``to_json`` wrote."""
        return cls(**{**document, "claim": Claim(**document["claim"])})


def main() -> None:
    """Be the keeper."""
    charge = Charge.from_json(json.loads(sys.argv[1]))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    linux.set_process_title(f"cutaway: lease {charge.volume} {charge.token[:TITLE_DIGITS]}")
    os.chdir("/")
    Keeper(charge).run()


class Keeper:
    """Keeps one lease."""

    def __init__(self, charge: Charge) -> None:
        self._charge = charge
        self._cgroup = ContainerCgroup(probe_cgroup_layout(), charge.cgroup)
        self._renewed_s = self._alive_s = time.monotonic()

    def run(self) -> None:
        """Renew until the end."""
        while self._is_charged() and not self._has_ended():
            started_s = time.monotonic()
            why = f"it could not be renewed for {FENCE_S:.0f} s"
            try:
                renew(self._charge.directory, self._charge.lease)
                if started_s - self._renewed_s <= FENCE_S:
                    self._renewed_s = started_s
                else:  # too late, though nobody came: this host or its storage stood still
                    why = f"it was renewed {started_s - self._renewed_s:.0f} s late"
            except LeaseLost as lost:
                return self.fence(str(lost))
            except OSError as error:
                why += f": {error}"
            if time.monotonic() - self._renewed_s > FENCE_S:
                return self.fence(why)
            if signal.sigtimedwait({signal.SIGTERM}, RENEW_S) is not None:
                break
        with contextlib.suppress(OSError):
            give_back(self._charge.directory, self._charge.lease)
        return None

    def _is_charged(self) -> bool:
        """Say whether the engine still counts on this keeper: its note names the lease."""
        try:
            return bool(read_json(self._charge.note)["token"] == self._charge.token)
        except (OSError, ValueError, KeyError):
            return False

    def _has_ended(self) -> bool:
        """Say whether the container has had no process for long and awaits no restart."""
        now_s = time.monotonic()
        if list_pids(self._cgroup) or self._awaits_restart():
            self._alive_s = now_s
        return now_s - self._alive_s > _EMPTY_S

    def _awaits_restart(self) -> bool:
        try:
            with open(f"{self._charge.bundle}/exit.json", "rb") as file:
                return bool(json.loads(file.read()).get("restarting"))
        except (OSError, ValueError):
            return False

    def fence(self, why: str) -> None:
        """See that nothing of this holder writes any more, unless it has just given the lease back.

        First its bundle, so that what the container's restart policy starts next has the volume
        read-only; then the processes: their mounts, open files and mappings end with them.
        """
        charge = self._charge
        if not self._is_charged():
            return
        with contextlib.suppress(OSError, ValueError, KeyError):
            path = f"{charge.bundle}/config.json"
            write_json(path, without_writing(read_json(path), charge.mountpoint), durable=False)
        with contextlib.suppress(OSError):  # EBUSY: one stays in a system call, and ends with that
            kill_all(self._cgroup)
        with contextlib.suppress(OSError):
            write_json(charge.note, replace(charge, lost=why).to_json())


def without_writing(config: dict[str, Any], source: str) -> dict[str, Any]:
    """Return a config.json whose mounts of ``source`` are read-only."""
    mounts = [
        {**mount, "options": ["ro" if option == "rw" else option for option in mount["options"]]}
        if mount.get("source") == source
        else mount
        for mount in config["mounts"]
    ]
    return {**config, "mounts": mounts}


if __name__ == "__main__":
    main()
