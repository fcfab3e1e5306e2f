"""Go's text/template, as far as ``--format`` uses it.

A template is text with actions in double braces: ``{{.Names}}``, ``{{json .Config}}``,
``{{range .Mounts}}{{.Source}}{{end}}``. The data are JSON values; a field of an object is found by
its exact name, then regardless of case, since users write ``.Id`` and ``.ID`` for the same.

``parse`` turns text into nodes, ``Template.render`` walks them with a value as dot.

Source: Go's text/template documentation; docker's functions json, split, join, title, lower, upper,
pad, truncate, println.
"""

import json
from collections.abc import Callable
from typing import Any

from cutaway.cli.flags import UnreadableTemplate
from cutaway.cli.template_lexer import Action, Token, lex_actions, lex_pipeline
from cutaway.errors import InvalidParameter


class TemplateError(InvalidParameter):
    """The template can't be parsed, or doesn't fit the data."""


class MissingKey(TemplateError):
    """A strict template names a key that the data does not have."""

    def __init__(self, path: list[str], name: str) -> None:
        super().__init__(f'map has no entry for key "{name}"')
        self.path = "." + ".".join(path)


class NoValue:
    """A key that the data does not have: prints as ``<no value>``."""

    def __str__(self) -> str:
        return "<no value>"


NO_VALUE = NoValue()


def is_true(value: Any) -> bool:
    """Go's truth: not false, 0, empty or absent."""
    return not (value is None or isinstance(value, NoValue)) and bool(value)


def to_text(value: Any) -> str:
    """Print a value as Go's ``%v`` does: ``map[a:1 b:2]``, ``[x y]``, ``true``, ``<nil>``."""
    if value is None:
        return "<nil>"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{to_text(value[k])}" for k in sorted(value)) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(to_text, value)) + "]"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)


def lookup(value: Any, name: str) -> Any:
    """Find a field of an object, first by exact name, then regardless of case.

    Raises:
        TemplateError: the value has no fields at all.
    """
    if isinstance(value, dict):
        if name in value:
            found = value[name]
        else:
            lowered = name.lower()
            found = next((v for k, v in value.items() if k.lower() == lowered), NO_VALUE)
        return found
    if isinstance(value, NoValue) or value is None:
        raise TemplateError(f'can\'t evaluate field "{name}" of <nil>')
    raise TemplateError(f"can't evaluate field {name} in type {type(value).__name__}")


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key, "")
        elif isinstance(value, list | tuple | str) and isinstance(key, int):
            if not 0 <= key < len(value):
                raise TemplateError(f"error calling index: index out of range: {key}")
            value = value[key]
        else:
            raise TemplateError(f"error calling index: can't index item of type {to_text(value)}")
    return value


def _slice(value: Any, *bounds: int) -> Any:
    start, end, *_ = [*bounds, *([0, len(value)][len(bounds) :])]
    return value[start:end]


def _json(value: Any) -> str:
    if isinstance(value, NoValue):
        value = None
    return go_json(value)


def go_json(value: Any) -> str:
    """Write JSON as Go does: keys sorted, ``<``, ``>`` and ``&`` escaped; methods are no data."""
    if isinstance(value, dict):
        value = {k: value[k] for k in sorted(value) if not callable(value[k])}
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _printf(form: str, *values: Any) -> str:
    out, queue = [], list(values)
    rest = form
    while rest:
        before, percent, rest = rest.partition("%")
        out.append(before)
        if not percent:
            break
        spec = ""
        while rest and (rest[0] in "-+# 0.123456789"):
            spec, rest = spec + rest[0], rest[1:]
        verb, rest = rest[:1], rest[1:]
        if verb == "%":
            out.append("%")
        elif not queue:
            out.append(f"%!{verb}(MISSING)")
        else:
            out.append(_verb(spec, verb, queue.pop(0)))
    return "".join(out)


def _verb(spec: str, verb: str, value: Any) -> str:
    if verb in "sv":
        return f"%{spec}s" % to_text(value)
    if verb == "q":
        return f"%{spec}s" % json.dumps(to_text(value), ensure_ascii=False)
    if verb in "dxXofeEgG" and isinstance(value, int | float):
        return f"%{spec}{verb}" % value
    if verb == "t":
        return to_text(bool(value))
    return f"%!{verb}({to_text(value)})"


