"""One change to the host, as a value."""

from dataclasses import dataclass, fields
from typing import Any, Generic, TypeAlias, TypeVar

ScopeT = TypeVar("ScopeT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Generic[ScopeT]):
    """One or two system calls that change the host, and all that is to be said about them.

    A concrete step is a frozen, slotted dataclass in the package whose role it belongs to
    (``runtime/steps/``, ``network/steps.py``, …); its fields are plain values (str, int, bool,
    tuples of these), so that a plan can be compared, printed and sent between processes.

    Attributes:
        why: the flag, default or specification section that asked for this step, in the words a
            user would search for: ``--read-only``, ``default``, ``runtime-spec mounts[3]``.
    """

    why: str

    def describe(self) -> str:
        """Say what the step does in one line, with its real arguments."""
        raise NotImplementedError

    def shell(self) -> str:
        """Say the step as a shell command that a person could type to the same effect.

        A change with no command of its own (seccomp(2), close_range(2)) is a comment line that
        starts with ``#`` and names the system call.
        """
        raise NotImplementedError

    def apply(self, scope: ScopeT) -> Any:
        """Do it. The result, if any, is a JSON value that the ledger keeps and ``undo`` gets.

        Raises:
            OSError: what the kernel answered; the step itself has then changed nothing.
        """
        raise NotImplementedError

    def undo(self, scope: ScopeT, result: Any) -> None:
        """Take it back. The default is for changes that die with a namespace or a descriptor.

        Must succeed when the thing is already gone.
        """

    def arguments(self) -> dict[str, Any]:
        """Return the fields but ``why``, in order, as the ledger stores them."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "why"}


Plan: TypeAlias = tuple[Step[ScopeT], ...]
