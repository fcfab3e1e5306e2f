"""``docker top``: a container's processes as ps(1) shows them, read from the host's /proc.

Nothing is run, neither in the container (CVE-2022-1227) nor outside.
"""

import os
import pwd
import time
from collections.abc import Callable
from dataclasses import dataclass

from cutaway.errors import InvalidParameter
from cutaway.model import ContainerTop

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """What /proc/PID/{stat,status,cmdline} say of one process; times in seconds.

    Attributes:
        started: seconds since the epoch.
        nice, state, tty: as stat has them.
        vsz_kib, rss_kib: address space, resident memory.
    """

    pid: int
    ppid: int
    uid: int
    state: str
    tty: int
    cpu_s: float
    started: float
    nice: int
    threads: int
    vsz_kib: int
    rss_kib: int
    name: str
    command: str


Column = tuple[str, Callable[[ProcessFacts], str]]


def read_process(pid: int, boot_time: float) -> ProcessFacts | None:
    """Return what is known of a process, or None when it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            words = file.read().rstrip("\0").split("\0")
        uid = os.stat(f"/proc/{pid}").st_uid
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    command = " ".join(words).strip()
    return ProcessFacts(
        pid=pid,
        ppid=int(fields[1]),
        uid=uid,
        state=fields[0],
        tty=int(fields[4]),
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS,
        started=boot_time + int(fields[19]) / _TICKS,
        nice=int(fields[16]),
        threads=int(fields[17]),
        vsz_kib=int(fields[20]) // 1024,
        rss_kib=int(fields[21]) * _PAGE_KIB,
        name=name,
        command=command or f"[{name}]",
    )


def boot_time() -> float:
    """Return when this machine started, in seconds since the epoch."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def _user(facts: ProcessFacts) -> str:
    try:
        return pwd.getpwuid(facts.uid).pw_name
    except KeyError:
        return str(facts.uid)


def _tty(facts: ProcessFacts) -> str:
    if not facts.tty:
        return "?"
    major, minor = facts.tty >> 8 & 0xFFF, facts.tty & 0xFF | facts.tty >> 12 & 0xFFF00
    if 136 <= major <= 143:
        return f"pts/{(major - 136) * 256 + minor}"
    return f"tty{minor}"


def _start_time(facts: ProcessFacts) -> str:
    started = time.localtime(facts.started)
    today = time.time() - facts.started < 86400
    return time.strftime("%H:%M" if today else "%b%d", started)


