"""Help of the program and of its groups, and what is said about words that name no command."""

import sys

from cutaway.cli.command import PROGRAM, layout_flags
from cutaway.cli.find import find, global_flags
from cutaway.cli.index import COMMON, GROUPS, INDEX, OWN, REFUSED

_COLUMN = 11  # the least width of the names in a list of commands, as cobra has it


def print_help(words: list[str]) -> int:
    """Print the help that ``cutaway help WORDS`` asks for; returns the exit code."""
    found = find(words) if words else None
    if found is not None:
        sys.stdout.write(found[0].help(found[1]))
    elif words and words[0] in GROUPS:
        sys.stdout.write(group_help(words[0]))
    elif words:
        print(f"unknown help topic: {' '.join(words)}", file=sys.stderr)
        return 1
    else:
        sys.stdout.write(root_help())
    return 0


def unknown_command(words: list[str]) -> int:
    """Answer a group's name alone with its help, other words with the nearest command."""
    group = words[0] if words[0] in GROUPS else ""
    if group and len(words) == 1:
        sys.stderr.write(group_help(group))
        return 0
    if group and words[1] in {"--help", "-h"}:
        sys.stdout.write(group_help(group))
        return 0
    if group and words[1].startswith("-"):
        print(_unknown_flag(group, words[1]), file=sys.stderr)
        return 125
    if words[0] in REFUSED:
        print(f"{PROGRAM} {words[0]}: {REFUSED[words[0]]}", file=sys.stderr)
        return 1
    name = " ".join(words[: 2 if group else 1])
    lines = [f"{PROGRAM}: unknown command: {PROGRAM} {name}"]
    if close := _nearest(name):
        lines.append(f"Did you mean '{PROGRAM} {close}'?")
    if group:
        lines.append(f"Usage:  {PROGRAM} {group}")
    more = f"{group} --help" if group else "--help"
    lines.append(f"Run '{PROGRAM} {more}' for more information")
    print("\n\n".join(lines), file=sys.stderr)
    return 1


def _unknown_flag(group: str, word: str) -> str:
    what = (
        f"unknown flag: {word.partition('=')[0]}"
        if word.startswith("--")
        else f"unknown shorthand flag: '{word[1:2]}' in {word}"
    )
    return (
        f"{what}\n\nUsage:  {PROGRAM} {group}\n\n"
        f"Run '{PROGRAM} {group} --help' for more information"
    )


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    group, _, word = name.rpartition(" ")
    prefix = f"{group} " if group else ""
    names = [*GROUPS, *(known for known, entry in INDEX.items() if entry[2])]
    words = {n.removeprefix(prefix): n for n in names if n.startswith(prefix)}
    close = get_close_matches(word, words, n=1, cutoff=0.7)
    return words[close[0]] if close else ""


def group_help(group: str) -> str:
    """Return the help of a management command such as ``container``."""
    members = {
        name.removeprefix(f"{group} "): summary
        for name, (_, _, summary) in sorted(INDEX.items())
        if name.startswith(f"{group} ") and summary
    }
    return (
        f"Usage:  {PROGRAM} {group} COMMAND\n\n{GROUPS[group]}\n\nCommands:\n"
        + _columns(members)
        + f"\nRun '{PROGRAM} {group} COMMAND --help' for more information on a command.\n"
    )


def root_help() -> str:
    """Return the help of the program, in docker's layout, with a section for what is our own."""
    single = {name: entry[2] for name, entry in INDEX.items() if " " not in name and entry[2]}
    own = {name: GROUPS.get(name) or single[name] for name in OWN}
    common = {name: single[name] for name in COMMON}
    groups = {name: text for name, text in GROUPS.items() if name not in OWN}
    others = {n: s for n, s in sorted(single.items()) if n not in COMMON and n not in OWN}
    return (
        f"Usage:  {PROGRAM} [OPTIONS] COMMAND\n\nA container engine you can see through\n\n"
        f"Common Commands:\n{_columns(common)}\n"
        f"Management Commands:\n{_columns(groups)}\n"
        f"Commands:\n{_columns(others)}\n"
        f"Cutaway's Own Commands:\n{_columns(own)}\n"
        f"Global Options:\n{layout_flags(global_flags())}\n\n"
        f"Run '{PROGRAM} COMMAND --help' for more information on a command.\n"
    )


def _columns(entries: dict[str, str]) -> str:
    width = max([_COLUMN, *map(len, entries)])
    return "".join(f"  {name.ljust(width)} {summary}\n" for name, summary in entries.items())
