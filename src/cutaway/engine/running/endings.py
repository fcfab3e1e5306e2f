"""Why a container ended: who sent the last signal, or that nobody did. Pure.

Docker tells the exit code only: 137 may be ``docker kill``, the OOM killer, or a stop that took too
long. The shim notes every signal with its sender; this reads the notes.
"""

import signal as signals
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

PROGRAM, OTHER, SHIM, MACHINE, OOM_KILLER = "program", "other", "shim", "machine", "oom-killer"
KILLED = 137
_SENDERS = {
    "user": "docker kill",
    "stop": "docker stop",
    "remove": "docker rm --force",
    "engine": "the engine",
    "health": "its failed health check",
}


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How the last run of a container ended.

    Attributes:
        by: ``program`` (it ended by itself), ``user`` (docker kill), ``stop``, ``remove``,
            ``engine``, ``health``, ``oom-killer``, ``shim`` (lost, and the container with it),
            ``machine`` (it went down), ``other`` (a signal that nobody here sent).
        signal: the last signal of that sender; 0: none.
        reason: a sentence.
    """

    by: str
    signal: int = 0
    reason: str

    @property
    def signal_name(self) -> str:
        """``SIGTERM``, or empty."""
        return name_signal(self.signal) if self.signal else ""


def name_signal(number: int) -> str:
    """Return ``SIGTERM``; real-time signals have no name of their own."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def explain_end(facts: Mapping[str, Any], *, memory_limit: int) -> Ending:
    """Say who ended a run.

    Args:
        facts: the shim's exit record.
        memory_limit: in bytes; 0: none.
    """
    if facts.get("machine_ended"):
        return Ending(by=MACHINE, reason="the machine went down while it ran")
    if facts.get("lost"):
        return Ending(by=SHIM, signal=9, reason="its shim was killed, and the container with it")
    fatal = int(facts.get("signal") or 0)
    sent: Sequence[Mapping[str, Any]] = facts.get("signals") or ()
    causes = [s for s in sent if s.get("ends") or int(s["signal"]) == fatal]
    if causes:
        return _explain_signals(causes, sent)
    # A shell whose child was killed ends with 137 itself.
    if facts.get("oom_killed") and (fatal or facts.get("exit_code") == KILLED):
        return Ending(by=OOM_KILLER, signal=fatal, reason=_explain_oom(memory_limit))
    if fatal:
        reason = f"{name_signal(fatal)} came from a process in the container or on the host"
        return Ending(by=OTHER, signal=fatal, reason=reason)
    return Ending(by=PROGRAM, reason="its program ended by itself")


def _explain_oom(memory_limit: int) -> str:
    if not memory_limit:
        return "the kernel's OOM killer ended it: the machine ran out of memory"
    return (
        f"the kernel's OOM killer ended it: its memory limit of {memory_limit / 2**20:g} MiB was "
        "reached; give it more (--memory)"
    )


def _explain_signals(
    causes: Sequence[Mapping[str, Any]], sent: Sequence[Mapping[str, Any]]
) -> Ending:
    last = causes[-1]
    origin, number = str(last["origin"]), int(last["signal"])
    sender = _SENDERS.get(origin, origin)
    earlier = [s for s in sent if s["origin"] == origin and int(s["signal"]) != number]
    if number == signals.SIGKILL and earlier and origin in ("stop", "health"):
        first = earlier[-1]
        seconds = (int(last["time_ns"]) - int(first["time_ns"])) / 1e9
        reason = (
            f"{sender} sent {name_signal(int(first['signal']))}, and SIGKILL {seconds:.0f} s "
            "later, as it went on"
        )
    else:
        reason = f"{sender} sent {name_signal(number)}"
    return Ending(by=origin, signal=number, reason=reason)
