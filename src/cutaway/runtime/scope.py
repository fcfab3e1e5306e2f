"""What the init's steps act with: descriptors, and what one step finds for a later one."""

import errno
import os
import pickle

from cutaway import linux
from cutaway.linux.abi import FSCONFIG, FSMAGIC, MOUNT_ATTR, RESOLVE
from cutaway.runtime.sync import SyncSocket

_SECURE_PROC = MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV | MOUNT_ATTR.NOEXEC


class InitScope:
    """The open things of a container's init, between clone3(2) and execve(2).

    Attributes:
        sync: to the shim.
        stdio: the three descriptors the program gets as 0, 1, 2; None with a terminal.
        root_fd: the container's root file system; -1 before it is mounted.
        null_fd: the host's ``/dev/null``, checked; masks are made of it.
        tasks: files by which a thread enters its v1 cgroups, in the order of ``JoinCgroups``.
        trees: detached copies of bind sources, by the mount's index.
        namespaces: descriptors of namespaces to join, by kind.
        entered: descriptors of the namespaces that the maker is in, for an init made elsewhere.
        seccomp_program: compiled, or None.
        console_master: the pty's master side until the shim has it, else -1.
        uid: host-side and container-side ids are the same unless in a user namespace.
        gid: primary group.
        groups: supplementary groups.
        environment: of the program.
        program: absolute path of the program, once found.
        cwd_is_set: the working directory could be entered before the user was changed.
        is_handed_over: what the maker made is in this scope.
        is_released: the maker has done all that it does from outside, and told the shim of us.
        pid_namespace: of a procfs that is made; -1 is that of the process itself.
        trusted_proc_fd: a procfs of the host's, when ``/proc`` is a container's; else None.
    """

    __slots__ = (
        "sync",
        "stdio",
        "root_fd",
        "null_fd",
        "tasks",
        "trees",
        "namespaces",
        "entered",
        "seccomp_program",
        "console_master",
        "uid",
        "gid",
        "groups",
        "environment",
        "program",
        "cwd_is_set",
        "is_handed_over",
        "is_released",
        "pid_namespace",
        "trusted_proc_fd",
        "_proc_fd",
        "mask_tree",
    )

    def __init__(
        self,
        sync: SyncSocket,
        *,
        stdio: tuple[int, int, int] | None = None,
        seccomp_program: bytes | None = None,
    ) -> None:
        self.sync = sync
        self.stdio = stdio
        self.root_fd = -1
        self.null_fd = -1
        self.tasks: tuple[int, ...] = ()
        self.trees: dict[int, int] = {}
        self.namespaces: dict[str, int] = {}
        self.entered: dict[str, int] = {}
        self.seccomp_program = seccomp_program
        self.console_master = -1
        self.uid = 0
        self.gid = 0
        self.groups: tuple[int, ...] = ()
        self.environment: dict[bytes, bytes] = {}
        self.program = b""
        self.cwd_is_set = False
        self.is_handed_over = True
        self.is_released = False
        self.pid_namespace = -1
        self.trusted_proc_fd: int | None = None
        self._proc_fd = -1
        self.mask_tree = -1

    def wait_released(self) -> None:
        """Wait until the maker has done its part; returns at once when it was waited for before.

        Raises:
            KernelError: EBADMSG: the maker is gone.
        """
        if self.is_released:
            return
        if self.sync.read_letter() != "u":
            raise linux.kernel_error(
                errno.EBADMSG, "read", self.sync.fd, hint="the container's maker is gone"
            )
        self.is_released = True

    def hand_over(self) -> tuple[bytes, tuple[int, ...]]:
        """Return what ``wait_handed_over`` needs in another process, and the descriptors."""
        fds = (*self.trees.values(), *self.entered.values())
        fds += tuple(fd for fd in (self.root_fd, self.null_fd, self.mask_tree) if fd >= 0)
        single = (self.root_fd, self.null_fd, self.mask_tree)
        who = (self.uid, self.gid, self.groups, self.environment)
        held = (self.trees, self.entered, single)
        return pickle.dumps((fds, held, who, self.seccomp_program), pickle.HIGHEST_PROTOCOL), fds

    def wait_handed_over(self) -> None:
        """Wait for what another process's scope held; returns at once when all is here.

        Ends the process when nothing comes: the start has failed, and whoever made it fail tells.
        """
        if self.is_handed_over:
            return
        letter, state, fds = self.sync.receive()
        if letter != "J":
            os._exit(1)
        numbers, held, who, self.seccomp_program = pickle.loads(state)
        here = dict(zip(numbers, fds, strict=True)) | {-1: -1}
        trees, entered, single = held
        self.trees = {index: here[fd] for index, fd in trees.items()}
        self.entered = {kind: here[fd] for kind, fd in entered.items()}
        self.root_fd, self.null_fd, self.mask_tree = (here[fd] for fd in single)
        self.uid, self.gid, self.groups, self.environment = who
        self.is_handed_over = True

    def proc_fd(self) -> int:
        """Return a procfs of this pid namespace that is attached nowhere.

        Nobody can mount over it or replace a file in it, so a write to it reaches the kernel and
        not what a container put there (CVE-2025-52881, CVE-2019-16884).
        """
        if self._proc_fd < 0:
            context = linux.fsopen("proc")
            linux.fsconfig(context, FSCONFIG.CMD_CREATE)
            self._proc_fd = linux.fsmount(context, attr_flags=_SECURE_PROC)
            os.close(context)
        return self._proc_fd

    def write_proc(self, path: str, value: str) -> None:
        """Write to a file of the private procfs, never through a link or another mount.

        Raises:
            KernelError: ENOENT (no such file), EINVAL (a value the kernel refuses), EACCES.
        """
        resolve = RESOLVE.BENEATH | RESOLVE.NO_XDEV | RESOLVE.NO_SYMLINKS
        fd = linux.openat2(self.proc_fd(), path, os.O_WRONLY, 0, resolve)
        try:
            if linux.fstatfs_type(fd) != FSMAGIC.PROC:
                raise linux.kernel_error(1, "write", f"/proc/{path}", hint="this is not procfs")
            os.write(fd, value.encode())
        except linux.KernelError:
            raise
        except OSError as error:
            raise linux.kernel_error(error.errno or 0, "write", f"/proc/{path}", value) from None
        finally:
            os.close(fd)
