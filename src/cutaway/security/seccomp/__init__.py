"""seccomp: from Docker's profile to the program that the kernel runs at every system call.

The problem: a profile names some 400 calls, with conditions on capabilities, kernel and
architecture; the kernel wants at most 4096 instructions of classic BPF, and runs them at each call
that it could not decide beforehand.

The model, in two steps:

1. ``resolve_profile`` applies the profile's ``includes`` and ``excludes`` for one container on one
   machine. The result is the runtime specification's ``linux.seccomp``.
2. ``compile_filter`` turns that into a program. For each architecture it makes a list of intervals
   of call numbers with the same answer, and lays a binary search over them: about eight jumps
   decide, where a list would need hundreds. Only calls with conditions look at arguments.

Words: *action* (what a rule answers), *intervals*, *handler* (what is done in an interval),
*bad architecture* (a call by an instruction set that the filter does not know: killed).

Read ``profile.py``, ``rules.py``, ``compiler.py``, ``bpf.py``.

Docker's counterpart: moby ``profiles/seccomp``, libseccomp; the answer to calls newer than the
profile follows runc's ``seccomp/patchbpf``.
"""

from cutaway.security.seccomp.compiler import compile_filter
from cutaway.security.seccomp.profile import (
    default_profile,
    parse_kernel_version,
    resolve_profile,
)
from cutaway.security.seccomp.rules import filter_flags, unknown_names, uses_listener

__all__ = [
    "compile_filter",
    "default_profile",
    "filter_flags",
    "parse_kernel_version",
    "resolve_profile",
    "unknown_names",
    "uses_listener",
]
