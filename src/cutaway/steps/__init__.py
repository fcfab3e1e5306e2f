"""Decide, then do: the plan of what will change on the host, and the ledger of what did.

The problem: a container engine makes some sixty changes to the kernel to start one container, and
when the fortieth fails somebody must know which thirty-nine to take back; and when a person asks
"what did it do to my machine, and why", the answer must be what was really done.

The model: decisions are pure functions, ``plan_…(values) -> tuple[Step, …]``. A step is a frozen
value that can describe itself, print itself as a shell command, do itself and undo itself. A
``Ledger`` applies steps one after the other and keeps a ``Record`` of each: arguments, reason,
result, time. Rollback, ``cutaway story``, ``cutaway plan`` and its ``--shell`` all follow from
these two structures; there is no second description of what the engine does.

Words: *step* (what, why, how, how back), *plan* (a tuple of steps, nothing done yet), *ledger*
(what was done), *scope* (the open file descriptors and sockets that steps of one kind act with).

Read ``step.py``, then ``ledger.py``.

Docker's counterpart: none. dockerd and runc decide and act in the same functions.
"""

from cutaway.steps.ledger import Ledger, Record
from cutaway.steps.step import Plan, Step

__all__ = ["Ledger", "Plan", "Record", "Step"]
