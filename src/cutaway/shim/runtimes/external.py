"""An OCI runtime program (runc, crun) behind the shim's interface: ``--runtime runc``.

The program gets an ordinary bundle: the root mounted (in the shim's own mount namespace), users as
numbers, the sandbox's network namespace as a path. Its processes become the shim's children when
it ends, because the shim is a subreaper.

Source: OCI runtime command line interface; runc(8).
"""

import contextlib
import json
import os
import socket
import stat
from typing import Any

from cutaway import cgroups, linux
from cutaway.errors import NotImplemented as Unsupported
from cutaway.errors import System
from cutaway.oci.runtime_spec import Process
from cutaway.runtime import Extensions, RuntimeFailure, Stdio
from cutaway.runtime.users import find_identity
from cutaway.shim import wire
from cutaway.shim.protocol import ExternalRuntime
from cutaway.shim.records import write_ledger
from cutaway.shim.runtimes.bundle import read_config, read_extensions
from cutaway.shim.runtimes.driver import StartedExec
from cutaway.shim.steps import ExternalScope, MountRoot, RunProgram, SeparateShimMounts
from cutaway.steps import Ledger

_START_PREFIX = "unable to start container process: "
_ERROR_LIMIT_BYTES = 65536
_PASSWD_LIMIT_BYTES = 1 << 20
_CONSOLE_TIMEOUT_S = 5.0
_INIT = "/sbin/docker-init"
_OWN_WORDS = {
    "subpath": "a part of a volume is mounted by",
    "chown": "its owner is changed by",
    "idmap-owner": "owners are mapped to the container's user by",
}


