"""What must be remembered of a container to run further processes in it. Pure."""

from dataclasses import dataclass
from typing import Any

from cutaway.linux.abi import CLONE
from cutaway.oci.runtime_spec import PersonalityDomain
from cutaway.runtime.plan import RuntimePlan
from cutaway.runtime.plan_process import plan_seccomp
from cutaway.runtime.steps.namespaces import CLONE_FLAGS


@dataclass(frozen=True, slots=True)
class ExecContext:
    """The little that an exec needs of the container's plan.

    Attributes:
        container_id: names the session keyring.
        cgroup_path: below each hierarchy's mount point.
        namespaces: CLONE bits of the namespaces that are the container's own or joined, which
            setns(2) joins by the init's pidfd; without the pid namespace.
        has_pid_namespace: the process must be born in the container's pid namespace.
        seccomp_program: compiled, or None.
        seccomp_flags: SECCOMP_FILTER_FLAG bits.
        seccomp_names: how many calls the profile names.
        personality: of the container.
    """

    container_id: str
    cgroup_path: str
    namespaces: int
    has_pid_namespace: bool
    seccomp_program: bytes | None = None
    seccomp_flags: int = 0
    seccomp_names: int = 0
    personality: PersonalityDomain | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the context as JSON values."""
        program = self.seccomp_program
        return {
            "container_id": self.container_id,
            "cgroup_path": self.cgroup_path,
            "namespaces": self.namespaces,
            "has_pid_namespace": self.has_pid_namespace,
            "seccomp_program": None if program is None else program.hex(),
            "seccomp_flags": self.seccomp_flags,
            "seccomp_names": self.seccomp_names,
            "personality": self.personality,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "ExecContext":
        """Read what ``to_json`` wrote."""
        facts = dict(document)
        program, personality = facts.pop("seccomp_program"), facts.pop("personality")
        return cls(
            **facts,
            seccomp_program=None if program is None else bytes.fromhex(program),
            personality=None if personality is None else PersonalityDomain(personality),
        )


def plan_exec_context(plan: RuntimePlan, seccomp_program: bytes | None) -> ExecContext:
    """Return what of a container's plan its execs need."""
    linux = plan.spec.linux
    seccomp = linux.seccomp if linux else None
    namespaces = CLONE(0)
    kinds = (*plan.namespaces.new, *(kind for kind, _ in plan.namespaces.joined))
    for kind in kinds:
        if kind != "pid":
            namespaces |= CLONE_FLAGS[kind]
    load = plan_seccomp(seccomp)
    return ExecContext(
        container_id=plan.container_id,
        cgroup_path=plan.cgroup.path,
        namespaces=int(namespaces),
        has_pid_namespace="pid" in kinds,
        seccomp_program=seccomp_program,
        seccomp_flags=load.flags if load else 0,
        seccomp_names=load.call_names if load else 0,
        personality=linux.personality.domain if linux and linux.personality else None,
    )
