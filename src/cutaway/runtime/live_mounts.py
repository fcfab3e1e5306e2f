"""Mounts added to a container that runs, and taken away again.

A mount is a matter of its namespace, not of the processes in it: whoever joins a container's mount
namespace may attach there what it took hold of outside (open_tree(2), move_mount(2)). A process may
join only while it has one thread, so neither the engine nor a worker of its can do it: a process
of its own is started for each change, does its steps, tells what it did, and ends. It works for
any runtime's containers, whichever program made them.

They talk over a SOCK_SEQPACKET pair, as shim and maker do:

====== ======= =========================================== ===========================
letter from    meaning                                     carries
====== ======= =========================================== ===========================
``C``  engine  change the mounts of this container         ``MountChange``; fd: its
                                                           mount namespace
``R``  process done, or nothing is changed                 records, perhaps an error
====== ======= =========================================== ===========================
"""

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cutaway import errors, linux
from cutaway.linux.abi import CLONE, FSCONFIG, MNT, OPEN_TREE
from cutaway.oci.runtime_spec import Mount
from cutaway.runtime.in_root import open_in_root, path_in_root
from cutaway.runtime.init import prepare_child
from cutaway.runtime.plan_mounts import plan_added_mounts
from cutaway.runtime.scope import InitScope
from cutaway.runtime.steps.mounts import AttachBind
from cutaway.runtime.sync import SyncSocket, make_sync_pair
from cutaway.steps import Ledger, Record, Step

ACTOR = "mounts"
_TIMEOUT_S = 30
_USERS_FAULT = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EXDEV, errno.EROFS),
    *(errno.EBUSY, errno.EINVAL),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MountChange:
    """What is to be changed in one container.

    Attributes:
        added: bind mounts, as config.json has them; sources are absolute host paths.
        removed: targets in the container, innermost first.
        force: take away what is still in use: open files stay open, nobody can open more.
        user: Docker's words for the container's user, whom ``:U`` and ``:idmap`` mean.
    """

    added: tuple[Mount, ...] = ()
    removed: tuple[str, ...] = ()
    force: bool = False
    user: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the change as JSON values."""
        return {
            "added": [mount.to_json() for mount in self.added],
            "removed": self.removed,
            "force": self.force,
            "user": self.user,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "MountChange":
        """Read what ``to_json`` wrote."""
        return cls(
            added=tuple(Mount.from_json(mount) for mount in document["added"]),
            removed=tuple(document["removed"]),
            force=document["force"],
            user=document["user"],
        )


def change_mounts(namespace_fd: int, change: MountChange) -> list[Record]:
    """Change the mounts of the container whose mount namespace ``namespace_fd`` is.

    Returns:
        What was done, step by step.

    Raises:
        CutawayError: why it can't be; the container's mounts are as they were.
    """
    ours, theirs = make_sync_pair()
    with subprocess.Popen(
        [sys.executable, "-I", "-m", "cutaway.runtime.live_mounts", str(theirs.fd)],
        pass_fds=(theirs.fd,),
        stdin=subprocess.DEVNULL,
        cwd="/",
        env={"LANG": "C.UTF-8"},
    ) as process:
        theirs.close()
        try:
            ours.send("C", json.dumps(change.to_json()).encode(), (namespace_fd,))
            ours.set_timeout(_TIMEOUT_S)
            _, payload, _ = ours.receive()
        except OSError as error:
            raise errors.System(f"changing the container's mounts: {error}") from error
        finally:
            process.kill()  # it has answered, or never will
            ours.close()
    if not payload:
        raise errors.System("the process that changes a container's mounts was killed")
    answer = json.loads(payload)
    if answer["error"] is not None:
        category, message = answer["error"]
        raise getattr(errors, category)(message)
    return [Record.from_json(record) for record in answer["records"]]


def main() -> None:
    """Be the process: one request, one answer."""
    sync = SyncSocket(socket.socket(fileno=int(sys.argv[1])))
    _, payload, fds = sync.receive()
    change = MountChange.from_json(json.loads(payload))
    scope = InitScope(sync)
    scope.namespaces["mount"] = fds[0]
    ledger, error = Ledger(ACTOR), None
    prepare_child(scope, fds, "cutaway: mounts")
    try:
        for step in plan_change(change):
            ledger.apply(step, scope)
    except (errors.CutawayError, OSError) as failure:
        error = _describe(failure)
        ledger.undo_all()
    records = [record.to_json() for record in ledger.records()]
    sync.send("R", json.dumps({"records": records, "error": error}).encode())


def _describe(error: Exception) -> tuple[str, str]:
    """Return an error's category, and its sentence."""
    if isinstance(error, errors.CutawayError):
        category = next(c.__name__ for c in type(error).__mro__ if c.__module__ == errors.__name__)
        return category, str(error)
    number = error.errno if isinstance(error, OSError) else 0
    if number == errno.EBUSY:
        return "Conflict", str(error)
    return ("InvalidParameter" if number in _USERS_FAULT else "System"), str(error)


