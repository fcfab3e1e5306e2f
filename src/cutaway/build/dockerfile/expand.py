"""Variables and quotes in a Dockerfile: ``$name``, ``${name:-word}``, ``"…"``, ``'…'``.

Source: Dockerfile reference, "Environment replacement"; POSIX shell, "Parameter Expansion".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from re import compile as compile_pattern

from cutaway.errors import InvalidParameter

_SPECIAL_PARAMETERS = "@*#?-$!"


class ExpansionError(InvalidParameter):
    """A word with an open quote or brace, a bad modifier, or a required variable that is unset."""


@dataclass(slots=True)
class _Cursor:
    text: str
    index: int = 0

    def peek(self) -> str:
        return self.text[self.index] if self.index < len(self.text) else ""

    def take(self) -> str:
        char = self.peek()
        self.index += len(char)
        return char


class Expander:
    """Expands words with one set of variables.

    Args:
        variables: by name.
        escape: the file's escape character.
    """

    def __init__(self, variables: Mapping[str, str], escape: str = "\\") -> None:
        self._variables = variables
        self._escape = escape

    def word(self, text: str) -> str:
        """Expand one word; quotes are removed, spaces kept.

        Raises:
            ExpansionError: see the class.
        """
        pieces = self._pieces(_Cursor(text), stop="")
        return "".join(piece for piece, _ in pieces)

    def words(self, text: str) -> list[str]:
        """Expand a text and split it at unquoted white space, also that of variables."""
        words: list[str] = []
        current: list[str] = []
        is_open = False
        for piece, quoted in self._pieces(_Cursor(text), stop=""):
            if quoted:
                current.append(piece)
                is_open = True
                continue
            for char in piece:
                if char.isspace():
                    if is_open:
                        words.append("".join(current))
                    current, is_open = [], False
                else:
                    current.append(char)
                    is_open = True
        if is_open:
            words.append("".join(current))
        return words

    def document(self, text: str) -> str:
        """Expand the variables of a heredoc; its quotes stay as they are.

        A backslash is taken away, whatever comes behind it and whatever the file's escape
        character: so does BuildKit.

        Raises:
            ExpansionError: see the class.
        """
        cursor = _Cursor(text)
        out = []
        while char := cursor.take():
            if char == "$":
                out.append(self._variable(cursor))
            elif char == "\\":
                out.append(cursor.take())
            else:
                out.append(char)
        return "".join(out)

    def _pieces(self, cursor: _Cursor, stop: str) -> list[tuple[str, bool]]:
        """Expand up to ``stop``; returns (text, was quoted) pieces."""
        pieces: list[tuple[str, bool]] = []
        while (char := cursor.peek()) and char != stop:
            if char == "'":
                cursor.take()
                pieces.append((self._until_single(cursor), True))
            elif char == '"':
                cursor.take()
                pieces.append((self._until_double(cursor), True))
            elif char == "$":
                cursor.take()
                pieces.append((self._variable(cursor), False))
            elif char == self._escape:
                cursor.take()
                pieces.append((cursor.take(), True))
            else:
                pieces.append((cursor.take(), False))
        return pieces

    def _until_single(self, cursor: _Cursor) -> str:
        end = cursor.text.find("'", cursor.index)
        if end < 0:
            raise ExpansionError("unexpected end of statement while looking for matching '")
        text = cursor.text[cursor.index : end]
        cursor.index = end + 1
        return text

    def _until_double(self, cursor: _Cursor) -> str:
        out = []
        while (char := cursor.peek()) != '"':
            if not char:
                raise ExpansionError('unexpected end of statement while looking for matching "')
            cursor.take()
            if char == "$":
                out.append(self._variable(cursor))
            elif char == self._escape and cursor.peek() in {'"', "$", self._escape}:
                out.append(cursor.take())
            else:
                out.append(char)
        cursor.take()
        return "".join(out)

    def _variable(self, cursor: _Cursor) -> str:
        if cursor.peek() != "{":
            name = _name(cursor)
            return self._variables.get(name, "") if name else "$"
        cursor.take()
        name = _name(cursor)
        if not name:
            raise ExpansionError(f"bad substitution: {cursor.text}")
        if cursor.peek() == "}":
            cursor.take()
            return self._variables.get(name, "")
        return self._modified(name, cursor)

    def _modified(self, name: str, cursor: _Cursor) -> str:
        modifier = cursor.take()
        value = self._variables.get(name)
        if modifier in {":", "-", "+", "?"}:
            is_set = value is not None
            if modifier == ":":
                modifier = cursor.take()
                is_set = bool(value)
            return self._conditional(name, modifier, value if is_set else None, cursor)
        if modifier in {"#", "%", "/"}:
            is_double = cursor.peek() == modifier
            if is_double:
                cursor.take()
            return self._pattern(modifier, is_double, value or "", cursor)
        raise ExpansionError(f"unsupported modifier ({modifier}) in substitution")

    def _closed(self, cursor: _Cursor, stop: str = "}") -> str:
        text = "".join(piece for piece, _ in self._pieces(cursor, stop=stop))
        if cursor.take() != stop:
            raise ExpansionError(f"missing '{stop}' in substitution: {cursor.text}")
        return text

    def _conditional(self, name: str, modifier: str, value: str | None, cursor: _Cursor) -> str:
        word = self._closed(cursor)
        if modifier == "-":
            return word if value is None else value
        if modifier == "+":
            return "" if value is None else word
        if modifier == "?":
            if value is None:
                raise ExpansionError(f"{name}: {word or 'is not allowed to be unset'}")
            return value
        raise ExpansionError(f"unsupported modifier ({modifier}) in substitution")

    def _pattern(self, modifier: str, is_double: bool, value: str, cursor: _Cursor) -> str:
        if modifier != "/":
            matches = _matcher(self._closed(cursor))
            if modifier == "#":
                return _without_prefix(value, matches, longest=is_double)
            return _without_suffix(value, matches, longest=is_double)
        start = cursor.index
        pattern = "".join(p for p, _ in self._pieces(cursor, stop="/"))
        if cursor.peek() != "/":
            cursor.index = start
            raise ExpansionError(f"invalid pattern replacement in substitution: {cursor.text}")
        cursor.take()
        replacement = self._closed(cursor)
        return _replaced(value, _matcher(pattern), replacement, everywhere=is_double)


def _name(cursor: _Cursor) -> str:
    if cursor.peek() and cursor.peek() in _SPECIAL_PARAMETERS:
        return cursor.take()  # of a shell: nothing has a value here
    start = cursor.index
    if cursor.peek().isdigit():
        while cursor.peek().isdigit():
            cursor.take()
        return cursor.text[start : cursor.index]
    while (char := cursor.peek()) and (char.isalnum() or char == "_") and char.isascii():
        cursor.take()
    return cursor.text[start : cursor.index]


Matches = Callable[[str], bool]


def _matcher(pattern: str) -> Matches:
    compiled = compile_pattern(translate(pattern))
    return lambda text: compiled.match(text) is not None


def _without_prefix(value: str, matches: Matches, *, longest: bool) -> str:
    ends = range(len(value) + 1)
    for end in reversed(ends) if longest else ends:
        if matches(value[:end]):
            return value[end:]
    return value


def _without_suffix(value: str, matches: Matches, *, longest: bool) -> str:
    starts = range(len(value) + 1)
    for start in starts if longest else reversed(starts):
        if matches(value[start:]):
            return value[:start]
    return value


def _replaced(value: str, matches: Matches, replacement: str, *, everywhere: bool) -> str:
    out = []
    index = 0
    while index < len(value):
        end = next((e for e in range(len(value), index, -1) if matches(value[index:e])), None)
        if end is None:
            out.append(value[index])
            index += 1
            continue
        out.append(replacement)
        index = end
        if not everywhere:
            break
    return "".join(out) + value[index:]
