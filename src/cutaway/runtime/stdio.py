"""Where a process's stdin, stdout and stderr go."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stdio:
    """Three descriptors, or a terminal that the container opens itself.

    Attributes:
        in_fd: becomes 0; the caller keeps and closes its own copy. Unused with a terminal.
        out_fd: becomes 1.
        err_fd: becomes 2.
        is_terminal: a pty of the container's devpts is all three; the caller gets its master.
        rows: height of the terminal, 0 leaves the default.
        columns: width of the terminal.
    """

    in_fd: int = -1
    out_fd: int = -1
    err_fd: int = -1
    is_terminal: bool = False
    rows: int = 0
    columns: int = 0

    @classmethod
    def terminal(cls, rows: int = 0, columns: int = 0) -> "Stdio":
        """Return a terminal of a size in characters."""
        return cls(is_terminal=True, rows=rows, columns=columns)

    def descriptors(self) -> tuple[int, int, int] | None:
        """Return the three descriptors, None for a terminal."""
        return None if self.is_terminal else (self.in_fd, self.out_fd, self.err_fd)
