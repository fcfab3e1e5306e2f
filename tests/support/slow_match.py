"""``.dockerignore`` by trying everything: slow, and simple enough to be right.

Docker matches in four ways. A pattern without special characters is a path; ``**`` before one
asks how a path ends, ``**`` behind one how it begins; all others are taken piece by piece.

Source: moby ``patternmatcher``, whose results these are; Go's ``filepath.Match`` for errors.
"""

import itertools
from collections.abc import Iterator, Sequence

_SPECIAL = frozenset("*?[]\\")


def slow_match(pattern: str, path: str) -> bool:
    """Say whether a cleaned pattern matches a whole path."""
    if not _SPECIAL.intersection(pattern):
        return pattern == path
    if pattern.startswith("**") and not _SPECIAL.intersection(pattern[2:]):
        return path.endswith(pattern[2:]) or path == pattern[2:].removeprefix("/")
    if pattern.endswith("**") and not _SPECIAL.intersection(pattern[:-2]):
        return path.startswith(pattern[:-2])
    return _by_pieces(pattern, path)


def _by_pieces(pattern: str, path: str) -> bool:
    if pattern == "":
        return path == ""
    if pattern in ("**", "**/"):
        return True
    if pattern.startswith("**"):
        rest = pattern[2:].removeprefix("/")
        starts = [0, *(n + 1 for n, character in enumerate(path) if character == "/")]
        return any(_by_pieces(rest, path[start:]) for start in starts)
    if pattern[0] == "*":
        ends = itertools.takewhile(lambda n: "/" not in path[:n], range(len(path) + 1))
        return any(_by_pieces(pattern[1:], path[end:]) for end in ends)
    if path == "":
        return False
    if pattern[0] == "?":
        return path[0] != "/" and _by_pieces(pattern[1:], path[1:])
    if pattern[0] == "[":
        end = _class_end(pattern)
        return _in_class(pattern[1 : end - 1], path[0]) and _by_pieces(pattern[end:], path[1:])
    if pattern[0] == "\\":
        pattern = pattern[1:]
    return pattern[0] == path[0] and _by_pieces(pattern[1:], path[1:])


def slow_ignores(lines: Sequence[tuple[bool, str]], path: str) -> bool:
    """Say whether a file is left out: the last line that matches it or a parent decides.

    Args:
        lines: whether it is an exception, and its cleaned pattern.
        path: of the file.
    """
    ignored = False
    for is_exception, pattern in lines:
        if any(slow_match(pattern, part) for part in _with_parents(path)):
            ignored = not is_exception
    return ignored


def _with_parents(path: str) -> Iterator[str]:
    return itertools.accumulate(path.split("/"), lambda above, name: f"{above}/{name}")


def _class_end(pattern: str) -> int:
    """Return the position behind the ``]`` of the class that the pattern begins with."""
    at = 2 if pattern[1] == "^" else 1
    while pattern[at] != "]":
        at += 2 if pattern[at] == "\\" else 1
    return at + 1


def _in_class(text: str, character: str) -> bool:
    is_negated = text.startswith("^")
    letters = list(text[1:] if is_negated else text)
    found = False
    while letters:
        low = high = _letter(letters)
        if letters[:1] == ["-"]:
            letters.pop(0)
            high = _letter(letters)
        found = found or low <= character <= high
    return found is not is_negated


def _letter(letters: list[str]) -> str:
    first = letters.pop(0)
    return letters.pop(0) if first == "\\" else first
