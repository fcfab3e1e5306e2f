"""``cutaway plan run --shell``: a plan as a script that runs the same program by hand.

A shell can't enter a namespace, it can only start another shell there. So each step that enters
one opens a level: the rest of the script, handed to ``sh -c``. The last of a container's steps
happen in no shell at all, after the host's tools are out of reach: one command with the same
effect stands for them.

Whoever runs the script does so as root of the host: what the image says (user, paths, variables,
and the ids in its ``passwd``) is a word of a command, and never a command or a further option.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cutaway.oci.runtime_spec import Process
from cutaway.runtime.plan import RuntimePlan, steps_of
from cutaway.runtime.plan_namespaces import HANDED_OVER
from cutaway.runtime.steps.host import MakeInit
from cutaway.runtime.steps.namespaces import (
    EnterNamespaces,
    JoinNamespace,
    UnshareCgroupNamespace,
    UnshareNamespaces,
    WaitForMaker,
)
from cutaway.runtime.steps.process import (
    EnterWorkingDirectory,
    FindProgram,
    GiveStdio,
    ResolveUser,
    SwitchUser,
)
from cutaway.runtime.steps.rootfs import PivotRoot
from cutaway.runtime.steps.security import DropBoundingSet, SetCapabilities, SetNoNewPrivileges
from cutaway.steps import Step

_ENTERING = (UnshareNamespaces, JoinNamespace, UnshareCgroupNamespace, MakeInit)
_PRIVILEGES = (DropBoundingSet, SetCapabilities, SetNoNewPrivileges)
_NOT_BY_ITSELF = (
    *(WaitForMaker, EnterNamespaces),  # a shell is where the shell that started it is
    *(PivotRoot, GiveStdio, ResolveUser, FindProgram, EnterWorkingDirectory, SwitchUser),
    *_PRIVILEGES,
)
_MEMBERSHIPS = (
    """{ split($4, members, ","); for (i in members) if (members[i] == n) print "," $3 }"""
)
_TOOLS_NEED = ("sys_chroot", "setuid", "setgid")
_HEAD = """#!/bin/sh -e
# The same by hand. Lines that begin with # are system calls without a command.
# For images you trust: mkdir and mount follow an image's links out of it, the engine does not.
# Take away afterwards what it made: this script keeps no ledger."""


@dataclass(slots=True)
class _Levels:
    """The script so far, and the shells in shells that are open in it.

    Attributes:
        mark: what begins the words at which levels end; no line of the container's is like it.
    """

    mark: str
    lines: list[str] = field(default_factory=lambda: [_HEAD])
    closing: list[str] = field(default_factory=list)

    def add(self, *lines: str) -> None:
        self.lines += lines

    def enter(self, command: str) -> None:
        """Have the rest of the script done by another shell, which keeps the standard input."""
        mark = f"{self.mark}_{len(self.closing) + 1}"
        self.lines.append(f"exec {command} sh -ec \"$(cat <<'{mark}'")
        self.closing.insert(0, f'{mark}\n)"')

    def text(self) -> str:
        return "\n".join([*self.lines, *self.closing, ""])


def write_script(
    planned: RuntimePlan,
    engine_steps: Sequence[Step[Any]],
    *,
    data_root: str,
    etc: Mapping[str, str],
) -> str:
    """Return the script.

    Args:
        planned: what the shim and the init do.
        engine_steps: what the engine does before.
        data_root: where snapshots and containers are.
        etc: the texts of the container's files about names, by host path.
    """
    script = _Levels(f"LEVEL_{planned.container_id[:12]}")
    has_network = _makes_network(planned)
    script.add(f"cd {shlex.quote(data_root)}", f"export ROOTFS={shlex.quote(planned.bundle)}")
    script.add(f'mkdir -p "$ROOTFS" containers/{planned.container_id}')
    for path, text in etc.items():
        script.add(f"printf %s {shlex.quote(text)} > {shlex.quote(path)}")
    if has_network:
        script.add('export NETNS="$ROOTFS.netns"', 'touch "$NETNS"', 'unshare --net="$NETNS" true')
    for step in engine_steps:
        script.add(step.shell())
    script.add(*(step.shell() for step in planned.host))
    script.add("PID=$$", *(step.shell() for step in planned.after))
    container_steps = steps_of((*planned.beside, *planned.init))
    for step in (*steps_of(planned.outside), planned.make, *container_steps):
        if isinstance(step, _ENTERING):
            *before, command = step.shell().split("\n")
            script.add(*before)
            script.enter(_entering(command))
        elif not isinstance(step, _NOT_BY_ITSELF):
            script.add(step.shell())
    script.add("# pivot_root(2) and what is done after it, without a tool of the image's:")
    script.add(*_last(planned.process, container_steps))
    return script.text()


