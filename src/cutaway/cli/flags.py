r"""Flags as docker's command line takes them (the rules of Go's pflag).

A command declares its flags in the words of its help text, one a line::

    -e, --env list          Set environment variables
        --rm                Automatically remove the container when it exits

A word after the name is the value's type; without one the flag is a switch. ``\n`` breaks the line
of a help text; one that begins with ``(hidden)`` is not listed. argparse is not used:
it can't take both ``--rm=false`` and ``--rm IMAGE`` (see docs/adr/002).
"""

from typing import Any

from cutaway.cli.flag_values import (
    check_address,
    check_extra_host,
    check_sysctl,
    split_ulimit,
)
from cutaway.cli.units import parse_bytes, parse_cpus, parse_duration_ns
from cutaway.errors import InvalidParameter

LIST_TYPES = {
    "list",
    "map",
    "ulimit",
    "mount",
    "filter",
    "network",
    "strings",
    "gpu-request",
    "stringToString",
}

_CHECKS = {"add-host": check_extra_host, "dns": check_address, "sysctl": check_sysctl}
_OLD_NAMES = {"net": "network", "net-alias": "network-alias", "dns-opt": "dns-option"}


class UsageError(InvalidParameter):
    """The command line can't be understood; printed with the command's usage."""


class PlainFailure(InvalidParameter):
    """Told without the program's name or a hint, and worth exit code 1, as docker's client does."""


class UnreadableTemplate(InvalidParameter):
    """A ``--format`` that is no Go template; ``str(error)`` is Go's message."""


class Flag:
    """One flag of a command.

    Attributes:
        name: the long name without dashes.
        letter: the short name, or empty.
        kind: ``bool`` or the word of the help text: ``string list int bytes duration …``.
        help: the rest of its line; `` (default X)`` at its end is its default.
        hidden: it works, but help does not list it.
    """

    __slots__ = ("default", "help", "hidden", "kind", "letter", "name")

    def __init__(self, name: str, letter: str, kind: str, text: str) -> None:
        self.name = name
        self.letter = letter
        self.kind = kind
        self.hidden = text.startswith("(hidden)")
        self.help = text.removeprefix("(hidden)").strip().replace("\\n", "\n")
        self.default = self._default()

    @property
    def title(self) -> str:
        """The flag as error messages name it: ``-m, --memory``."""
        return f"-{self.letter}, --{self.name}" if self.letter else f"--{self.name}"

    def _default(self) -> Any:
        if self.kind in LIST_TYPES:
            return []
        _, found, text = self.help.rpartition("(default ")
        if found and text.endswith(")"):
            text = text.removesuffix(")").strip('"')
            return (text == "true") if self.kind == "bool" else self.parse(text)
        return {"bool": False, "string": ""}.get(self.kind)

    def parse(self, text: str) -> Any:
        """Turn the text after the flag into its value.

        Raises:
            UsageError: in pflag's words.
        """
        try:
            return self._parse(text)
        except ValueError as error:
            raise UsageError(
                f'invalid argument "{text}" for "{self.title}" flag: {error}'
            ) from None

    def _parse(self, text: str) -> Any:
        if self.kind == "bool":
            if text.lower() in {"1", "t", "true"}:
                return True
            if text.lower() in {"0", "f", "false"}:
                return False
            raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
        if self.kind in {"int", "uint16", "uint"}:
            number = _parse_int(text)
            if number < 0 and self.kind != "int":
                raise ValueError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
            return number
        if self.kind == "bytes":
            return -1 if text == "-1" else parse_bytes(text)
        if self.kind == "duration":
            return parse_duration_ns(text)
        if self.kind == "decimal":
            return parse_cpus(text)
        self._check_text(text)
        return text

    def _check_text(self, text: str) -> None:
        if self.kind == "ulimit":
            split_ulimit(text)
        if self.name in _CHECKS:
            _CHECKS[self.name](text)
        if self.kind == "filter" and "=" not in text:
            raise ValueError("bad format of filter (expected name=value)")
        if self.name == "env" and text.startswith("="):
            raise ValueError(f"invalid environment variable: {text}")


def _parse_int(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


class Values(dict[str, Any]):
    """Parsed flags by long name, every flag present; ``given`` holds those that were typed."""

    def __init__(self, flags: list[Flag]) -> None:
        super().__init__(
            {f.name: list(f.default) if f.kind in LIST_TYPES else f.default for f in flags}
        )
        self.given: set[str] = set()


def declare(text: str) -> list[Flag]:
    """Read flag declarations, one a line, as this module's docstring shows them."""
    flags = []
    for line in text.splitlines():
        if not line.strip():
            continue
        left, _, words = line.strip().partition("  ")
        letter = ""
        if not left.startswith("--"):
            letter, left = left[1], left[4:]
        name, _, kind = left.strip().removeprefix("--").partition(" ")
        flags.append(Flag(name, letter, kind.strip() or "bool", words.strip()))
    return flags


class _Parser:
    def __init__(self, flags: list[Flag]) -> None:
        self.by_name = {f.name: f for f in flags}
        self.by_letter = {f.letter: f for f in flags if f.letter}
        self.values = Values(flags)

    def store(self, flag: Flag, text: str) -> None:
        value = flag.parse(text)
        if flag.kind in LIST_TYPES:
            self.values[flag.name].append(value)
        else:
            self.values[flag.name] = value
        self.values.given.add(flag.name)

    def long(self, word: str, rest: list[str]) -> None:
        name, equals, text = word[2:].partition("=")
        flag = self.by_name.get(name) or self.by_name.get(_OLD_NAMES.get(name, ""))
        if flag is None:
            raise UsageError(f"unknown flag: --{name}{self._meant(name)}")
        if not equals:
            if flag.kind == "bool":
                text = "true"
            elif rest:
                text = rest.pop(0)
            else:
                raise UsageError(f"flag needs an argument: --{name}")
        self.store(flag, text)

    def _meant(self, name: str) -> str:
        from difflib import get_close_matches

        names = [flag.name for flag in self.by_name.values() if not flag.hidden]
        close = get_close_matches(name, names, n=1, cutoff=0.75)
        return f"\n\nDid you mean '--{close[0]}'?" if close else ""

    def short(self, word: str, rest: list[str]) -> None:
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            flag = self.by_letter.get(letter)
            if flag is None:
                raise UsageError(f"unknown shorthand flag: '{letter}' in {word}")
            if letters.startswith("="):
                return self.store(flag, letters[1:])
            if flag.kind == "bool":
                self.store(flag, "true")
                continue
            if not letters and not rest:
                raise UsageError(f"flag needs an argument: '{letter}' in {word}")
            return self.store(flag, letters or rest.pop(0))


def parse(words: list[str], flags: list[Flag], *, interspersed: bool) -> tuple[Values, list[str]]:
    """Split a command line into flag values and positional arguments.

    Args:
        words: what was typed behind the command.
        flags: what the command knows; ``--help`` and ``-h`` (if free) are the caller's.
        interspersed: flags may follow arguments. False for ``run``, ``exec`` and ``create``, where
            everything behind the first argument belongs to the container.

    Raises:
        UsageError: an unknown flag, a missing or a malformed value.
    """
    parser = _Parser(flags)
    rest = list(words)
    arguments: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            arguments += rest
            break
        if not word.startswith("-") or word == "-":
            arguments.append(word)
            if not interspersed:
                arguments += rest
                break
        elif word.startswith("--"):
            parser.long(word, rest)
        else:
            parser.short(word, rest)
    return parser.values, arguments