class ExternalRuntimeDriver:
    """One run of PID 1 by a runtime program; every method waits for the program's end."""

    def __init__(self, container_id: str, bundle: str, runtime: ExternalRuntime) -> None:
        self._id = container_id
        self._engine_bundle = bundle
        self._bundle = f"{bundle}/oci"
        self._root = f"{self._bundle}/rootfs"
        self._runtime = runtime
        self._ledger = Ledger("shim")
        self._scope = ExternalScope()
        self._cgroup: cgroups.ContainerCgroup | None = None
        self._ready_fd = -1
        self._commands = 0
        self._initial_process: dict[str, Any] = {}
        self.pid = 0
        self.console_fd = -1

    # -- create and start -----------------------------------------------------------------------

    def create(self, stdio: Stdio, network_fd: int) -> None:
        """Prepare an ordinary bundle and run ``create``."""
        config = read_config(self._engine_bundle)
        extensions = read_extensions(self._engine_bundle)
        os.makedirs(self._root, mode=0o700, exist_ok=True)
        self._mount_root(config, extensions)
        config = self._adapt(config, extensions, network_fd)
        if extensions.init:
            config = _with_init(config, self._runtime.init)
        config["process"] = _with_console_size(config["process"], stdio.rows, stdio.columns)
        _write(f"{self._bundle}/config.json", config)
        layout = cgroups.probe_cgroup_layout()
        path = (config.get("linux") or {}).get("cgroupsPath") or ""
        self._cgroup = cgroups.ContainerCgroup(layout, cgroups.resolve_cgroups_path(path, self._id))
        pid_file = f"{self._bundle}/init.pid"
        command = ["create", "--bundle", self._bundle, "--pid-file", pid_file]
        self.console_fd = self._run_with_console([*command], [self._id], stdio, stage="create")
        with open(pid_file) as file:
            self.pid = int(file.read())
        self._ready_fd = os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def _mount_root(self, config: dict[str, Any], extensions: Extensions) -> None:
        if not extensions.mounts:
            return
        why = "the image's layers, as the snapshotter gave them"
        self._ledger.apply(SeparateShimMounts(why=why), self._scope)
        for mount in extensions.mounts:
            if mount.directory:
                os.chdir(mount.directory)
            step = MountRoot(
                fstype=mount.fstype,
                source=mount.source,
                target=self._root,
                options=mount.options,
                why=why,
            )
            self._ledger.apply(step, self._scope)
            os.chdir("/")

    def _adapt(
        self, config: dict[str, Any], extensions: Extensions, network_fd: int
    ) -> dict[str, Any]:
        """Say in OCI's own words what the engine's bundle says in ours."""
        config = dict(config)
        if extensions.mounts:
            config["root"] = {**(config.get("root") or {}), "path": self._root}
        else:
            root = config["root"]["path"]
            self._root = root if root.startswith("/") else f"{self._engine_bundle}/{root}"
            config["root"] = {**config["root"], "path": self._root}
        config["process"] = self._with_user(config["process"], extensions)
        self._initial_process = config["process"]
        if network_fd >= 0:
            config["linux"] = dict(config["linux"])
            config["linux"]["namespaces"] = [
                {"type": "network", "path": f"/proc/{os.getpid()}/fd/{network_fd}"}
                if item["type"] == "network"
                else item
                for item in config["linux"]["namespaces"]
            ]
        _refuse_own_words(config)
        if extensions.images:
            raise Unsupported("images are mounted by the built-in runtime: leave --runtime out")
        return config

    def _with_user(self, process: dict[str, Any], extensions: Extensions) -> dict[str, Any]:
        if not (extensions.user or extensions.groups):
            return process
        passwd, group = self._read_in_root("etc/passwd"), self._read_in_root("etc/group")
        identity = find_identity(extensions.user, extensions.groups, passwd, group)
        user = dict(process.get("user") or {})
        user |= {"uid": identity.uid, "gid": identity.gid}
        user["additionalGids"] = sorted({identity.gid, *identity.groups})
        return {**process, "user": user}

    def _read_in_root(self, path: str) -> bytes:
        """Read a file of the image: resolved inside its root, regular, of bounded size."""
        root_fd = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            flags = os.O_RDONLY | os.O_NONBLOCK
            fd = linux.openat2(root_fd, path, flags, resolve=linux.RESOLVE.IN_ROOT)
        except linux.KernelError:
            return b""
        finally:
            os.close(root_fd)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return b""
            return os.read(fd, _PASSWD_LIMIT_BYTES)
        finally:
            os.close(fd)

    @property
    def ready_fd(self) -> int:
        """Readable at once: ``create`` has waited for the program."""
        return self._ready_fd

    @property
    def maker_pid(self) -> int:
        """None: ``create`` has waited for the program."""
        return 0

    def network_fd(self) -> int:
        """Return the network namespace of PID 1."""
        return os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def take_made(self) -> None:
        """``create`` has read the pid."""

    def finish_create(self) -> None:
        """Nothing is left to wait for."""
        os.close(self._ready_fd)
        self._ready_fd = -1

    def start(self) -> None:
        """Run ``start``."""
        self._run(["start", self._id], stage="start")

    def exec_process(
        self, process: dict[str, Any], stdio: Stdio, extensions: Extensions
    ) -> StartedExec:
        """Run ``exec --detach``; the process becomes the shim's child when runc ends."""
        Process.from_json(process)
        self._commands += 1
        process_file = f"{self._bundle}/exec-{self._commands}.json"
        pid_file = f"{self._bundle}/exec-{self._commands}.pid"
        process = self._with_user(process, extensions)
        _write(process_file, _with_console_size(process, stdio.rows, stdio.columns))
        try:
            command = ["exec", "--detach", "--process", process_file, "--pid-file", pid_file]
            console_fd = self._run_with_console(command, [self._id], stdio, stage="exec")
            with open(pid_file) as file:
                return StartedExec(int(file.read()), console_fd)
        finally:
            for path in (process_file, pid_file):
                _unlink(path)

    def prepare_exec(self) -> None:
        """Nothing can be done ahead: the runtime does it all, each time."""

    # -- the living container -------------------------------------------------------------------

    def kill(self, signal: int) -> None:
        """Signal PID 1, which is the shim's child and not reaped yet."""
        os.kill(self.pid, signal)

    def kill_all(self) -> None:
        """SIGKILL the whole cgroup."""
        cgroups.kill_all(self._made)

    @property
    def _made(self) -> cgroups.ContainerCgroup:
        if self._cgroup is None:
            raise System(f"container {self._id} is not created")
        return self._cgroup

    def freeze(self) -> None:
        """Run ``pause``."""
        self._run(["pause", self._id], stage="pause")

    def thaw(self) -> None:
        """Run ``resume``."""
        self._run(["resume", self._id], stage="resume")

    def update(self, resources: dict[str, Any]) -> None:
        """Run ``update``."""
        path = f"{self._bundle}/resources.json"
        _write(path, resources)
        self._run(["update", "--resources", path, self._id], stage="update")

    def statistics(self) -> dict[str, Any]:
        """Read the cgroup's statistics."""
        return cgroups.read_statistics(self._made).to_json()

    def pids(self) -> list[int]:
        """List the cgroup's processes."""
        return cgroups.list_pids(self._made)

    def oom_kill_count(self) -> int:
        """Count OOM kills."""
        return cgroups.count_oom_kills(self._made) if self._cgroup else 0

    def watch_oom(self) -> int:
        """Have the kernel tell of OOM kills."""
        return cgroups.watch_oom(self._made) if self._cgroup else -1

    def mark_stopped(self) -> None:
        """PID 1 has been reaped; the program finds that out itself."""

    # -- the end --------------------------------------------------------------------------------

    def delete(self) -> list[Exception]:
        """Run ``delete --force`` and take the root's mounts away."""
        failures: list[Exception] = []
        try:
            self._run(["delete", "--force", self._id], stage="delete")
        except RuntimeFailure as failure:
            failures.append(failure)
        return failures + self._ledger.undo_all()

    def abort(self) -> list[Exception]:
        """Undo a failed create or start: runc has cleaned up after itself or ``delete`` does."""
        if self._ready_fd >= 0:
            os.close(self._ready_fd)
            self._ready_fd = -1
        if self.console_fd >= 0:
            os.close(self.console_fd)
            self.console_fd = -1
        failures = self.delete() if self.pid else self._ledger.undo_all()
        self._reap()
        return failures

    def _reap(self) -> None:
        if self.pid:
            with contextlib.suppress(ChildProcessError):  # reaped by the loop
                os.waitpid(self.pid, 0)

    def write_ledger(self, path: str, others: list[dict[str, Any]]) -> None:
        """Write which programs were run and what was mounted, with the others' records."""
        own = [record.to_json() for record in self._ledger.records()]
        write_ledger(path, [*others, *own])

    def settle(self) -> None:
        """Nothing is kept for the making alone."""

    # -- running the program --------------------------------------------------------------------

    def _run_with_console(
        self, command: list[str], operands: list[str], stdio: Stdio, *, stage: str
    ) -> int:
        """Run a command that makes a process; return its pty's master, or -1."""
        if not stdio.is_terminal:
            fds = (stdio.in_fd, stdio.out_fd, stdio.err_fd)
            self._run([*command, *operands], stage=stage, stdio=fds)
            return -1
        self._commands += 1
        path = f"{self._bundle}/console-{self._commands}.sock"
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
            wire.short_path(path) as name,
        ):
            listener.bind(name)
            listener.listen(1)
            listener.settimeout(_CONSOLE_TIMEOUT_S)
            try:
                self._run([*command, "--console-socket", name, *operands], stage=stage)
                connection, _ = listener.accept()
            finally:
                _unlink(path)
        with connection:
            return wire.receive_descriptor(connection)

    def _run(
        self, arguments: list[str], *, stage: str, stdio: tuple[int, int, int] | None = None
    ) -> None:
        log_path = f"{self._bundle}/runtime.log"
        _unlink(log_path)
        runtime = self._runtime
        command = (
            *(runtime.path, "--root", runtime.root, "--log", log_path, "--log-format", "json"),
            *(*runtime.arguments, *arguments),
        )
        null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._scope.stdio = stdio or (null_fd, null_fd, null_fd)
            self._ledger.apply(
                RunProgram(command=command, why=f"--runtime {runtime.path}"), self._scope
            )
        finally:
            os.close(null_fd)
        if self._scope.exit_code:
            raise _failure(stage, _last_error(log_path), self._scope.exit_code)