def _cpu_time(facts: ProcessFacts) -> str:
    minutes, seconds = divmod(int(facts.cpu_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}"


def _short_time(facts: ProcessFacts) -> str:
    minutes, seconds = divmod(int(facts.cpu_s), 60)
    return f"{minutes}:{seconds:02}"


def _elapsed(facts: ProcessFacts) -> str:
    minutes, seconds = divmod(int(time.time() - facts.started), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    clock = f"{minutes:02}:{seconds:02}"
    if days:
        return f"{days}-{hours:02}:{clock}"
    return f"{hours:02}:{clock}" if hours else clock


def _cpu_percent(facts: ProcessFacts) -> str:
    return f"{100 * facts.cpu_s / max(0.01, time.time() - facts.started):.1f}"


def _memory_percent(facts: ProcessFacts) -> str:
    total_kib = os.sysconf("SC_PHYS_PAGES") * _PAGE_KIB
    return f"{100 * facts.rss_kib / total_kib:.1f}"


_USER: Column = ("USER", _user)
_COLUMNS: dict[str, Column] = {
    "pid": ("PID", lambda f: str(f.pid)),
    "ppid": ("PPID", lambda f: str(f.ppid)),
    "user": _USER,
    "euser": ("EUSER", _user),
    "uid": ("UID", lambda f: str(f.uid)),
    "comm": ("COMMAND", lambda f: f.name),
    "ucmd": ("CMD", lambda f: f.name),
    "args": ("COMMAND", lambda f: f.command),
    "cmd": ("CMD", lambda f: f.command),
    "command": ("COMMAND", lambda f: f.command),
    "stat": ("STAT", lambda f: f.state),
    "s": ("S", lambda f: f.state),
    "state": ("S", lambda f: f.state),
    "tty": ("TT", _tty),
    "time": ("TIME", _cpu_time),
    "etime": ("ELAPSED", _elapsed),
    "stime": ("STIME", _start_time),
    "start": ("STARTED", _start_time),
    "c": ("C", lambda f: _cpu_percent(f).partition(".")[0]),
    "pcpu": ("%CPU", _cpu_percent),
    "%cpu": ("%CPU", _cpu_percent),
    "pmem": ("%MEM", _memory_percent),
    "%mem": ("%MEM", _memory_percent),
    "rss": ("RSS", lambda f: str(f.rss_kib)),
    "vsz": ("VSZ", lambda f: str(f.vsz_kib)),
    "ni": ("NI", lambda f: str(f.nice)),
    "nlwp": ("NLWP", lambda f: str(f.threads)),
}
_FULL: tuple[Column, ...] = (
    ("UID", _user),
    *(_COLUMNS[name] for name in ("pid", "ppid", "c", "stime")),
    ("TTY", _tty),
    *(_COLUMNS[name] for name in ("time", "cmd")),
)
_BSD: tuple[Column, ...] = (
    _USER,
    *(_COLUMNS[name] for name in ("pid", "%cpu", "%mem", "vsz", "rss")),
    ("TTY", _tty),
    _COLUMNS["stat"],
    ("START", _start_time),
    ("TIME", _short_time),
    _COLUMNS["command"],
)
_SHORT: tuple[Column, ...] = (
    _COLUMNS["pid"],
    ("TTY", _tty),
    _COLUMNS["time"],
    _COLUMNS["ucmd"],
)
_FORMATS = {"ef": _FULL, "f": _FULL, "Af": _FULL, "aux": _BSD, "u": _BSD, "": _SHORT, "e": _SHORT}


def choose_columns(ps_args: str) -> tuple[Column, ...]:
    """Read ps(1)'s arguments: ``-ef``, ``aux``, ``-o pid,comm`` or ``-eo pid,comm=NAME``.

    Raises:
        InvalidParameter: another format or an unknown column.
    """
    words = ps_args.split()
    for index, word in enumerate(words):
        flag, _, attached = word.partition("o")
        if "o" in word and not set(flag) - set("-eAaxw"):
            return _named_columns(attached or ",".join(words[index + 1 :]))
    flags = "".join(word.lstrip("-") for word in words).replace("w", "")
    if flags in ("x", "ax"):
        flags = "aux"
    if flags not in _FORMATS:
        raise InvalidParameter(
            f"ps arguments {ps_args!r} are not supported: use -ef, aux or -o with columns"
        )
    return _FORMATS[flags]


def _named_columns(text: str) -> tuple[Column, ...]:
    columns: list[Column] = []
    for part in filter(None, text.replace(" ", ",").split(",")):
        name, separator, title = part.partition("=")
        if name.lower() not in _COLUMNS:
            raise InvalidParameter(f"ps: unknown user-defined format specifier {name!r}")
        known, show = _COLUMNS[name.lower()]
        columns.append((title if separator and title else known, show))
    if not columns:
        raise InvalidParameter("ps: -o needs columns")
    return tuple(columns)


def list_processes(pids: list[int], ps_args: str) -> ContainerTop:
    """Show processes.

    Raises:
        InvalidParameter: as ``choose_columns``.
    """
    columns = choose_columns(ps_args or "-ef")
    since = boot_time()
    found = [facts for pid in pids if (facts := read_process(pid, since)) is not None]
    return ContainerTop(
        titles=tuple(title for title, _ in columns),
        processes=tuple(tuple(show(facts) for _, show in columns) for facts in found),
    )
