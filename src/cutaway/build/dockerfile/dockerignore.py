"""``.dockerignore``: which files of a directory are not part of the build context.

Patterns are Go's ``filepath.Match`` with ``**`` for any number of directories; a leading ``!``
takes files back in; the last pattern that matches decides; a pattern that matches a directory
matches all below it.

Source: Dockerfile reference, ".dockerignore file"; moby ``patternmatcher`` (its results).
"""

import re
from dataclasses import dataclass

from cutaway.errors import InvalidParameter


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
    """Turn a pattern into a regular expression for whole paths.

    No two unbounded repetitions stand side by side, so matching is linear for each ``**``.

    Raises:
        InvalidParameter: an open ``[`` or a trailing backslash.
    """
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
            if index + 1 >= len(pattern):
                raise InvalidParameter(f"syntax error in pattern: {pattern}")
            out.append(re.escape(pattern[index + 1]))
            index += 2
        else:
            out.append(re.escape(char))
            index += 1
    return re.compile("".join(out), re.DOTALL)


def _star(pattern: str, index: int) -> tuple[str, int]:
    end = index
    while pattern[end : end + 1] == "*":
        end += 1
    if end - index == 1:
        return "[^/]*", end
    if pattern[end : end + 1] == "/":
        return "(?:.*/)?", end + 1
    if end == len(pattern):
        return ".*", end
    # ``**x``: what stands before x may hold slashes.
    return ".*", end


def _character_class(pattern: str, index: int) -> tuple[str, int]:
    end = index + 1
    negated = pattern[end : end + 1] in {"^", "!"}
    end += negated
    members = ""
    while end < len(pattern) and (pattern[end] != "]" or not members):
        char = pattern[end]
        if char == "\\":
            end += 1
            if end >= len(pattern):
                break
            members += "\\" + pattern[end]
        else:
            members += "\\" + char if char in "[]^&~|" else char
        end += 1
    if end >= len(pattern):
        raise InvalidParameter(f"syntax error in pattern: {pattern}")
    try:
        re.compile(f"[{members}]")
    except re.error:
        raise InvalidParameter(f"syntax error in pattern: {pattern}") from None
    excluded = "^/" if negated else ""
    return f"(?!/)[{excluded}{members}]", end + 1


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
