"""The part of a shim that can be swapped: who makes the container.

The problem: the built-in runtime is code in the shim itself; ``--runtime runc`` is a program with
OCI's command line. The shim's other parts must not know which it is.

The model: ``RuntimeDriver`` is what the shim asks of one run of PID 1. ``BuiltinRuntime`` fits it
with ``cutaway.runtime``; ``ExternalRuntimeDriver`` with a program.

Read ``driver.py``, ``builtin.py``, ``external.py``.

Docker's counterpart: containerd-shim's use of go-runc.
"""
