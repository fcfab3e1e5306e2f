"""What is wrong with a config.json, or asked of a machine that can't: said before anything is done.

Everything here is pure. A field that can't be honoured is refused by a sentence, never ignored.
"""

import re
from collections.abc import Callable, Iterator

from cutaway import errors
from cutaway.errors import InvalidParameter
from cutaway.linux.abi import CAP
from cutaway.oci.runtime_spec import Linux, NamespaceType, Process, Spec
from cutaway.runtime.extensions import Extensions
from cutaway.runtime.facts import HostFacts

_ID_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+.-]*")
# "[a-z0-9]" words joined by dots or slashes; no "..", nothing a path would interpret
_SYSCTL_FORM = re.compile(r"[a-z0-9_-]+([./][A-Za-z0-9_@:*-]+)+")
_IPC_SYSCTLS = frozenset(
    {
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    }
)
_UTS_SYSCTLS = frozenset({"kernel.domainname", "kernel.hostname"})
_MAX_HOSTNAME_BYTES = 64


def validate_spec(spec: Spec, facts: HostFacts, extensions: Extensions, container_id: str) -> None:
    """Refuse what can't become a container here.

    Raises:
        InvalidParameter: the config contradicts itself or the specification.
        NotImplemented: it is right, but this runtime or machine can't do it.
    """
    if not _ID_FORM.fullmatch(container_id):
        raise InvalidParameter(f"invalid container ID format: {container_id!r}")
    if spec.process is None:
        raise InvalidParameter("process: required to create a container")
    if spec.linux is None:
        raise InvalidParameter("linux: required to create a container")
    if spec.root is None and not extensions.mounts:
        raise InvalidParameter("root: required to create a container")
    validate_process(spec.process, facts)
    _validate_namespaces(spec, spec.linux, facts)
    _validate_names(spec, spec.linux)
    _validate_sysctls(spec.linux)
    for refusal in _unsupported(spec, spec.linux, extensions):
        raise errors.NotImplemented(refusal)


def validate_process(process: Process, facts: HostFacts) -> None:
    """Refuse a process that can't be made, in a new container or a running one."""
    if not process.args:
        raise InvalidParameter("process.args: at least the program's name is required")
    if not process.args[0]:
        raise InvalidParameter('exec: "": executable file not found in $PATH')
    for where, strings in (("args", process.args), ("env", process.env)):
        if any("\0" in text for text in strings):
            raise InvalidParameter(f"process.{where}: a string holds a NUL byte")
    for entry in process.env:
        if "=" not in entry or entry.startswith("="):
            raise InvalidParameter(f"process.env: expected NAME=value, instead got {entry!r}")
    _validate_rlimits(process, facts)
    _validate_labels(process, facts)
    adjustment = process.oom_score_adj
    if adjustment is not None and not -1000 <= adjustment <= 1000:
        raise InvalidParameter(f"process.oomScoreAdj: expected -1000 to 1000, got {adjustment}")


def _validate_rlimits(process: Process, facts: HostFacts) -> None:
    seen: set[str] = set()
    for limit in process.rlimits:
        if limit.type in seen:
            raise InvalidParameter(f"process.rlimits: {limit.type} occurs twice")
        seen.add(limit.type)
        ours = facts.hard_limit(limit.type)
        if ours is None:
            raise InvalidParameter(f"process.rlimits: {limit.type} is not a limit of this kernel")
        if limit.soft > limit.hard:
            raise InvalidParameter(
                f"process.rlimits: {limit.type}: soft {limit.soft} is above hard {limit.hard}"
            )
        if limit.hard > ours and not facts.has_capability(CAP.SYS_RESOURCE):
            raise errors.Forbidden(
                f"error setting rlimit type {limit.type}: operation not permitted: {limit.hard} is "
                f"above {ours}, the limit of the engine itself, and raising it needs "
                "CAP_SYS_RESOURCE, which this machine does not give"
            )


def _validate_labels(process: Process, facts: HostFacts) -> None:
    profile = process.apparmor_profile
    if profile and profile != "unconfined" and not facts.has_apparmor:
        raise errors.NotImplemented(
            f"apparmor failed to apply profile {profile!r}: AppArmor is not enabled on this machine"
        )
    if process.selinux_label and not facts.has_selinux:
        raise errors.NotImplemented(
            "selinux label is specified in config, but selinux is disabled or not supported"
        )