def _compare(check: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        try:
            return check(left, right)
        except TypeError:
            raise TemplateError("incompatible types for comparison") from None

    return compare


def _truncate(text: str, length: int) -> str:
    return text[:length]


def _pad(text: str, before: int, after: int) -> str:
    return text if text == "" else " " * before + text + " " * after


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": _json,
    "split": lambda text, separator: text.split(separator),
    "join": lambda items, separator: separator.join(map(to_text, items)),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": lambda text: text.title(),
    "truncate": _truncate,
    "pad": _pad,
    "println": lambda *values: " ".join(map(to_text, values)) + "\n",
    "print": lambda *values: "".join(map(to_text, values)),
    "printf": _printf,
    "len": lambda value: len(value),
    "index": _index,
    "slice": _slice,
    "not": lambda value: not is_true(value),
    "eq": lambda first, *others: any(first == other for other in others),
    "ne": lambda left, right: left != right,
    "lt": _compare(lambda left, right: left < right),
    "le": _compare(lambda left, right: left <= right),
    "gt": _compare(lambda left, right: left > right),
    "ge": _compare(lambda left, right: left >= right),
    "html": lambda value: to_text(value).replace("&", "&amp;").replace("<", "&lt;"),
    "urlquery": lambda value: to_text(value),
}


class Scope:
    """Dot and the variables at one place of a template; ``strict`` refuses absent keys."""

    def __init__(self, dot: Any, variables: dict[str, Any], *, strict: bool) -> None:
        self.dot = dot
        self.variables = variables
        self.strict = strict


def evaluate(tokens: list[Token], scope: Scope) -> Any:
    """Run a pipeline: commands joined by ``|``, each result the last argument of the next.

    Raises:
        TemplateError: an unknown function or field, or wrong arguments.
    """
    result: Any = None
    piped = False
    for command in _split_pipe(tokens):
        result = _command(command, scope, [result] if piped else [])
        piped = True
    return result


def _split_pipe(tokens: list[Token]) -> list[list[Token]]:
    commands: list[list[Token]] = [[]]
    for token in tokens:
        if token == ("pipe", "|"):
            commands.append([])
        else:
            commands[-1].append(token)
    return commands


def _command(tokens: list[Token], scope: Scope, piped: list[Any]) -> Any:
    if not tokens:
        raise TemplateError("missing value for command")
    kind, name = tokens[0]
    if kind == "name" and name in {"and", "or"}:
        return _short_circuit(str(name), tokens[1:], scope, piped)
    if kind == "name":
        function = FUNCTIONS.get(str(name))
        if function is None:
            raise TemplateError(f'function "{name}" not defined')
        arguments = [_operand(t, scope) for t in tokens[1:]] + piped
        try:
            return function(*arguments)
        except TemplateError:
            raise
        except (TypeError, AttributeError, ValueError) as error:
            raise TemplateError(f"error calling {name}: {error}") from None
    value = _operand(tokens[0], scope)
    if callable(value):
        return value(*[_operand(t, scope) for t in tokens[1:]], *piped)
    if len(tokens) > 1 or piped:
        raise TemplateError(f"can't give argument to non-function {name}")
    return value


def _short_circuit(name: str, tokens: list[Token], scope: Scope, piped: list[Any]) -> Any:
    value: Any = None
    for operand in [*tokens, *(("value", p) for p in piped)]:
        value = _operand(operand, scope)
        if is_true(value) == (name == "or"):
            return value
    return value


def _operand(token: Token, scope: Scope) -> Any:
    kind, content = token
    if kind == "value":
        return content
    if kind == "group":
        inner, path = content
        return _walk(evaluate(inner, scope), path, scope)
    if kind == "variable":
        name, path = content
        if name not in scope.variables:
            raise TemplateError(f'undefined variable "${name}"')
        return _walk(scope.variables[name], path, scope)
    if kind == "field":
        return _walk(scope.dot, content, scope)
    if kind == "name":
        return _command([token], scope, [])
    raise TemplateError(f"unexpected {content!r} in operand")


def _walk(value: Any, path: list[str], scope: Scope) -> Any:
    for name in path:
        value = lookup(value, name)
        if scope.strict and value is NO_VALUE:
            raise MissingKey(path, name)
    return value


