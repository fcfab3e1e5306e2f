"""What the kernel refused, told as strace would."""

import os
from enum import IntFlag
from typing import Any


class Verbatim(str):
    """An argument that is shown as it is: ``0644``, ``0x1ff``, ``679 instructions``."""

    __slots__ = ()


def octal(mode: int) -> Verbatim:
    """Return permission bits as an argument."""
    return Verbatim(f"0{mode:o}")


def format_argument(value: Any) -> str:
    """Return one argument as strace prints it: text quoted, flags by name, ``NULL`` for None."""
    if value is None:
        return "NULL"
    if isinstance(value, Verbatim):
        return value
    if isinstance(value, IntFlag):
        return (value.name or hex(value)) if value else "0"
    if isinstance(value, bytes):
        value = value.decode(errors="backslashreplace")
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else str(value)


class KernelError(OSError):
    """A system call or netlink request that the kernel refused.

    Attributes:
        errno: the kernel's number; compare with ``errno.ENOENT`` and its like. The builtin
            subclasses (``FileNotFoundError``, …) are *not* raised.
        call: ``mount("proc", "/proc", "proc", NOSUID)``.
        hint: what the user can change, or the kernel's own explanation; often empty.
    """

    def __init__(
        self, errno: int, call: str, hint: str = "", *, arguments: tuple[Any, ...] | None = None
    ) -> None:
        """Note what was refused.

        Args:
            errno: why.
            call: as text, or the call's name alone when ``arguments`` are given.
            hint: see above.
            arguments: told when somebody asks; most errors of a start are only asked for errno.
        """
        super().__init__(errno, os.strerror(errno))
        self._call = call
        self._arguments = arguments
        self.hint = hint

    @property
    def call(self) -> str:
        """The call with its arguments."""
        if self._arguments is None:
            return self._call
        return f"{self._call}({', '.join(map(format_argument, self._arguments))})"

    def __str__(self) -> str:
        text = f"{self.call}: {self.strerror}"
        return f"{text} ({self.hint})" if self.hint else text

    def __reduce__(self) -> tuple[type["KernelError"], tuple[Any, ...]]:
        return KernelError, (self.errno, self.call, self.hint)


def kernel_error(errno: int, name: str, *arguments: Any, hint: str = "") -> KernelError:
    """Return the error of one call."""
    return KernelError(errno, name, hint, arguments=arguments)
