"""A Dockerfile's text to its nodes: directives, comments, continuations, heredocs.

A node is one instruction still in pieces: its keyword, its flags, the rest as text, and the
heredocs that follow it. What the rest means depends on the keyword: ``instructions.py``.

Source: Dockerfile reference, "Parser directives", "Escape", "Here-Documents".
"""

import re
from dataclasses import dataclass

from cutaway.build.errors import DockerfileError, Place

MAX_BYTES = 1 << 20
MAX_HEREDOCS = 64

_DIRECTIVE = re.compile(r"^#[ \t]*([A-Za-z][A-Za-z0-9]*)[ \t]*=[ \t]*(.+?)[ \t]*$")
_HEREDOC = re.compile(r"<<(-?)(\"[^\s<>\"']+\"|'[^\s<>\"']+'|[A-Za-z0-9_.]+)")
_KNOWN_DIRECTIVES = {"syntax", "escape", "check"}
_WITH_HEREDOCS = {"ADD", "COPY", "RUN"}


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A document inside a Dockerfile.

    Attributes:
        name: the word behind ``<<``, without quotes.
        content: the lines between, ending with a newline unless empty.
        expand: variables are expanded (the word was not quoted).
        strip_tabs: it was written ``<<-``; the tabs are already gone.
        raw: how it was written, ``<<-"EOF"``.
    """

    name: str
    content: str
    expand: bool
    strip_tabs: bool
    raw: str


@dataclass(frozen=True, slots=True)
class Node:
    """One instruction in pieces.

    Attributes:
        keyword: in capitals.
        flags: ``--name=value`` words in order, as written.
        rest: everything behind the flags, continuations joined.
        heredocs: in the order of their markers.
        place: where it stands.
        original: the instruction in one line, as history shows it.
    """

    keyword: str
    flags: tuple[str, ...]
    rest: str
    heredocs: tuple[Heredoc, ...]
    place: Place
    original: str


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A parsed file.

    Attributes:
        nodes: the instructions in order.
        escape: the escape character, a backslash or a backtick.
        syntax: the value of ``# syntax=``; kept, never fetched.
    """

    nodes: tuple[Node, ...]
    escape: str
    syntax: str


def parse_lines(text: str, file: str = "Dockerfile") -> Dockerfile:
    """Cut a Dockerfile into nodes.

    Args:
        text: its content.
        file: its name, for errors.

    Raises:
        DockerfileError: empty, too large, a bad directive, an unterminated heredoc.
    """
    if len(text) > MAX_BYTES:
        raise DockerfileError(f"the file is larger than {MAX_BYTES} bytes")
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    directives = _directives(lines, file)
    reader = _Reader(lines, directives.get("escape", "\\"), file)
    nodes = []
    while (node := reader.next_node()) is not None:
        nodes.append(node)
    if not nodes:
        raise DockerfileError("file with no instructions")
    return Dockerfile(tuple(nodes), reader.escape, directives.get("syntax", ""))


