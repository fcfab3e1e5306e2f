"""What a container may do: capabilities, system calls, devices, hidden paths, ids.

The problem: a container is a process of the host's kernel. What it must not do is told by five
lists, and each has a language of its own.

The model: every function here turns values into values, and touches nothing. ``capabilities``
resolves ``--cap-add`` and ``--cap-drop``; ``seccomp`` turns Docker's profile into the runtime
specification's form and that into a BPF program; ``device_filter`` turns device rules into an eBPF
program for cgroup v2; ``paths`` are the masked and read-only paths; ``idmaps`` are user namespace
maps. The runtime hands the results to the kernel.

Words: *capability set* (names here, bits in the kernel), *bounding* (what can ever be had),
*profile* (Docker's JSON, with conditions), *filter* (what the kernel runs), *action* (what it
answers), *id map* (which host ids a user namespace's ids are).

Read ``capabilities.py``, then ``seccomp/``, then the rest. ``syscalls.py`` is a table of numbers.

Docker's counterpart: moby's ``oci/caps``, ``profiles/seccomp``, libseccomp, ``pkg/idtools``.
"""
