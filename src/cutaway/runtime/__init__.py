"""The OCI runtime: from a bundle's config.json to a running process, and back to nothing.

The problem: a container is an ordinary process that the kernel shows another world: other mounts,
other process ids, other limits. config.json describes that world; some sixty system calls, in an
order that allows few changes, make it; and all of them run with the host's root privileges on a
file system tree that its author may have made to attack exactly them.

The model: ``validate`` refuses what can't be; ``plan`` decides all steps, purely. A short-lived
*maker* (``maker``) does the host's part, its *stem* forks the *init* (``birth``), which does the
rest in itself (``init``) and becomes the program. They and the shim, which holds the
``container``, talk over one socket (``sync``). ``lifecycle`` is the table of states.
``execution`` puts a further process into a running container; another stem makes it
(``exec_stem``).

Words: *bundle* (a directory with config.json), *init* (the container's first process before
execve(2)), *stage* (a named group of the init's steps; also the helper process that a user
namespace needs), *extensions* (what our bundles say beside config.json), *facts* (what the machine
can do).

Rules against attacks, all with a test that tries: nothing is imported inside (``seal``); paths of
the image are walked once, in its root, and held by descriptors (``in_root``); the init can't be
looked into, and no descriptor of the host's reaches the program (``init``, ``steps.process``).

Read ``lifecycle``, ``plan``, ``steps/``, ``container``, ``maker``, ``birth``, ``init``.

Docker's counterpart: runc.
"""

from cutaway.runtime.container import Container
from cutaway.runtime.execution import ExecProcess
from cutaway.runtime.extensions import Extensions, RootfsMount
from cutaway.runtime.facts import HostFacts, probe_host_facts
from cutaway.runtime.failures import RuntimeFailure
from cutaway.runtime.lifecycle import Status, WrongStatus
from cutaway.runtime.maker import Maker
from cutaway.runtime.plan import RuntimePlan, plan
from cutaway.runtime.seccomp_cache import SeccompCache
from cutaway.runtime.stdio import Stdio
from cutaway.runtime.warm_up import warm_up

__all__ = [
    "Container",
    "ExecProcess",
    "Extensions",
    "HostFacts",
    "Maker",
    "RootfsMount",
    "RuntimeFailure",
    "RuntimePlan",
    "SeccompCache",
    "Status",
    "Stdio",
    "WrongStatus",
    "plan",
    "probe_host_facts",
    "warm_up",
]
