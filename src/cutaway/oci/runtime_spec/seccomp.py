"""The system calls a container may make: ``linux.seccomp``."""

from dataclasses import dataclass
from enum import StrEnum

from cutaway.errors import InvalidParameter
from cutaway.oci.codec import JsonObject, Uint32, Uint64


class SeccompAction(StrEnum):
    """What happens on a call; names of libseccomp."""

    KILL = "SCMP_ACT_KILL"
    KILL_PROCESS = "SCMP_ACT_KILL_PROCESS"
    KILL_THREAD = "SCMP_ACT_KILL_THREAD"
    TRAP = "SCMP_ACT_TRAP"
    ERRNO = "SCMP_ACT_ERRNO"
    TRACE = "SCMP_ACT_TRACE"
    ALLOW = "SCMP_ACT_ALLOW"
    LOG = "SCMP_ACT_LOG"
    NOTIFY = "SCMP_ACT_NOTIFY"


class SeccompOperator(StrEnum):
    """How an argument is compared; ``MASKED_EQ`` is ``arg & value == value_two``."""

    NE = "SCMP_CMP_NE"
    LT = "SCMP_CMP_LT"
    LE = "SCMP_CMP_LE"
    EQ = "SCMP_CMP_EQ"
    GE = "SCMP_CMP_GE"
    GT = "SCMP_CMP_GT"
    MASKED_EQ = "SCMP_CMP_MASKED_EQ"


class SeccompFlag(StrEnum):
    """Flags of seccomp(2)."""

    TSYNC = "SECCOMP_FILTER_FLAG_TSYNC"
    LOG = "SECCOMP_FILTER_FLAG_LOG"
    SPEC_ALLOW = "SECCOMP_FILTER_FLAG_SPEC_ALLOW"
    WAIT_KILLABLE_RECV = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"


class SeccompArch(StrEnum):
    """Instruction sets whose calls the filter knows."""

    X86 = "SCMP_ARCH_X86"
    X86_64 = "SCMP_ARCH_X86_64"
    X32 = "SCMP_ARCH_X32"
    ARM = "SCMP_ARCH_ARM"
    AARCH64 = "SCMP_ARCH_AARCH64"
    LOONGARCH64 = "SCMP_ARCH_LOONGARCH64"
    M68K = "SCMP_ARCH_M68K"
    MIPS = "SCMP_ARCH_MIPS"
    MIPS64 = "SCMP_ARCH_MIPS64"
    MIPS64N32 = "SCMP_ARCH_MIPS64N32"
    MIPSEL = "SCMP_ARCH_MIPSEL"
    MIPSEL64 = "SCMP_ARCH_MIPSEL64"
    MIPSEL64N32 = "SCMP_ARCH_MIPSEL64N32"
    PPC = "SCMP_ARCH_PPC"
    PPC64 = "SCMP_ARCH_PPC64"
    PPC64LE = "SCMP_ARCH_PPC64LE"
    S390 = "SCMP_ARCH_S390"
    S390X = "SCMP_ARCH_S390X"
    SH = "SCMP_ARCH_SH"
    SHEB = "SCMP_ARCH_SHEB"
    PARISC = "SCMP_ARCH_PARISC"
    PARISC64 = "SCMP_ARCH_PARISC64"
    RISCV64 = "SCMP_ARCH_RISCV64"


@dataclass(frozen=True, slots=True)
class SeccompArg(JsonObject):
    """A condition on one argument of a call; all conditions of a rule must hold."""

    index: Uint32
    value: Uint64
    op: SeccompOperator
    value_two: Uint64 = 0

    def validate(self, path: str) -> None:
        """Refuse a seventh argument: a call has six."""
        if self.index > 5:
            raise InvalidParameter(f"{path}.index: expected 0 to 5, got {self.index}")


@dataclass(frozen=True, slots=True)
class SeccompRule(JsonObject):
    """What to do on some calls."""

    names: tuple[str, ...]
    action: SeccompAction
    errno_ret: Uint32 | None = None
    args: tuple[SeccompArg, ...] = ()

    def validate(self, path: str) -> None:
        """Refuse a rule about no call."""
        if not self.names:
            raise InvalidParameter(f"{path}.names: expected at least one system call")


@dataclass(frozen=True, slots=True)
class Seccomp(JsonObject):
    """A filter of system calls; the first rule that fits decides, else ``default_action``.

    Source: runtime-spec config-linux.md "Seccomp".
    """

    default_action: SeccompAction
    default_errno_ret: Uint32 | None = None
    architectures: tuple[SeccompArch, ...] = ()
    flags: tuple[SeccompFlag, ...] = ()
    listener_path: str = ""
    listener_metadata: str = ""
    syscalls: tuple[SeccompRule, ...] = ()