def _with_init(config: dict[str, Any], program: str) -> dict[str, Any]:
    """Put an init of the host before the container's program, as dockerd does."""
    mount = {"destination": _INIT, "type": "bind", "source": program, "options": ["bind", "ro"]}
    process = config["process"]
    return {
        **config,
        "mounts": [*(config.get("mounts") or ()), mount],
        "process": {**process, "args": [_INIT, "--", *process["args"]]},
    }


def _with_console_size(process: dict[str, Any], height: int, width: int) -> dict[str, Any]:
    """Return a runtime-spec ``process`` whose terminal has a size; 0 leaves it as it is."""
    if not (process.get("terminal") and height and width):
        return process
    return {**process, "consoleSize": {"height": height, "width": width}}


def _refuse_own_words(config: dict[str, Any]) -> None:
    """Refuse mounts that only the built-in runtime can do: OCI has no words for them."""
    for mount in config.get("mounts") or ():
        for option in mount.get("options") or ():
            word = option.partition("=")[0]
            if word in _OWN_WORDS:
                raise Unsupported(
                    f"mount {mount['destination']}: {_OWN_WORDS[word]} the built-in runtime: leave "
                    "--runtime out"
                )


def _last_error(log_path: str) -> str:
    """Return the last error that the program logged."""
    try:
        with open(log_path, "rb") as file:
            lines = file.read(_ERROR_LIMIT_BYTES).splitlines()
    except FileNotFoundError:
        return ""
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("level") in ("error", "fatal"):
            return str(entry.get("msg", ""))
    return ""


def _failure(stage: str, message: str, exit_code: int) -> RuntimeFailure:
    """Return the program's error as dockerd shows it; the exit codes follow from its text."""
    _, found, reason = message.rpartition(_START_PREFIX)
    reason = (reason if found else message) or f"the runtime ended with {exit_code}"
    code = 125
    if "executable file not found" in reason or "no such file or directory" in reason:
        code = 127
    elif "permission denied" in reason or "is a directory" in reason:
        code = 126
    operation = "exec" if stage == "exec" else "create"
    return RuntimeFailure(stage, reason, exit_code=code, operation=operation)


def _write(path: str, document: dict[str, Any]) -> None:
    with open(path, "wb") as file:
        file.write(json.dumps(document).encode())


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
