"""Cuts a Go template into text and actions, and an action into tokens."""

from typing import Any

Action = tuple[str, str]
Token = tuple[str, Any]

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}


def lex_actions(text: str) -> list[Action]:
    """Return ``("text", …)`` and ``("action", …)`` in order, with ``{{-`` and ``-}}`` applied.

    Raises:
        ValueError: an action that is not closed.
    """
    parts: list[Action] = []
    trim_next = False
    while True:
        before, opened, rest = text.partition("{{")
        if trim_next:
            before = before.lstrip()
        if not opened:
            if before:
                parts.append(("text", before))
            return parts
        inside, text = _until_close(rest)
        if inside.startswith("- "):
            before, inside = before.rstrip(), inside[2:]
        trim_next = inside.endswith(" -")
        inside = inside[:-2] if trim_next else inside
        if before:
            parts.append(("text", before))
        parts.append(("action", inside.strip()))


def _until_close(text: str) -> tuple[str, str]:
    quote = ""
    index = 0
    while index < len(text):
        char = text[index]
        if quote:
            if char == "\\" and quote == '"':
                index += 1
            elif char == quote:
                quote = ""
        elif char in "\"`'":
            quote = char
        elif text.startswith("}}", index):
            return text[:index], text[index + 2 :]
        index += 1
    raise ValueError("unclosed action")


def lex_pipeline(text: str) -> list[Token]:
    """Cut a pipeline into tokens: values, fields, variables, names, groups, ``|`` and ``:=``.

    Raises:
        ValueError: a character that begins nothing, or a bracket or string left open.
    """
    tokens, rest = _tokens(text, closing="")
    if rest:
        raise ValueError(f"unexpected {rest[0]!r} in command")
    return tokens


def _tokens(text: str, closing: str) -> tuple[list[Token], str]:
    tokens: list[Token] = []
    while True:
        text = text.lstrip()
        if not text:
            if closing:
                raise ValueError("unclosed left paren")
            return tokens, ""
        if closing and text[0] == closing:
            return tokens, text[1:]
        token, text = _token(text)
        tokens.append(token)


def _token(text: str) -> tuple[Token, str]:
    char = text[0]
    if char == "|":
        return ("pipe", "|"), text[1:]
    if text.startswith(":="):
        return ("declare", ":="), text[2:]
    if char == ",":
        return ("comma", ","), text[1:]
    if char == "=":
        return ("declare", "="), text[1:]
    if char == "(":
        inner, rest = _tokens(text[1:], closing=")")
        path, rest = _path(rest)
        return ("group", (inner, path)), rest
    if char == '"':
        return _quoted(text)
    if char == "`":
        content, _, rest = text[1:].partition("`")
        return ("value", content), rest
    if char == ".":
        path, rest = _path(text)
        return ("field", path), rest if path else text[1:]
    if char == "$":
        name, rest = _word(text[1:])
        path, rest = _path(rest)
        return ("variable", (name, path)), rest
    if char.isdigit() or (char in "+-" and text[1:2].isdigit()):
        return _number(text)
    name, rest = _word(text)
    if not name:
        raise ValueError(f"unexpected {char!r} in command")
    constants = {"true": True, "false": False, "nil": None}
    return (("value", constants[name]) if name in constants else ("name", name)), rest


def _word(text: str) -> tuple[str, str]:
    end = 0
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    return text[:end], text[end:]


def _path(text: str) -> tuple[list[str], str]:
    names = []
    while text.startswith("."):
        name, rest = _word(text[1:])
        if not name:
            break
        names.append(name)
        text = rest
    return names, text


def _quoted(text: str) -> tuple[Token, str]:
    out: list[str] = []
    index = 1
    while index < len(text):
        char = text[index]
        if char == '"':
            return ("value", "".join(out)), text[index + 1 :]
        if char == "\\" and index + 1 < len(text):
            index += 1
            out.append(_ESCAPES.get(text[index], text[index]))
        else:
            out.append(char)
        index += 1
    raise ValueError("unterminated quoted string")


def _number(text: str) -> tuple[Token, str]:
    end = 1
    while end < len(text) and (text[end].isalnum() or text[end] in "._"):
        end += 1
    word = text[:end]
    try:
        return ("value", int(word, 0)), text[end:]
    except ValueError:
        pass
    try:
        return ("value", float(word)), text[end:]
    except ValueError:
        raise ValueError(f"bad number syntax: {word!r}") from None
