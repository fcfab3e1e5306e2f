"""Cuts a template into text and tokens, each with its place."""

from typing import NamedTuple

SIMPLE = {"|": "pipe", ",": "comma", "(": "left", ")": "right"}
_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"',
}  # fmt: skip
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}


class Token(NamedTuple):
    """One piece of a template.

    Attributes:
        kind: ``text``, ``open`` and ``close`` of an action, ``field`` (``.Name``), ``dot``,
            ``variable`` (``$x``), ``word``, ``string``, ``char``, ``number``, ``declare`` (``:=``),
            ``assign``, ``pipe``, ``comma``, ``left``, ``right``, ``space`` or ``end``.
        text: as written.
        position: how many characters come before it.
    """

    kind: str
    text: str
    position: int


def lex(text: str) -> list[Token]:
    """Return the tokens of a template; ``end`` is the last.

    Raises:
        ValueError: an action that is not closed, or a character that begins nothing.
    """
    tokens: list[Token] = []
    place, trim = 0, False
    while True:
        start = text.find("{{", place)
        piece = text[place : start if start >= 0 else len(text)]
        if trim:
            place += len(piece) - len(piece.lstrip(" \t\r\n"))
            piece = piece.lstrip(" \t\r\n")
        opened = start + 2
        if start >= 0 and text[opened : opened + 1] == "-" and text[opened + 1 : opened + 2] in {
            " ", "\t", "\r", "\n",
        }:  # fmt: skip
            piece = piece.rstrip(" \t\r\n")
            opened += 2
        if piece:
            tokens.append(Token("text", piece, place))
        if start < 0:
            return [*tokens, Token("end", "", len(text))]
        place, trim = _lex_action(text, opened, tokens)


def _lex_action(text: str, place: int, tokens: list[Token]) -> tuple[int, bool]:
    """Add an action's tokens; returns (where the text goes on, whether to trim it)."""
    comment = text.startswith("/*", place)
    if comment:
        place = text.find("*/", place) + 2
        if place < 2:
            raise ValueError("unclosed comment")
    else:
        tokens.append(Token("open", "{{", place - 2))
    while True:
        trimmed = _trimming_end(text, place)
        if trimmed or text.startswith("}}", place):
            if not comment:
                tokens.append(Token("close", "}}", place))
            return (trimmed or place + 2), bool(trimmed)
        if comment:
            raise ValueError("comment ends before closing delimiter")
        token = _token(text, place)
        tokens.append(token)
        place += len(token.text)


def _trimming_end(text: str, place: int) -> int:
    """Return where `` -}}`` at ``place`` ends, 0 when there is none."""
    rest = text[place : place + 4]
    return place + 4 if rest[:1] in {" ", "\t", "\r", "\n"} and rest[1:] == "-}}" else 0


def _token(text: str, place: int) -> Token:
    char = text[place : place + 1]
    if not char or char == "\n" and "}}" not in text[place:]:
        raise ValueError("unclosed action")
    if char in " \t\r\n":
        return Token("space", _run(text, place, " \t\r\n", stop="-}}"), place)
    if char in SIMPLE:
        return Token(SIMPLE[char], char, place)
    if text.startswith(":=", place):
        return Token("declare", ":=", place)
    if char == "=":
        return Token("assign", char, place)
    if char in "\"'`":
        return _quoted(text, place)
    if char == ".":
        name = _word(text, place + 1)
        if not name and text[place + 1 : place + 2].isdigit():
            return _number(text, place)
        return Token("field" if name else "dot", char + name, place)
    if char == "$":
        return Token("variable", char + _word(text, place + 1), place)
    if char.isdigit() or char in "+-" and text[place + 1 : place + 2].isdigit():
        return _number(text, place)
    word = _word(text, place)
    if not word:
        raise ValueError(f"unexpected {_shown(char)} in command")
    return Token("word", word, place)


def _shown(char: str) -> str:
    return f'"{char}"' if char.isprintable() else f"bad character U+{ord(char):04X}"


def _run(text: str, place: int, chars: str, *, stop: str) -> str:
    end = place + 1
    while end < len(text) and text[end] in chars and not text.startswith(stop, end + 1):
        end += 1
    return text[place:end]


def _word(text: str, place: int) -> str:
    end = place
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    return text[place:end]


def _quoted(text: str, place: int) -> Token:
    mark = text[place]
    end = place + 1
    while end < len(text) and text[end] != mark:
        if mark != "`" and text[end] == "\n":
            break
        end += 2 if text[end] == "\\" and mark != "`" else 1
    if end >= len(text) or text[end] != mark:
        what = {"`": "raw quoted string", '"': "quoted string", "'": "character constant"}
        raise ValueError(f"unterminated {what[mark]}")
    return Token("char" if mark == "'" else "string", text[place : end + 1], place)


def _number(text: str, place: int) -> Token:
    end = place + 1
    while end < len(text) and (
        text[end].isalnum() or text[end] in "._" or text[end] in "+-" and text[end - 1] in "eE"
    ):
        end += 1
    return Token("number", text[place:end], place)


def number_value(text: str) -> int | float:
    """Read a number as Go writes it.

    Raises:
        ValueError: it is none.
    """
    digits = text.lstrip("+-")
    octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
    try:
        return int(text.replace("0", "0o", 1) if octal else text, 0)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'bad number syntax: "{text}"') from None


def string_value(text: str) -> str:
    """Read a quoted string, raw string or character constant.

    Raises:
        ValueError: an escape that Go doesn't have.
    """
    inside = text[1:-1]
    if text[0] == "`":
        return inside
    out, index = [], 0
    while index < len(inside):
        char = inside[index]
        index += 1
        if char != "\\":
            out.append(char)
            continue
        kind = inside[index : index + 1]
        index += 1
        if kind in _ESCAPES:
            out.append(_ESCAPES[kind])
        elif kind in _HEX_DIGITS:
            digits = inside[index : index + _HEX_DIGITS[kind]]
            try:
                out.append(chr(int(digits, 16)))
            except ValueError:
                raise ValueError(f"invalid syntax: {text}") from None
            index += len(digits)
        else:
            raise ValueError(f"invalid syntax: {text}")
    return "".join(out)
