"""From the words typed so far to what may come next."""

import re
from collections.abc import Callable

from cutaway.cli.command import Command
from cutaway.cli.completion.values import ARGUMENTS, FLAG_VALUES, FLAG_VALUES_OF_KIND
from cutaway.cli.find import find, global_flags
from cutaway.cli.flags import Flag
from cutaway.cli.index import GROUPS, INDEX

Candidate = tuple[str, str]
Answer = tuple[str, list[Candidate]]
Ask = Callable[[str, str], list[Candidate]]

NOTHING: Answer = ("words", [])
FILES: Answer = ("files", [])


def complete(words: list[str], ask: Ask) -> Answer:
    """Say what may stand in place of the last word.

    Args:
        words: all that was typed behind the program's name; the last word is unfinished.
        ask: called with (kind of value, name of the command) for what only the engine knows.

    Returns:
        (directive, candidates), those that begin with the last word.
    """
    words, value_of = _without_global_flags(words)
    if value_of is not None:
        return _flag_value(value_of, words[-1], "", ask)
    *before, last = words
    if before[:1] == ["help"]:
        before = before[1:]
    found = find(before) if before else None
    if found is None:
        if not before and last.startswith("-"):
            return "words", _flag_names(global_flags(), last)
        return "words", _matching(_names(before), last)
    command, typed, rest = found
    below = _matching(_names(before), last)
    if below and not rest:  # ``image`` has members, ``tag`` is a command that has some, too
        return "words", below
    return _within(command, [*rest, last], ask)


def _without_global_flags(words: list[str]) -> tuple[list[str], Flag | None]:
    """Skip the flags before the command; names the one whose value is being typed, if any."""
    flags = global_flags()
    rest = list(words)
    while len(rest) > 1 and rest[0].startswith("-"):
        flag = _named(flags, rest[0])
        takes_next = flag is not None and flag.kind != "bool" and "=" not in rest[0]
        if takes_next and len(rest) == 2:
            return rest, flag
        rest = rest[2:] if takes_next else rest[1:]
    return rest, None


def _names(before: list[str]) -> list[Candidate]:
    """Return the words that may follow ``before`` in the name of a command."""
    prefix = "".join(f"{word} " for word in before)
    names = {
        name.removeprefix(prefix): entry[2]
        for name, entry in INDEX.items()
        if entry[2] and name.startswith(prefix) and " " not in name.removeprefix(prefix)
    }
    if not before:
        names |= GROUPS
    return sorted(names.items())


def _within(command: Command, words: list[str], ask: Ask) -> Answer:
    """Complete behind a command's name."""
    flags = command.flags()
    *before, last = words
    arguments = 0
    while before:
        word = before.pop(0)
        if word == "--" or (not command.interspersed and not word.startswith("-")):
            return _argument(command, arguments + 1 + len(before), last, ask)
        if not word.startswith("-"):
            arguments += 1
            continue
        flag = _named(flags, word)
        if flag is None or flag.kind == "bool" or _holds_value(flag, word):
            continue
        if not before:
            return _flag_value(flag, last, command.words, ask)
        before.pop(0)
    if last.startswith("--") and "=" in last:
        name, _, text = last.partition("=")
        flag = _named(flags, name)
        directive, found = _flag_value(flag, text, command.words, ask) if flag else NOTHING
        return directive, [(f"{name}={value}", note) for value, note in found]
    if last.startswith("-"):
        return "words", _flag_names(flags, last)
    return _argument(command, arguments, last, ask)


def _named(flags: list[Flag], word: str) -> Flag | None:
    name = word.partition("=")[0]
    if name.startswith("--"):
        return next((flag for flag in flags if flag.name == name[2:]), None)
    for letter in word[1:]:
        flag = next((flag for flag in flags if flag.letter == letter), None)
        if flag is None or flag.kind != "bool":
            return flag
    return None


def _holds_value(flag: Flag, word: str) -> bool:
    return "=" in word if word.startswith("--") else not word.endswith(flag.letter)


def _flag_names(flags: list[Flag], last: str) -> list[Candidate]:
    names = [(f"--{flag.name}", flag) for flag in flags]
    if not last.startswith("--"):
        names += [(f"-{flag.letter}", flag) for flag in flags if flag.letter]
    names.append(("--help", Flag("help", "", "bool", "Print usage")))
    found = {name: _note(flag) for name, flag in names if not flag.hidden}
    return _matching(sorted(found.items()), last)


def _note(flag: Flag) -> str:
    return flag.help.partition("\n")[0]


def _flag_value(flag: Flag, last: str, command: str, ask: Ask) -> Answer:
    key = f"{command} {flag.name}".strip()
    values = FLAG_VALUES.get(key) or FLAG_VALUES.get(flag.name)
    values = values or FLAG_VALUES_OF_KIND.get(flag.kind)
    if values is None:
        return FILES if "file" in flag.name or "FILE" in flag.help else NOTHING
    return _values(values, last, command, ask)


def _argument(command: Command, index: int, last: str, ask: Ask) -> Answer:
    """Complete the argument number ``index`` by what the usage line calls it."""
    names = _argument_names(command.usage)
    if not names or (index >= len(names) and not names[-1].endswith("...")):
        return NOTHING
    name = names[min(index, len(names) - 1)].rstrip(".")
    values = ARGUMENTS.get(name)
    return NOTHING if values is None else _values(values, last, command.words, ask)


def _argument_names(usage: str) -> list[str]:
    """Read ``[OPTIONS] CONTAINER [CONTAINER...]`` as its names: CONTAINER, CONTAINER...."""
    first_form = usage.partition("\n")[0].replace(" | ", "|").replace("[OPTIONS]", "")
    names = [re.sub(r"\[[:@][^]]*\]", "", word) for word in first_form.split()]
    return [name.strip("[]").replace("]", "") for name in names]


def _values(values: "str | tuple[str, ...]", last: str, command: str, ask: Ask) -> Answer:
    if values == "files":
        return FILES
    if isinstance(values, tuple):
        return "words", _matching([(value, "") for value in values], last)
    if values == "container-path":
        if not last or "/" in last or ":" in last:
            return FILES
        containers = _matching(ask("containers", command), last)
        return ("nospace", [(f"{n}:", note) for n, note in containers]) if containers else FILES
    return "words", _matching(ask(values, command), last)


def _matching(candidates: list[Candidate], last: str) -> list[Candidate]:
    return [(word, note) for word, note in candidates if word.startswith(last)]
