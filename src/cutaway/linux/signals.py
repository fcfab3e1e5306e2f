"""Which signals a process handles: proc_pid_status(5)."""


def handles_signal(pid: int, sig: int) -> bool:
    """Say whether a process catches a signal, or blocks it to fetch it by signalfd or sigwait.

    A PID namespace's init is not ended by a signal that it does not handle, but for SIGKILL and
    SIGSTOP from outside.

    Raises:
        OSError: ENOENT, ESRCH (there is no such process).
    """
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    handled = int(fields["SigCgt"], 16) | int(fields["SigBlk"], 16)
    return bool(handled >> (sig - 1) & 1)
