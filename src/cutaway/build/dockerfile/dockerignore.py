"""``.dockerignore``: which files of a directory are not part of the build context.

Patterns are Go's ``filepath.Match`` with ``**`` for any number of directories; a leading ``!``
takes files back in; the last pattern that matches decides; a pattern that matches a directory
matches all below it.

Source: Dockerfile reference, ".dockerignore file"; moby ``patternmatcher`` (its results).
"""

import re
from dataclasses import dataclass

from cutaway.errors import InvalidParameter

_SPECIAL = frozenset("*?[]\\")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line of the file.

    Attributes:
        text: cleaned, without the ``!``.
        is_exception: it began with ``!``.
        regex: matches a whole slash-separated path.
    """

    text: str
    is_exception: bool
    regex: re.Pattern[str]


def parse_dockerignore(text: str) -> tuple[Pattern, ...]:
    """Read a ``.dockerignore``.

    Raises:
        InvalidParameter: a pattern that Go's matcher calls malformed.
    """
    patterns = []
    for raw in text.removeprefix("\ufeff").splitlines():
        if raw.startswith("#"):
            continue
        line = raw.strip()
        if not line:
            continue
        is_exception = line.startswith("!")
        line = line[1:].strip() if is_exception else line
        if is_exception and not line:
            raise InvalidParameter('illegal exclusion pattern: "!"')
        cleaned = _clean(line)
        if cleaned.startswith("!") and not is_exception:
            is_exception, cleaned = True, cleaned[1:]  # "./!x": moby looks again after cleaning
        if cleaned in {"", "."} and not is_exception:
            continue
        patterns.append(Pattern(cleaned, is_exception, compile_glob(cleaned)))
    return tuple(patterns)


def _clean(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part in {"", "."}:
            continue
        if part == "..":
            if parts:
                parts.pop()
            continue
        parts.append(part)
    return "/".join(parts)


def compile_glob(pattern: str) -> re.Pattern[str]:
    """Turn a pattern into a regular expression for whole paths, which means what moby's means.

    ``**`` is any number of directories; only before a plain text, or behind one, any characters.
    No two unbounded repetitions stand side by side, so matching is linear for each ``**``.

    Raises:
        InvalidParameter: what Go's matcher calls malformed: an open or empty ``[``, a trailing
            backslash.
    """
    if pattern.startswith("**") and not _SPECIAL.intersection(pattern[2:].removeprefix("/")):
        rest = pattern[2:]
        start = "(?:.*/)?" if rest.startswith("/") else ".*"
        return re.compile(start + re.escape(rest.removeprefix("/")), re.DOTALL)
    out = []
    index = 0
    while index < len(pattern):
        char = pattern[index]
        if char == "*":
            piece, index = _star(pattern, index)
            out.append(piece)
        elif char == "?":
            out.append("[^/]")
            index += 1
        elif char == "[":
            piece, index = _character_class(pattern, index)
            out.append(piece)
        elif char == "\\":
            out.append(re.escape(_escaped(pattern, index)))
            index += 2
        else:
            out.append(re.escape(char))
            index += 1
    try:
        return re.compile("".join(out), re.DOTALL)
    except re.error:
        raise _malformed(pattern) from None


def _star(pattern: str, index: int) -> tuple[str, int]:
    if pattern[index + 1 : index + 2] != "*":
        return "[^/]*", index + 1
    end = index + 2 + (pattern[index + 2 : index + 3] == "/")
    return (".*" if end == len(pattern) else "(?:.*/)?"), end


def _character_class(pattern: str, index: int) -> tuple[str, int]:
    end = index + 1
    negation = "^" if pattern[end : end + 1] == "^" else ""
    end += len(negation)
    members = ""
    while pattern[end : end + 1] != "]" or not members:
        low, end = _class_letter(pattern, end)
        members += low
        if pattern[end : end + 1] == "-":
            high, end = _class_letter(pattern, end + 1)
            members += f"-{high}"
    return f"[{negation}{members}]", end + 1


def _class_letter(pattern: str, index: int) -> tuple[str, int]:
    """Return one letter of a class, escaped, and where the next one is."""
    letter = pattern[index : index + 1]
    if letter in ("", "-", "]"):
        raise _malformed(pattern)
    if letter == "\\":
        return re.escape(_escaped(pattern, index)), index + 2
    return re.escape(letter), index + 1


def _escaped(pattern: str, index: int) -> str:
    if index + 1 >= len(pattern):
        raise _malformed(pattern)
    return pattern[index + 1]


def _malformed(pattern: str) -> InvalidParameter:
    return InvalidParameter(f"syntax error in pattern: {pattern}")


class IgnoreRules:
    """Decides for paths whether they are ignored."""

    def __init__(self, patterns: tuple[Pattern, ...]) -> None:
        self._patterns = patterns
        self._has_exceptions = any(p.is_exception for p in patterns)

    def ignores(self, path: str) -> bool:
        """Tell whether a file or directory is left out.

        Args:
            path: relative to the context, with slashes.
        """
        parts = path.split("/")
        ancestors = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
        ignored = False
        for pattern in self._patterns:
            if pattern.is_exception != ignored:
                continue
            if any(pattern.regex.fullmatch(ancestor) for ancestor in ancestors):
                ignored = not pattern.is_exception
        return ignored

    def may_contain_exception(self, directory: str) -> bool:
        """Tell whether an ignored directory must still be walked for files taken back in."""
        if not self._has_exceptions:
            return False
        prefix = directory + "/"
        for pattern in self._patterns:
            if not pattern.is_exception:
                continue
            literal = re.split(r"[*?\[\\]", pattern.text)[0]
            if literal.startswith(prefix) or prefix.startswith(literal):
                return True
        return False