def _directives(lines: list[str], file: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = _DIRECTIVE.match(line.strip())
        name = match.group(1).lower() if match else ""
        if match is None or name not in _KNOWN_DIRECTIVES:
            break
        place = Place(number, number, line, file)
        if name in found:
            raise DockerfileError(f"only one {name} parser directive can be used", place)
        if name == "escape" and match.group(2) not in {"\\", "`"}:
            raise DockerfileError(
                f"invalid escape token '{match.group(2)}' does not match ` or \\",
                place,
                line.index("=") + 1,
            )
        found[name] = match.group(2)
    return found


def find_heredocs(text: str, escape: str = "\\") -> list[tuple[bool, str, bool, str]]:
    """Find heredoc markers outside quotes in a line.

    Returns:
        (strip tabs, name, expand, raw marker) of each, in order.
    """
    markers = []
    for match in _HEREDOC.finditer(text):
        if _is_quoted(text, match.start(), escape) or text[: match.start()].endswith("<"):
            continue
        word = match.group(2)
        name = word.strip("\"'")
        markers.append((match.group(1) == "-", name, name == word, match.group(0)))
    return markers


def _is_quoted(text: str, end: int, escape: str) -> bool:
    quote = ""
    index = 0
    while index < end:
        char = text[index]
        if char == escape and quote != "'":
            index += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        index += 1
    return bool(quote)


class _Reader:
    def __init__(self, lines: list[str], escape: str, file: str) -> None:
        self._lines = lines
        self._file = file
        self._index = 0
        self.escape = escape
        self._continued = re.compile(rf"^(.*?){re.escape(escape)}[ \t]*$", re.DOTALL)

    def next_node(self) -> Node | None:
        start = self._skip_to_instruction()
        if start is None:
            return None
        joined = self._joined()
        if not joined:  # a lone continuation character: an empty line
            return self.next_node()
        place = Place(start + 1, self._index, self._lines[start], self._file)
        keyword, flags, rest = _split(joined, place)
        heredocs: tuple[Heredoc, ...] = ()
        if self._may_have_heredocs(keyword, rest):
            heredocs = self._heredocs(rest, place)
        place = Place(start + 1, self._index, self._lines[start], self._file)
        original = " ".join([keyword, *flags, rest]).strip()
        return Node(keyword, flags, rest, heredocs, place, original)

    def _skip_to_instruction(self) -> int | None:
        while self._index < len(self._lines):
            line = self._lines[self._index].strip()
            if line and not line.startswith("#"):
                return self._index
            self._index += 1
        return None

    def _joined(self) -> str:
        """Join continued lines; comments and empty lines between them are left out."""
        parts = []
        first = True
        while self._index < len(self._lines):
            line = self._lines[self._index]
            stripped = line.lstrip()
            self._index += 1
            if not first and (stripped.startswith("#") or not stripped.rstrip()):
                continue
            match = self._continued.match(line)
            if match is None:
                parts.append(line.rstrip())
                break
            parts.append(match.group(1))
            first = False
        return "".join(parts).strip()

    def _may_have_heredocs(self, keyword: str, rest: str) -> bool:
        if keyword == "ONBUILD":
            keyword = rest.split(None, 1)[0].upper() if rest else ""
        return keyword in _WITH_HEREDOCS and "<<" in rest

    def _heredocs(self, rest: str, place: Place) -> tuple[Heredoc, ...]:
        heredocs = []
        markers = find_heredocs(rest, self.escape)
        if len(markers) > MAX_HEREDOCS:
            raise DockerfileError(f"more than {MAX_HEREDOCS} here-documents", place)
        for strip_tabs, name, expand, raw in markers:
            content = self._until(name, strip_tabs, place)
            heredocs.append(Heredoc(name, content, expand, strip_tabs, raw))
        return tuple(heredocs)

    def _until(self, name: str, strip_tabs: bool, place: Place) -> str:
        content: list[str] = []
        while self._index < len(self._lines):
            line = self._lines[self._index]
            self._index += 1
            line = line.lstrip("\t") if strip_tabs else line
            if line == name:
                return "".join(f"{part}\n" for part in content)
            content.append(line)
        raise DockerfileError(f"unterminated heredoc: no line that is {name}", place)


def _split(joined: str, place: Place) -> tuple[str, tuple[str, ...], str]:
    """Split an instruction into its keyword, its leading ``--flags`` and the rest."""
    keyword, *others = joined.split(None, 1)
    rest = others[0] if others else ""
    flags = []
    while rest.startswith("--") and (len(rest) == 2 or not rest[2].isspace()):
        flag, rest = _flag_word(rest)
        if flag == "--":
            break
        flags.append(flag)
    return keyword.upper(), tuple(flags), rest.strip()


def _flag_word(text: str) -> tuple[str, str]:
    """Take one word off, in which quotes may hold spaces."""
    quote = ""
    for index, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char.isspace():
            return _unquoted(text[:index]), text[index:].lstrip()
    return _unquoted(text), ""


def _unquoted(word: str) -> str:
    return word.replace('"', "").replace("'", "")
