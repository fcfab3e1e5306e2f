"""config.json of an OCI bundle, typed: what the runtime is asked to make.

``Spec.from_json(json.load(f))`` gives a value whose every field is checked, or an
``InvalidParameter`` that names the path; ``spec.to_json()`` gives config.json back without the
fields that have their defaults. Names are the specification's in snake_case.

This package is imported by the launcher: it loads nothing that ``dataclasses``, ``enum`` and
``json`` don't. Read ``spec.py`` first, then ``process.py``, ``linux.py``, ``resources.py``,
``seccomp.py``.

Docker's counterpart: opencontainers/runtime-spec ``specs-go/config.go``.
"""

from cutaway.oci.runtime_spec.linux import (
    Device,
    IDMapping,
    IntelRdt,
    Linux,
    MemoryPolicy,
    MemoryPolicyFlag,
    MemoryPolicyMode,
    Namespace,
    NamespaceType,
    NetDevice,
    Personality,
    PersonalityDomain,
    RootfsPropagation,
    TimeOffset,
    TimeOffsets,
)
from cutaway.oci.runtime_spec.process import (
    Box,
    Capabilities,
    CPUAffinity,
    IOPriority,
    IOPriorityClass,
    Process,
    Rlimit,
    Scheduler,
    SchedulerFlag,
    SchedulerPolicy,
    User,
)
from cutaway.oci.runtime_spec.resources import (
    CPU,
    BlockIO,
    DeviceRule,
    HugepageLimit,
    InterfacePriority,
    Memory,
    NetworkLimits,
    Pids,
    Rdma,
    Resources,
    ThrottleDevice,
    WeightDevice,
)
from cutaway.oci.runtime_spec.seccomp import (
    Seccomp,
    SeccompAction,
    SeccompArch,
    SeccompArg,
    SeccompFlag,
    SeccompOperator,
    SeccompRule,
)
from cutaway.oci.runtime_spec.spec import SPEC_VERSION, Hook, Hooks, Mount, Root, Spec

__all__ = [
    "CPU",
    "SPEC_VERSION",
    "BlockIO",
    "Box",
    "CPUAffinity",
    "Capabilities",
    "Device",
    "DeviceRule",
    "Hook",
    "Hooks",
    "HugepageLimit",
    "IDMapping",
    "IOPriority",
    "IOPriorityClass",
    "IntelRdt",
    "InterfacePriority",
    "Linux",
    "Memory",
    "MemoryPolicy",
    "MemoryPolicyFlag",
    "MemoryPolicyMode",
    "Mount",
    "Namespace",
    "NamespaceType",
    "NetDevice",
    "NetworkLimits",
    "Personality",
    "PersonalityDomain",
    "Pids",
    "Process",
    "Rdma",
    "Resources",
    "Rlimit",
    "Root",
    "RootfsPropagation",
    "Scheduler",
    "SchedulerFlag",
    "SchedulerPolicy",
    "Seccomp",
    "SeccompAction",
    "SeccompArch",
    "SeccompArg",
    "SeccompFlag",
    "SeccompOperator",
    "SeccompRule",
    "Spec",
    "ThrottleDevice",
    "TimeOffset",
    "TimeOffsets",
    "User",
    "WeightDevice",
]
