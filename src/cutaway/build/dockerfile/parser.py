"""Nodes to typed instructions: one small function a keyword."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from cutaway.build.dockerfile import instructions as ins
from cutaway.build.dockerfile.durations import parse_duration_ns
from cutaway.build.dockerfile.lines import Dockerfile, Node, parse_lines
from cutaway.build.errors import DockerfileError, suggestion


@dataclass(slots=True)
class Parsed:
    """A Dockerfile as instructions.

    Attributes:
        instructions: in order.
        escape: the escape character.
        warnings: what works but should be written otherwise, one sentence each.
    """

    instructions: tuple[ins.Instruction, ...]
    escape: str
    warnings: list[str] = field(default_factory=list)


def parse_dockerfile(text: str, file: str = "Dockerfile") -> Parsed:
    """Read a whole Dockerfile.

    Args:
        text: its content.
        file: its name, for errors.

    Raises:
        DockerfileError: with line, text, caret and suggestion.
    """
    dockerfile = parse_lines(text, file)
    parser = _NodeParser(dockerfile)
    made = tuple(parser.instruction(node) for node in dockerfile.nodes)
    return Parsed(made, dockerfile.escape, parser.warnings)


def parse_trigger(expression: str, escape: str = "\\") -> ins.Instruction:
    """Read the instruction that an ONBUILD kept.

    Raises:
        DockerfileError: it is not one instruction, or one that may not be a trigger.
    """
    parsed = parse_dockerfile(expression)
    if len(parsed.instructions) != 1:
        raise DockerfileError(f"ONBUILD trigger is not one instruction: {expression}")
    instruction = parsed.instructions[0]
    _check_trigger(type(instruction).__name__.upper(), None)
    return instruction


def _check_trigger(keyword: str, node: Node | None) -> None:
    if keyword in {"ONBUILD", "FROM", "MAINTAINER"}:
        text = (
            "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"
            if keyword == "ONBUILD"
            else f"{keyword} isn't allowed as an ONBUILD trigger"
        )
        raise DockerfileError(text, node.place if node else None)


class _Flags:
    """The flags of one instruction, checked off as they are read."""

    def __init__(self, node: Node, known: tuple[str, ...]) -> None:
        self._node = node
        self._values: dict[str, list[str | None]] = {}
        for flag in node.flags:
            name, equals, value = flag.removeprefix("--").partition("=")
            if name not in known:
                raise node_error(
                    node,
                    f"unknown flag: --{name}{suggestion(f'--{name}', [f'--{k}' for k in known])}",
                    f"--{name}",
                )
            self._values.setdefault(name, []).append(value if equals else None)

    def text(self, name: str, default: str = "") -> str:
        values = self.texts(name)
        if len(values) > 1:
            raise node_error(self._node, f"duplicate flag specified: {name}", f"--{name}")
        return values[0] if values else default

    def texts(self, name: str) -> tuple[str, ...]:
        values = self._values.get(name, [])
        if None in values or "" in values:
            raise node_error(self._node, f"missing a value on flag: {name}", f"--{name}")
        return tuple(v for v in values if v is not None)

    def switch(self, name: str) -> bool | None:
        values = self._values.get(name)
        if values is None:
            return None
        text = (values[-1] if values[-1] is not None else "true").lower()
        if text not in {"true", "false"}:
            raise node_error(
                self._node, f"expecting boolean value for flag {name}, not: {text}", f"--{name}"
            )
        return text == "true"


def node_error(node: Node, message: str, at: str = "") -> DockerfileError:
    """Return an error whose caret points at ``at`` in the node's first line."""
    column = node.place.text.find(at) if at else 0
    return DockerfileError(message, node.place, max(column, 0))


