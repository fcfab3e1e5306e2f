"""Walks the nodes of a template with a value as dot, as Go's ``text/template`` does."""

from collections.abc import Callable
from typing import Any

from cutaway.cli.template.errors import Misfit, TemplateError, UnreadableTemplate
from cutaway.cli.template.functions import (
    AT_LEAST,
    FUNCTIONS,
    HEADING_FUNCTIONS,
    PARAMETERS,
    SHORT_CIRCUITS,
    fits,
)
from cutaway.cli.template.nodes import (
    Action,
    Block,
    Call,
    Command,
    Jump,
    Literal,
    Node,
    Operand,
    Path,
    Pipeline,
    Text,
    Word,
)
from cutaway.cli.template.parser import Parser
from cutaway.cli.template.values import (
    MISSING,
    GoNil,
    GoStruct,
    Row,
    is_nil,
    is_true,
    to_text,
    type_name,
)

_NONE = object()
_MOST_CALLS = 200  # a template that calls itself for ever ends here


class _Jumped(Exception):
    """``break`` or ``continue`` on its way to the ``range`` around it."""


class Template:
    """A parsed template; ``render`` may be called for many values.

    Raises:
        UnreadableTemplate: in Go's words.
    """

    def __init__(self, text: str, *, name: str = "", for_heading: bool = False) -> None:
        self.text = text
        self.name = name
        self.functions = FUNCTIONS | (HEADING_FUNCTIONS if for_heading else {})
        try:
            parser = Parser(text, self.functions.keys() | SHORT_CIRCUITS)
            self.nodes = parser.parse()
        except ValueError as error:
            raise UnreadableTemplate(f"template: {name}:1: {error}") from None
        self.defined = parser.defined

    def render(self, dot: Any, *, strict: bool = False) -> str:
        """Fill the template in with ``dot``.

        Args:
            dot: the data.
            strict: a key that a map lacks is an error instead of ``<no value>``.

        Raises:
            TemplateError: a field or function does not fit the data.
        """
        run = _Run(self, strict=strict)
        run.variables.append(("$", dot))
        run.walk(self.nodes, dot)
        return "".join(run.out)


