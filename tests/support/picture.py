"""Everything an engine has on the host at one moment, so that two moments can be compared.

A picture holds what outlives a request: mounts, links, firewall, cgroups, processes, and the
entries of the engine's directories. What differs between two starts of one engine without
meaning anything (process ids, snapshot numbers, processes forked ahead) is left out or counted.
"""

import os
import re
from collections import Counter
from pathlib import Path

from support.engine import EngineUnderTest

Picture = dict[str, Counter[str]]

# Forked ahead, or kept until idle: how many there are says nothing.
_SPARES = frozenset(f"cutaway: {name}" for name in ("keeper", "shim", "maker", "stem", "images"))
# What an interrupted pull has fetched is kept for a day, to be resumed; SQLite's files come and go.
_IGNORED = re.compile(r"images/(ingest/|blobs/\w+/|tag-history)|engine\.db")
_DEPTH = 3


def take_picture(engine: EngineUnderTest) -> Picture:
    """Look at everything of this engine that is on the host now."""
    return {
        "mounts": Counter(line.split()[4] for line in engine.host.mounts()),
        "links": Counter(engine.host.links()),
        "firewall": Counter(
            _in_order(engine.host.run("nft", "list", "ruleset", check=False).stdout)
        ),
        "cgroups": Counter(engine.cgroups()),
        "processes": Counter(title for _, title in processes(engine) if title not in _SPARES),
        "data": Counter(_entries(engine.data_root)),
        "run": Counter(_entries(engine.exec_root)),
    }


def _in_order(ruleset: str) -> list[str]:
    """Return the lines, and each element of a set as one: their order and lines are by chance."""
    outside = re.sub(r"elements = \{[^}]*\}", "", ruleset).split("\n")
    listed = re.findall(r"elements = \{([^}]*)\}", ruleset)
    elements = [" ".join(one.split()) for text in listed for one in text.split(",")]
    return [*outside, *elements]


def differences(before: Picture, after: Picture) -> list[str]:
    """Say what the second picture has more than the first, and less, if that is a loss.

    A mount or a helper that is gone is none: the machine unmounts what others mounted before this
    test host was made, and helpers end when they have nothing to do.
    """
    return [
        f"{kind}: {sign}{count} {item}"
        for kind in before
        for sign, counted in (
            ("+", after[kind] - before[kind]),
            ("-", before[kind] - after[kind]),
        )
        if sign == "+" or kind not in ("mounts", "processes")
        for item, count in counted.items()
    ]


def processes(engine: EngineUnderTest) -> list[tuple[int, str]]:
    """Return (pid, title) of every living process of the engine's own; containers' not.

    They are known by the test host's mount namespace and a title that begins with ``cutaway:``.
    """
    namespace = os.readlink(f"/proc/{engine.host.pid}/ns/mnt")
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.readlink(entry / "ns/mnt") == namespace:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                title = b" ".join(words).decode(errors="replace").strip()
                if title.startswith("cutaway:"):
                    found.append((int(entry.name), title))
        except OSError:
            continue  # it has ended meanwhile
    return found


def _entries(root: Path) -> list[str]:
    found = []
    for directory, folders, files in os.walk(root):
        relative = os.path.relpath(directory, root)
        if relative.count("/") >= _DEPTH - 1:
            folders.clear()
        if re.match(r"snapshots/\d+", relative):
            folders.clear()
            continue
        for name in folders + files:
            path = os.path.normpath(f"{relative}/{name}")
            if not _IGNORED.match(path):
                found.append(re.sub(r"^(snapshots/)(\d+|\w+/.+)$", r"\1N", path))
    return found