def parse_json_words(text: str) -> tuple[str, ...] | None:
    """Read ``["a", "b"]``; None when the text is not a JSON list of strings."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return tuple(value)


def split_words(text: str, escape: str) -> list[str]:
    """Split at white space outside quotes; quotes and escapes are kept for the expansion."""
    words: list[str] = []
    current, quote, index = "", "", 0
    while index < len(text):
        char = text[index]
        if char == escape and quote != "'" and index + 1 < len(text):
            current += text[index : index + 2]
            index += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char.isspace():
            if current:
                words.append(current)
            current, index = "", index + 1
            continue
        current += char
        index += 1
    if current:
        words.append(current)
    return words


class _NodeParser:
    def __init__(self, dockerfile: Dockerfile) -> None:
        self._escape = dockerfile.escape
        self.warnings: list[str] = []

    def instruction(self, node: Node) -> ins.Instruction:
        parse = _PARSERS.get(node.keyword)
        if parse is None:
            known = list(_PARSERS)
            raise node_error(
                node,
                f"unknown instruction: {node.keyword}{suggestion(node.keyword, known)}",
                node.place.text.split()[0],
            )
        needs_words = node.keyword not in {"CMD", "ENTRYPOINT"}
        if needs_words and not node.rest and not node.heredocs:
            raise node_error(node, f"{node.keyword} requires {_needs(node.keyword)}")
        return parse(self, node)

    def _flags(self, node: Node, *known: str) -> _Flags:
        return _Flags(node, known)

    def _words(self, node: Node) -> list[str]:
        return split_words(node.rest, self._escape)

    def _command(self, node: Node) -> tuple[tuple[str, ...], bool]:
        words = parse_json_words(node.rest)
        if words is not None:
            return words, False
        if node.rest.startswith("["):
            self.warnings.append(
                f"line {node.place.line}: {node.keyword} begins with [ but is no JSON list of "
                "double-quoted strings: it is run by the shell"
            )
        return ((node.rest,) if node.rest else ()), bool(node.rest)

    def from_(self, node: Node) -> ins.From:
        flags = self._flags(node, "platform")
        words = node.rest.split()
        if len(words) == 3 and words[1].upper() == "AS":
            name = words[2].lower()
            if not _is_stage_name(name):
                raise node_error(
                    node,
                    f'invalid name for build stage: "{words[2]}", name can\'t start with a number '
                    "or contain symbols",
                    words[2],
                )
        elif len(words) == 1:
            name = ""
        else:
            raise node_error(node, "FROM requires either one or three arguments")
        return ins.From(
            place=node.place,
            original=node.original,
            image=words[0],
            stage_name=name,
            platform=flags.text("platform"),
        )

    def arg(self, node: Node) -> ins.Arg:
        self._flags(node)
        pairs: list[tuple[str, str | None]] = []
        for word in self._words(node):
            name, equals, value = word.partition("=")
            if not name:
                raise node_error(node, "ARG names can not be blank")
            pairs.append((name, value if equals else None))
        return ins.Arg(place=node.place, original=node.original, pairs=tuple(pairs))

    def _pairs(self, node: Node) -> tuple[tuple[str, str], ...]:
        self._flags(node)
        words = self._words(node)
        if "=" not in words[0]:
            name, *rest = node.rest.split(None, 1)
            if not rest:
                raise node_error(node, f"{node.keyword} must have two arguments")
            self.warnings.append(
                f'line {node.place.line}: "{node.keyword} key value" should be written '
                f'"{node.keyword} key=value"'
            )
            return ((name, rest[0]),)
        pairs = []
        for word in words:
            name, equals, value = word.partition("=")
            if not equals:
                raise node_error(
                    node,
                    f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value',
                    word,
                )
            if not name:
                raise node_error(node, f"{node.keyword} names can not be blank", word)
            pairs.append((name, value))
        return tuple(pairs)

    def env(self, node: Node) -> ins.Env:
        return ins.Env(place=node.place, original=node.original, pairs=self._pairs(node))

    def label(self, node: Node) -> ins.Label:
        return ins.Label(place=node.place, original=node.original, pairs=self._pairs(node))

    def run(self, node: Node) -> ins.Run:
        flags = self._flags(node, "mount", "network", "security")
        network, security = flags.text("network", "default"), flags.text("security", "sandbox")
        if network not in {"default", "none", "host"}:
            raise node_error(node, f"invalid network mode {network!r} for RUN", "--network")
        if security not in {"sandbox", "insecure"}:
            raise node_error(node, f"security {security!r} is not valid", "--security")
        words, is_shell = self._command(node)
        return ins.Run(
            place=node.place,
            original=node.original,
            words=words,
            is_shell=is_shell,
            heredocs=node.heredocs,
            mounts=flags.texts("mount"),
            network=network,
            security=security,
        )

    def copy(self, node: Node) -> ins.Copy:
        flags = self._flags(node, "from", "chown", "chmod", "link", "parents", "exclude")
        return self._copy(node, flags, is_add=False)

    def add(self, node: Node) -> ins.Copy:
        flags = self._flags(
            node, "chown", "chmod", "link", "exclude", "checksum", "keep-git-dir", "unpack"
        )
        return self._copy(node, flags, is_add=True)

    def _copy(self, node: Node, flags: _Flags, *, is_add: bool) -> ins.Copy:
        words = list(parse_json_words(node.rest) or self._words(node))
        if len(words) < 2:
            raise node_error(
                node,
                f"{node.keyword} requires at least two arguments, but only one was provided. "
                "Destination could not be determined",
            )
        return ins.Copy(
            place=node.place,
            original=node.original,
            sources=tuple(words[:-1]),
            destination=words[-1],
            heredocs=node.heredocs,
            is_add=is_add,
            from_="" if is_add else flags.text("from"),
            chown=flags.text("chown"),
            chmod=flags.text("chmod"),
            link=bool(flags.switch("link")),
            parents=bool(flags.switch("parents")) if not is_add else False,
            exclude=flags.texts("exclude"),
            checksum=flags.text("checksum") if is_add else "",
            keep_git_dir=bool(flags.switch("keep-git-dir")) if is_add else False,
            unpack=flags.switch("unpack") if is_add else None,
        )

    def cmd(self, node: Node) -> ins.Cmd:
        self._flags(node)
        words, is_shell = self._command(node)
        return ins.Cmd(place=node.place, original=node.original, words=words, is_shell=is_shell)

    def entrypoint(self, node: Node) -> ins.Entrypoint:
        self._flags(node)
        words, is_shell = self._command(node)
        return ins.Entrypoint(
            place=node.place, original=node.original, words=words, is_shell=is_shell
        )

    def shell(self, node: Node) -> ins.Shell:
        self._flags(node)
        words = parse_json_words(node.rest)
        if not words:
            raise node_error(node, "SHELL requires the arguments to be in JSON form", "SHELL")
        return ins.Shell(place=node.place, original=node.original, words=words)

    def healthcheck(self, node: Node) -> ins.Healthcheck:
        flags = self._flags(
            node, "interval", "timeout", "start-period", "start-interval", "retries"
        )
        kind, *rest = node.rest.split(None, 1)
        if kind.upper() == "NONE":
            if rest or node.flags:
                raise node_error(node, "HEALTHCHECK NONE takes no arguments")
            return ins.Healthcheck(place=node.place, original=node.original, test=("NONE",))
        if kind.upper() != "CMD":
            raise node_error(
                node,
                f"Unknown type {kind!r} in HEALTHCHECK (try CMD){suggestion(kind, ['CMD'])}",
                kind,
            )
        command = rest[0] if rest else ""
        words = parse_json_words(command)
        if not command or words == ():
            raise node_error(node, "Missing command after HEALTHCHECK CMD")
        test = ("CMD", *words) if words else ("CMD-SHELL", command)
        return ins.Healthcheck(
            place=node.place,
            original=node.original,
            test=test,
            interval_ns=self._duration(node, flags, "interval"),
            timeout_ns=self._duration(node, flags, "timeout"),
            start_period_ns=self._duration(node, flags, "start-period"),
            start_interval_ns=self._duration(node, flags, "start-interval"),
            retries=self._retries(node, flags),
        )

    @staticmethod
    def _duration(node: Node, flags: _Flags, name: str) -> int:
        text = flags.text(name)
        if not text:
            return 0
        try:
            value = parse_duration_ns(text)
        except ValueError as error:
            raise node_error(node, f"invalid value for --{name}: {error}", f"--{name}") from None
        if value and value < 1_000_000:
            raise node_error(node, f"Interval {text!r} cannot be less than 1ms", f"--{name}")
        return value

    @staticmethod
    def _retries(node: Node, flags: _Flags) -> int:
        text = flags.text("retries", "0")
        if not text.isdecimal():
            raise node_error(node, f"--retries must be at least 0 (not {text})", "--retries")
        return int(text)

    def expose(self, node: Node) -> ins.Expose:
        self._flags(node)
        ports = tuple(self._words(node))
        return ins.Expose(place=node.place, original=node.original, ports=ports)

    def volume(self, node: Node) -> ins.Volume:
        self._flags(node)
        paths = parse_json_words(node.rest)
        paths = tuple(self._words(node)) if paths is None else paths
        if not paths or "" in (p.strip() for p in paths):
            raise node_error(node, "VOLUME specified can not be an empty string")
        return ins.Volume(place=node.place, original=node.original, paths=paths)

    def _single(self, node: Node) -> str:
        self._flags(node)
        return node.rest

    def user(self, node: Node) -> ins.User:
        return ins.User(place=node.place, original=node.original, user=self._single(node))

    def workdir(self, node: Node) -> ins.Workdir:
        return ins.Workdir(place=node.place, original=node.original, path=self._single(node))

    def stop_signal(self, node: Node) -> ins.StopSignal:
        signal = self._single(node)
        if len(signal.split()) != 1:
            raise node_error(node, "STOPSIGNAL requires exactly one argument")
        return ins.StopSignal(place=node.place, original=node.original, signal=signal)

    def maintainer(self, node: Node) -> ins.Maintainer:
        self.warnings.append(
            f"line {node.place.line}: MAINTAINER is deprecated: "
            "use LABEL org.opencontainers.image.authors="
        )
        return ins.Maintainer(place=node.place, original=node.original, name=self._single(node))

    def on_build(self, node: Node) -> ins.OnBuild:
        self._flags(node)
        keyword = node.rest.split(None, 1)[0].upper()
        _check_trigger(keyword, node)
        if keyword not in _PARSERS:
            known = list(_PARSERS)
            raise node_error(
                node, f"unknown instruction: {keyword}{suggestion(keyword, known)}", node.rest
            )
        bodies = "".join(f"\n{h.content}{h.name}" for h in node.heredocs)
        return ins.OnBuild(place=node.place, original=node.original, expression=node.rest + bodies)


def _is_stage_name(name: str) -> bool:
    return name[:1].isalpha() and all(c.isalnum() or c in "-_." for c in name) and name.isascii()


def _needs(keyword: str) -> str:
    exactly_one = {"USER", "WORKDIR", "STOPSIGNAL", "MAINTAINER"}
    return "exactly one argument" if keyword in exactly_one else "at least one argument"


_PARSERS: dict[str, Callable[[_NodeParser, Node], ins.Instruction]] = {
    "ADD": _NodeParser.add,
    "ARG": _NodeParser.arg,
    "CMD": _NodeParser.cmd,
    "COPY": _NodeParser.copy,
    "ENTRYPOINT": _NodeParser.entrypoint,
    "ENV": _NodeParser.env,
    "EXPOSE": _NodeParser.expose,
    "FROM": _NodeParser.from_,
    "HEALTHCHECK": _NodeParser.healthcheck,
    "LABEL": _NodeParser.label,
    "MAINTAINER": _NodeParser.maintainer,
    "ONBUILD": _NodeParser.on_build,
    "RUN": _NodeParser.run,
    "SHELL": _NodeParser.shell,
    "STOPSIGNAL": _NodeParser.stop_signal,
    "USER": _NodeParser.user,
    "VOLUME": _NodeParser.volume,
    "WORKDIR": _NodeParser.workdir,
}