class Template:
    """A parsed template; ``render`` may be called for many values."""

    def __init__(self, text: str) -> None:
        self._text = text
        try:
            self._nodes, rest = _block(lex_actions(text), stop=())
        except ValueError as error:
            raise UnreadableTemplate(f"template parsing error: template: :1: {error}") from None
        if rest:
            raise UnreadableTemplate("template parsing error: template: :1: unexpected {{end}}")

    def render(self, dot: Any, *, strict: bool = False) -> str:
        """Fill the template in with ``dot``.

        Args:
            dot: the data.
            strict: an absent key is an error instead of ``<no value>``.

        Raises:
            TemplateError: a field or function does not fit the data.
        """
        out: list[str] = []
        try:
            _render(self._nodes, Scope(dot, {"": dot}, strict=strict), out)
        except MissingKey as error:
            place = f"template: :1:{self._text.find(error.path)}: executing"
            raise TemplateError(
                f'template parsing error: {place} "" at <{error.path}>: {error}'
            ) from None
        return "".join(out)


Node = tuple[str, Any]
_OPENERS = {"if", "range", "with"}


def _block(actions: list[Action], stop: tuple[str, ...]) -> tuple[list[Node], list[Action]]:
    nodes: list[Node] = []
    while actions:
        kind, content = actions[0]
        if kind == "text":
            nodes.append(("text", content))
            actions = actions[1:]
            continue
        word, _, rest = content.partition(" ")
        if word in {"end", "else"}:
            if word not in stop:
                raise ValueError(f"unexpected {{{{{word}}}}}")
            return nodes, actions
        actions = actions[1:]
        if word in _OPENERS:
            node, actions = _opened(word, rest, actions)
            nodes.append(node)
        elif not content.startswith("/*"):
            nodes.append(("print", lex_pipeline(content)))
    if stop:
        raise ValueError("unexpected EOF")
    return nodes, actions


def _opened(word: str, pipeline: str, actions: list[Action]) -> tuple[Node, list[Action]]:
    body, actions = _block(actions, stop=("end", "else"))
    otherwise: list[Node] = []
    if actions[0][1].startswith("else"):
        condition = actions[0][1].removeprefix("else").strip()
        actions = actions[1:]
        if condition:
            inner, _, inner_pipeline = condition.partition(" ")
            node, actions = _opened(inner, inner_pipeline, actions)
            return (word, (lex_pipeline(pipeline), body, [node])), actions
        otherwise, actions = _block(actions, stop=("end",))
    return (word, (lex_pipeline(pipeline), body, otherwise)), actions[1:]


def _render(nodes: list[Node], scope: Scope, out: list[str]) -> None:
    for kind, content in nodes:
        if kind == "text":
            out.append(content)
            continue
        if kind == "print":
            names, tokens = _declaration(content)
            value = evaluate(tokens, scope)
            if names:
                scope.variables[names[-1]] = value
            else:
                out.append(to_text(value))
            continue
        tokens, body, otherwise = content
        names, tokens = _declaration(tokens)
        value = evaluate(tokens, scope)
        if kind == "range":
            _render_range(names, value, (body, otherwise), scope=scope, out=out)
            continue
        dot = value if kind == "with" else scope.dot
        variables = {**scope.variables, **({names[-1]: value} if names else {})}
        _render(
            body if is_true(value) else otherwise, Scope(dot, variables, strict=scope.strict), out
        )


def _render_range(
    names: list[str],
    value: Any,
    bodies: tuple[list[Node], list[Node]],
    *,
    scope: Scope,
    out: list[str],
) -> None:
    if not is_true(value):
        return _render(bodies[1], scope, out)
    if isinstance(value, dict):
        items: list[tuple[Any, Any]] = sorted(value.items())
    else:
        items = list(enumerate(value))
    for key, item in items:
        variables = dict(scope.variables)
        if len(names) == 2:
            variables[names[0]] = key
        if names:
            variables[names[-1]] = item
        _render(bodies[0], Scope(item, variables, strict=scope.strict), out)


def _declaration(tokens: list[Token]) -> tuple[list[str], list[Token]]:
    """Split ``$i, $x := pipeline`` into its names and its pipeline."""
    for index, token in enumerate(tokens):
        if token[0] == "declare":
            return [t[1][0] for t in tokens[:index] if t[0] == "variable"], tokens[index + 1 :]
    return [], tokens