def _validate_namespaces(spec: Spec, linux: Linux, facts: HostFacts) -> None:
    present = {namespace.type for namespace in linux.namespaces}
    for kind in present:
        if kind not in facts.namespaces:
            raise errors.NotImplemented(f"this kernel has no {kind} namespaces")
    if NamespaceType.MOUNT not in present:
        raise errors.NotImplemented(
            "linux.namespaces: a container without a mount namespace would mount on the host "
            'itself; add {"type": "mount"}'
        )
    new_user = any(n.type == NamespaceType.USER and not n.path for n in linux.namespaces)
    has_maps = bool(linux.uid_mappings or linux.gid_mappings)
    if new_user and not (linux.uid_mappings and linux.gid_mappings):
        raise InvalidParameter("User namespaces enabled, but no user mappings found.")
    if has_maps and NamespaceType.USER not in present:
        raise InvalidParameter(
            "User namespace mappings specified, but user namespace isn't enabled"
        )
    if linux.time_offsets and NamespaceType.TIME not in present:
        raise InvalidParameter("linux.timeOffsets: needs a time namespace")
    joined_mount = next((n.path for n in linux.namespaces if n.type == NamespaceType.MOUNT), "")
    if joined_mount and spec.mounts:
        raise InvalidParameter(
            "mounts: a container that joins a mount namespace takes it as it is; leave them out"
        )


def _validate_names(spec: Spec, linux: Linux) -> None:
    has_uts = any(n.type == NamespaceType.UTS for n in linux.namespaces)
    for field, name in (("hostname", spec.hostname), ("domainname", spec.domainname)):
        if not name:
            continue
        if not has_uts:
            raise InvalidParameter(f"unable to set {field} without a private UTS namespace")
        if len(name.encode()) > _MAX_HOSTNAME_BYTES:
            raise InvalidParameter(f"{field}: longer than {_MAX_HOSTNAME_BYTES} bytes: {name!r}")
        if any(c in name for c in "\n\0: \t"):
            raise InvalidParameter(f"{field}: {name!r} holds a character no name may have")


def _validate_sysctls(linux: Linux) -> None:
    own = {n.type for n in linux.namespaces}
    host_network = NamespaceType.NETWORK not in own
    for name, value in linux.sysctl.items():
        if not _SYSCTL_FORM.fullmatch(name) or ".." in name or "\n" in value or "\0" in value:
            raise InvalidParameter(f"linux.sysctl: {name!r} is not a parameter's name and value")
        dotted = name.replace("/", ".")
        if dotted in _IPC_SYSCTLS or dotted.startswith("fs.mqueue."):
            _require_namespace(NamespaceType.IPC in own, dotted, "ipc")
        elif dotted.startswith("net."):
            if host_network:
                raise InvalidParameter(f"sysctl {dotted!r} not allowed in host network namespace")
        elif dotted in _UTS_SYSCTLS:
            _require_namespace(NamespaceType.UTS in own, dotted, "uts")
            if dotted == "kernel.hostname":
                raise InvalidParameter(
                    f'sysctl {dotted!r} is not allowed as it conflicts with the OCI "hostname"'
                )
        else:
            raise InvalidParameter(f"sysctl {dotted!r} is not in a separate kernel namespace")


def _require_namespace(is_there: bool, name: str, kind: str) -> None:
    if not is_there:
        raise InvalidParameter(f"sysctl {name!r} is not allowed in the hosts {kind} namespace")


def _unsupported(spec: Spec, linux: Linux, extensions: Extensions) -> Iterator[str]:
    """Yield a sentence for each field that this version does not honour."""
    process = spec.process
    checks: tuple[tuple[str, Callable[[], object], str], ...] = (
        ("hooks", lambda: spec.hooks and spec.hooks.to_json(), "hooks come in a later version"),
        ("linux.intelRdt", lambda: linux.intel_rdt, "resctrl is not supported"),
        ("linux.netDevices", lambda: linux.net_devices, "the engine attaches networks"),
        ("linux.memoryPolicy", lambda: linux.memory_policy, "NUMA policies are not supported"),
        ("linux.mountLabel", lambda: linux.mount_label, "SELinux mount labels are not supported"),
        ("process.scheduler", lambda: process and process.scheduler, "not supported"),
        (
            "linux.seccomp.listenerPath",
            lambda: linux.seccomp and linux.seccomp.listener_path,
            "user notification is not supported",
        ),
    )
    for field, value, reason in checks:
        if value():
            yield f"{field}: {reason}; remove it from config.json"


def validate_exec(process: Process) -> None:
    """Refuse fields that only the container's first process may have."""
    if process.exec_cpu_affinity is not None:
        raise errors.NotImplemented("process.execCPUAffinity is not supported; remove it")