def _makes_network(planned: RuntimePlan) -> bool:
    namespaces = planned.spec.linux.namespaces if planned.spec.linux else ()
    return any(space.type.value == "network" and not space.path for space in namespaces)


def _entering(command: str) -> str:
    """Return a step's command without its shell, and with the network namespace that is there."""
    return command.removesuffix(" sh").replace(HANDED_OVER, '"$NETNS"')


def _last(process: Process, steps: Sequence[Step[Any]]) -> list[str]:
    """Return the commands that drop privileges, change the root, and become the program."""
    options = {
        step.shell().removeprefix("setpriv "): None
        for step in steps
        if isinstance(step, _PRIVILEGES)
    }
    words = " ".join(options)
    lines = []
    if not all(f"+{name}" in words for name in _TOOLS_NEED):
        lines.append(
            f"# setpriv {words}: not by hand, the next tool needs {', '.join(_TOOLS_NEED)}"
        )
        words = ""
    (resolved,) = (step for step in steps if isinstance(step, ResolveUser))
    lines += _find_user(resolved)
    umask = 0o22 if process.user.umask is None else process.user.umask
    environment = " ".join(map(shlex.quote, process.env))
    if not any(entry.startswith("HOME=") for entry in process.env):
        environment += ' HOME="${HOME:-/}"'
    drop = (
        'setpriv --regid "$GROUP_ID" ${GROUP_IDS:+--groups} "${GROUP_IDS:---clear-groups}" ' + words
    )
    root = f'unshare --root="$ROOTFS" --wd={shlex.quote(process.cwd)} --setuid "$USER_ID"'
    lines.append(f"umask {umask:04o}")
    lines.append(f"exec env -i {environment} {drop} {root} {shlex.join(process.args)}")
    return lines


def _find_user(resolved: ResolveUser) -> list[str]:
    """Return what sets ids and ``HOME``: looked up in the image's files, as the engine does."""
    user, _, group = (resolved.user or f"{resolved.uid}:{resolved.gid}").partition(":")
    user = user or "0"
    group_id = _look_up(group, 3, "group") if group else _look_up(user, 4, "passwd")
    numbers = [text if text.isdecimal() else "0" for text in (user, group)]
    name, home = _look_up(user, 1, "passwd"), _look_up(user, 6, "passwd")
    lines = [
        f"USER_ID={_look_up(user, 3, 'passwd')} GROUP_ID={group_id} NAME={name} HOME={home}",
        f"USER_ID=${{USER_ID:-{numbers[0]}}} GROUP_ID=${{GROUP_ID:-{numbers[1]}}} GROUP_IDS=",
    ]
    if resolved.user or resolved.extra_groups:
        members = "" if group else _ask("group", _MEMBERSHIPS, '"$NAME"')
        more = [g if g.isdecimal() else _look_up(g, 3, "group") for g in resolved.extra_groups]
        lines.append(f"GROUP_IDS=$(echo {','.join(('$GROUP_ID', *more))}{members} | tr -d ' \\n')")
    return lines


def _look_up(name: str, number: int, file: str) -> str:
    """Return what prints a field of the line in /etc/passwd or group that has a name or id."""
    return _ask(file, f"$1 == n || $3 == n {{ print ${number}; exit }}", shlex.quote(name))


def _ask(file: str, program: str, name: str) -> str:
    """Return what prints an awk(1) program's answer about ``n`` in a file of the image's /etc.

    Args:
        file: ``passwd`` or ``group``.
        program: of awk.
        name: the word that ``n`` is, quoted.
    """
    return f'$(awk -F: -v n={name} {shlex.quote(program)} "$ROOTFS"/etc/{file} || :)'