class _Run:
    def __init__(self, template: Template, *, strict: bool) -> None:
        self._template = template
        self._functions = template.functions
        self._strict = strict
        self._depth = 0
        self.variables: list[tuple[str, Any]] = []
        self.out: list[str] = []

    def _fail(self, node: Node, problem: object) -> TemplateError:
        before = self._template.text[: node.position]
        column = len(before) - (before.rfind("\n") + 1)
        place = f"{before.count(chr(10)) + 1}:{column}"
        shown = str(node)
        shown = shown if len(shown) <= 20 else shown[:20] + "..."
        name = self._template.name
        return TemplateError(
            f'template: {name}:{place}: executing "{name}" at <{shown}>: {problem}'
        )

    def walk(self, nodes: list[Node], dot: Any) -> None:
        """Print nodes one after the other."""
        for node in nodes:
            if isinstance(node, Text):
                self.out.append(node.text)
            elif isinstance(node, Action):
                value = self.pipeline(node.pipeline, dot)
                if not node.pipeline.names:
                    self.out.append(to_text(value))
            elif isinstance(node, Block):
                known = len(self.variables)
                self._block(node, dot)
                del self.variables[known:]
            elif isinstance(node, Jump):
                raise _Jumped(node.kind)
            elif isinstance(node, Call):
                self._call(node, dot)

    def _block(self, node: Block, dot: Any) -> None:
        if node.kind == "range":
            return self._range(node, dot)
        value = self.pipeline(node.pipeline, dot)
        if is_true(value):
            self.walk(node.body, value if node.kind == "with" else dot)
        else:
            self.walk(node.otherwise, dot)

    def _range(self, node: Block, dot: Any) -> None:
        names, declares = node.pipeline.names, not node.pipeline.assigns
        value = self.pipeline(node.pipeline, dot, declare=False)
        items = self._items(node, value)
        if not items:
            return self.walk(node.otherwise, dot)
        for key, item in items:
            known = len(self.variables)
            pairs = [(names[0], key), (names[1], item)] if len(names) == 2 else []
            for name, one in pairs or [(name, item) for name in names]:
                self._set(name, one, declares=declares)
            try:
                self.walk(node.body, item)
            except _Jumped as jump:
                if str(jump) == "break":
                    break
            finally:
                del self.variables[known:]

    def _items(self, node: Block, value: Any) -> list[tuple[Any, Any]]:
        if is_nil(value):
            return []
        if isinstance(value, dict) and not isinstance(value, GoStruct):
            return sorted(value.items())
        if isinstance(value, list | tuple):
            return list(enumerate(value))
        if isinstance(value, int) and not isinstance(value, bool):
            return [(index, index) for index in range(value)]
        raise self._fail(node.pipeline, f"range can't iterate over {to_text(value)}")

    def _call(self, node: Call, dot: Any) -> None:
        nodes = self._template.defined.get(node.name)
        if nodes is None:
            raise self._fail(node, f'template "{node.name}" not defined')
        self._depth += 1
        if self._depth > _MOST_CALLS:
            raise self._fail(node, f"exceeded maximum template depth ({_MOST_CALLS})")
        inner = self.pipeline(node.pipeline, dot) if node.pipeline else None
        outer, self.variables = self.variables, [("$", inner)]
        self.walk(nodes, inner)
        self.variables = outer
        self._depth -= 1

    def _set(self, name: str, value: Any, *, declares: bool) -> None:
        if not declares:
            for index in range(len(self.variables) - 1, -1, -1):
                if self.variables[index][0] == name:
                    self.variables[index] = (name, value)
                    return
        self.variables.append((name, value))

    def pipeline(self, pipeline: Pipeline, dot: Any, *, declare: bool = True) -> Any:
        """Run a pipeline and give its value to its variables."""
        value: Any = _NONE
        for command in pipeline.commands:
            value = self._command(command, dot, value)
        if declare:
            for name in pipeline.names:
                self._set(name, value, declares=not pipeline.assigns)
        return value

    def _command(self, command: Command, dot: Any, final: Any) -> Any:
        first, *rest = command.operands
        if isinstance(first, Word):
            return self._function(command, first, dot, final)
        if isinstance(first, Path):
            value = self._path(first, dot, callable_last=True)
            if callable(value):
                arguments = [self._operand(operand, dot) for operand in rest]
                arguments += [] if final is _NONE else [final]
                return self._method(first, value, arguments)
        else:
            value = first.value
            if value is None and first.text == "nil":
                raise self._fail(first, "nil is not a command")
        if rest or final is not _NONE:
            raise self._fail(first, f"can't give argument to non-function {first}")
        return value

    def _operand(self, operand: Operand, dot: Any) -> Any:
        if isinstance(operand, Literal):
            return operand.value
        if isinstance(operand, Word):
            return self._function(Command(operand.position, [operand]), operand, dot, _NONE)
        return self._path(operand, dot)

    def _path(self, path: Path, dot: Any, *, callable_last: bool = False) -> Any:
        if isinstance(path.start, Pipeline):
            value = self.pipeline(path.start, dot)
        elif path.start:
            value = next(v for n, v in reversed(self.variables) if n == path.start)
        else:
            value = dot
        for name in path.names:
            value = self._field(path, value, name)
        if callable(value) and not callable_last:
            return self._method(path, value, [])
        return value

    def _method(self, path: Path, method: Callable[[Any], Any], arguments: list[Any]) -> Any:
        """Call a method of a row; all that docker's rows have take one name."""
        if len(arguments) != 1:
            name, count = path.names[-1], len(arguments)
            raise self._fail(path, f"wrong number of args for {name}: want 1 got {count}")
        if not fits(arguments[0], "string"):
            got = type_name(arguments[0])
            raise self._fail(path, f"wrong type for value; expected string; got {got}")
        return method(arguments[0])

    def _field(self, path: Path, value: Any, name: str) -> Any:
        if isinstance(value, GoNil):
            raise self._fail(path, f"nil pointer evaluating {value.go_type}.{name}")
        if value is None or value is MISSING:
            if self._strict:
                raise self._fail(path, f'nil data; no entry for key "{name}"')
            return MISSING
        if isinstance(value, GoStruct | Row):
            found = value.field(name) if isinstance(value, GoStruct) else value.get(name, MISSING)
            if found is MISSING:
                raise self._fail(path, f"can't evaluate field {name} in type {type_name(value)}")
            return found
        if isinstance(value, dict):
            if name not in value and self._strict:
                raise self._fail(path, f'map has no entry for key "{name}"')
            return value.get(name, MISSING)
        known = type_name(value) if not self._strict else "interface {}"
        raise self._fail(path, f"can't evaluate field {name} in type {known}")

    def _function(self, command: Command, word: Word, dot: Any, final: Any) -> Any:
        name = word.name
        operands = command.operands[1:]
        self._check_count(word, len(operands) + (final is not _NONE))
        if name in SHORT_CIRCUITS:
            return self._short_circuit(name, operands, dot, final)
        types = PARAMETERS.get(name, ())
        if self._functions[name] is not FUNCTIONS[name]:
            types = ()  # of a heading: any text will do
        arguments = []
        for index, operand in enumerate(operands):
            value = self._operand(operand, dot)
            if index < len(types) and not fits(value, types[index]):
                raise self._fail(operand, _expected(types[index], operand, value))
            arguments.append(value)
        if final is not _NONE:
            index = len(arguments)
            if index < len(types) and not fits(final, types[index]):
                problem = f"wrong type for value; expected {types[index]}; got {type_name(final)}"
                raise self._fail(word, problem)
            arguments.append(final)
        try:
            return self._functions[name](*arguments)
        except Misfit as error:
            raise self._fail(command, f"error calling {name}: {error}") from None

    def _check_count(self, word: Word, count: int) -> None:
        types, least = PARAMETERS.get(word.name), AT_LEAST.get(word.name)
        if least is not None and count < least:
            want = f"want at least {least} got {count}"
        elif least is None and types is not None and count != len(types):
            want = f"want {len(types)} got {count}"
        else:
            return
        raise self._fail(word, f"wrong number of args for {word.name}: {want}")

    def _short_circuit(self, name: str, operands: list[Operand], dot: Any, final: Any) -> Any:
        value: Any = None
        for operand in operands:
            value = self._operand(operand, dot)
            if is_true(value) == (name == "or"):
                return value
        return value if final is _NONE else final


def _expected(go_type: str, operand: Operand, value: Any) -> str:
    if isinstance(operand, Literal):
        what = "integer" if go_type == "int" else go_type
        return f"expected {what}; found {operand}"
    return f"wrong type for value; expected {go_type}; got {type_name(value)}"