def plan_change(change: MountChange) -> Iterator[Step[InitScope]]:
    """Decide the steps of one change."""
    sources, binds = plan_added_mounts(change.added, user=change.user, ids=(0, 0))
    why = "mount rm" if change.removed else "mount add"
    yield HoldRoot(why=why)
    yield from sources
    yield JoinMounts(why=why)
    for bind in binds:
        yield AttachLive(why="mount add", **bind.arguments())
    for index, target in enumerate(change.removed):
        yield DetachLive(index=index, target=target, force=change.force, why="mount rm")


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRoot(Step[InitScope]):
    """Hold the container's root, and a procfs of the host's: the container's may say anything."""

    def describe(self) -> str:
        """Say what is held."""
        return "hold the root of the container's mount namespace"

    def shell(self) -> str:
        """Return a comment: holding a descriptor has no command."""
        return "# open(/proc/$PID/root, O_PATH)"

    def apply(self, scope: InitScope) -> None:
        """Go to the container's mounts and back: sources are the host's."""
        context = linux.fsopen("proc")
        linux.fsconfig(context, FSCONFIG.CMD_CREATE)
        scope.trusted_proc_fd = linux.fsmount(context)
        os.close(context)
        home = linux.openat2(-100, "/proc/self/ns/mnt", os.O_RDONLY)
        linux.setns(scope.namespaces["mount"], CLONE.NEWNS)
        scope.root_fd = linux.openat2(-100, "/", os.O_PATH | os.O_DIRECTORY)
        linux.setns(home, CLONE.NEWNS)
        os.close(home)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinMounts(Step[InitScope]):
    """Join the container's mount namespace, whose root becomes this process's."""

    def describe(self) -> str:
        """Say what is joined."""
        return "join the container's mount namespace"

    def shell(self) -> str:
        """Return the nsenter command."""
        return "nsenter --target $PID --mount"

    def apply(self, scope: InitScope) -> None:
        """Call setns(2)."""
        linux.setns(scope.namespaces["mount"], CLONE.NEWNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachLive(AttachBind):
    """Attach the copy of a host directory or file in a container that runs."""

    def undo(self, scope: InitScope, result: Any) -> None:
        """Take it off again."""
        detach(scope, self.target, MNT.DETACH)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachLive(Step[InitScope]):
    """Take a mount away from a container that runs.

    Attributes:
        index: names the copy that ``undo`` attaches again.
        target: in the container.
        force: although it is in use.
    """

    index: int
    target: str
    force: bool = False

    def describe(self) -> str:
        """Say what is taken away."""
        return f'unmounting "{self.target}"'

    def shell(self) -> str:
        """Return the umount command."""
        return f'umount {"-l " if self.force else ""}"$ROOTFS"{self.target}'

    def apply(self, scope: InitScope) -> None:
        """Keep a copy, for ``undo``, and call umount2(2).

        Raises:
            KernelError: EBUSY (files of it are open), EINVAL (nothing is mounted there).
        """
        fd = open_in_root(scope.root_fd, self.target)
        try:
            flags = OPEN_TREE.AT_RECURSIVE | OPEN_TREE.AT_EMPTY_PATH
            copy = linux.open_tree(fd, "", OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC | flags)
        finally:
            os.close(fd)
        try:
            detach(scope, self.target, MNT.DETACH if self.force else MNT(0))
        except BaseException:
            os.close(copy)
            raise
        scope.trees[self.index] = copy

    def undo(self, scope: InitScope, result: Any) -> None:
        """Attach the copy in its place."""
        target = open_in_root(scope.root_fd, self.target)
        linux.attach_mount(scope.trees.pop(self.index), target)
        os.close(target)


def detach(scope: InitScope, target: str, flags: MNT) -> None:
    """Unmount what is mounted at a place of the container.

    umount2(2) takes a path only, so it is called in the directory that holds the mount point, with
    the one name that is left: no link on the way can be exchanged, and the last is not followed.

    Raises:
        KernelError: EBUSY, EINVAL.
    """
    fd = open_in_root(scope.root_fd, target)
    try:
        if not linux.identify(fd).is_mount_root:
            raise linux.kernel_error(
                errno.EINVAL, "umount2", target, hint="nothing is mounted there"
            )
        path = path_in_root(scope.root_fd, fd, scope.trusted_proc_fd)
    finally:
        os.close(fd)
    directory, _, name = path.rpartition("/")
    parent = open_in_root(scope.root_fd, directory or "/", links=False)
    os.fchdir(parent)
    os.close(parent)
    try:
        linux.umount2(name, flags | MNT.UMOUNT_NOFOLLOW)
    except linux.KernelError as error:
        if error.errno == errno.EBUSY:
            error.hint = "files of it are open, or something is mounted below it: --force"
        raise
    finally:
        os.chdir("/")


if __name__ == "__main__":
    main()
