"""From tokens to nodes, with Go's checks: known functions, declared variables, closed blocks."""

from collections.abc import Container

from cutaway.cli.template.lexer import Token, lex, number_value, string_value
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

_BLOCKS = {"if", "range", "with"}
_CONSTANTS = {"true": True, "false": False, "nil": None}


class Parser:
    """Parses one template.

    Attributes:
        defined: the templates that ``define`` and ``block`` made, by name.
    """

    def __init__(self, text: str, functions: Container[str]) -> None:
        self._tokens = lex(text)
        self._functions = functions
        self._variables = ["$"]
        self._loops = 0
        self.defined: dict[str, list[Node]] = {}

    def parse(self) -> list[Node]:
        """Return the nodes of the whole template.

        Raises:
            ValueError: in the words of Go's parser.
        """
        nodes, ender = self._list()
        if ender:
            raise ValueError(f"unexpected {{{{{ender}}}}}")
        return nodes

    def _next(self) -> Token:
        return self._tokens.pop(0)

    def _skip_space(self) -> Token:
        while self._tokens[0].kind == "space":
            self._tokens.pop(0)
        return self._tokens[0]

    def _close(self, context: str) -> None:
        token = self._skip_space()
        if token.kind != "close":
            raise ValueError(f"unexpected <{token.text}> in {context}")
        self._next()

    def _list(self) -> tuple[list[Node], str]:
        """Parse up to ``end``, ``else`` or the template's end; returns which of them came."""
        nodes: list[Node] = []
        while self._tokens[0].kind != "end":
            token = self._next()
            if token.kind == "text":
                nodes.append(Text(token.position, token.text))
                continue
            word = self._skip_space()
            if word.kind == "word" and word.text in {"end", "else"}:
                self._next()
                if word.text == "end":
                    self._close("end")
                return nodes, word.text
            nodes += self._action()
        return nodes, ""

    def _action(self) -> list[Node]:
        token = self._tokens[0]
        if token.kind == "word":
            if token.text in _BLOCKS:
                self._next()
                return [self._block(token.text)]
            if token.text in {"break", "continue"}:
                self._next()
                self._close(f"{{{{{token.text}}}}}")
                if not self._loops:
                    raise ValueError(f"{{{{{token.text}}}}} outside {{{{range}}}}")
                return [Jump(token.position, token.text)]
            if token.text in {"define", "block", "template"}:
                self._next()
                return self._named(token)
        pipeline = self._pipeline("command", "close")
        return [Action(token.position, pipeline)]

    def _block(self, kind: str) -> Block:
        known = len(self._variables)
        pipeline = self._pipeline(kind, "close")
        self._loops += kind == "range"
        body, ender = self._list()
        self._loops -= kind == "range"
        otherwise: list[Node] = []
        if ender == "else":
            otherwise = self._else(kind)
        elif not ender:
            raise ValueError("unexpected EOF")
        del self._variables[known:]
        return Block(kind, pipeline, body, otherwise)

    def _else(self, kind: str) -> list[Node]:
        token = self._skip_space()
        if token.kind == "word" and token.text == kind and kind in {"if", "with"}:
            self._next()
            return [self._block(kind)]
        self._close("else")
        nodes, ender = self._list()
        if ender != "end":
            raise ValueError("expected end; found {{else}}" if ender else "unexpected EOF")
        return nodes

    def _named(self, word: Token) -> list[Node]:
        token = self._skip_space()
        if token.kind != "string":
            raise ValueError(f"unexpected {token.text!r} in {word.text} clause")
        self._next()
        name = string_value(token.text)
        pipeline = None
        if word.text != "define" and self._skip_space().kind != "close":
            pipeline = self._pipeline(f"{word.text} clause", "close")
        else:
            self._close(f"{word.text} clause")
        if word.text != "template":
            self.defined[name], ender = self._list()
            if ender != "end":
                raise ValueError("unexpected EOF")
        return [] if word.text == "define" else [Call(token.position, name, pipeline)]

    def _pipeline(self, context: str, closing: str) -> Pipeline:
        first = self._skip_space()
        names, assigns = self._declaration(context)
        commands: list[Command] = []
        while True:
            token = self._skip_space()
            if token.kind == closing:
                self._next()
                break
            if token.kind in {"close", "end", "right"}:
                raise ValueError(
                    "unclosed left paren" if closing == "right" else "unexpected right paren"
                )
            commands.append(self._command())
        if not commands:
            raise ValueError(f"missing value for {context}")
        for command in commands[1:]:
            if isinstance(command.operands[0], Literal):
                raise ValueError("non executable command in pipeline stage 2")
        self._variables += [] if assigns else names
        return Pipeline(first.position, commands, names, assigns=assigns)

    def _declaration(self, context: str) -> tuple[list[str], bool]:
        """Read ``$a, $b :=`` or ``$a =`` if it is there."""
        significant = [t for t in self._tokens[:7] if t.kind != "space"]
        kinds = [t.kind for t in significant]
        if kinds[:2] in (["variable", "declare"], ["variable", "assign"]):
            count = 1
        elif context == "range" and kinds[:2] == ["variable", "comma"]:
            count = 2
        else:
            return [], False
        names = [significant[0].text, *([significant[2].text] if count == 2 else [])]
        mark = significant[2 * count - 1]
        while self._next() is not mark:
            pass
        if mark.kind == "assign":
            for name in names:
                self._check_variable(name)
        return names, mark.kind == "assign"

    def _check_variable(self, name: str) -> None:
        if name not in self._variables:
            raise ValueError(f'undefined variable "{name}"')

    def _command(self) -> Command:
        operands: list[Operand] = []
        position = self._skip_space().position
        while True:
            kind = self._tokens[0].kind
            if kind in {"close", "right", "end"}:
                break
            if kind == "pipe":
                self._next()
                if self._skip_space().kind in {"close", "right", "pipe"} or not operands:
                    raise ValueError("missing value for command")
                break
            if kind == "space":
                self._next()
                continue
            operands.append(self._operand())
        return Command(position, operands)

    def _operand(self) -> Operand:
        token = self._next()
        if token.kind == "word" and token.text not in _CONSTANTS:
            if token.text not in self._functions:
                raise ValueError(f'function "{token.text}" not defined')
            return Word(token.position, token.text)
        if token.kind in {"word", "string", "char", "number"}:
            return self._literal(token)
        if token.kind == "left":
            inner = self._pipeline("parenthesized pipeline", "right")
            return self._path(token, inner, [])
        if token.kind == "variable":
            self._check_variable(token.text)
            return self._path(token, token.text, [])
        if token.kind == "field":
            return self._path(token, "", [token.text[1:]])
        if token.kind == "dot":
            return Path(token.position, "", [])
        raise ValueError(f'unexpected "{token.text}" in operand')

    def _path(self, token: Token, start: str | Pipeline, names: list[str]) -> Path:
        """Read the fields behind a start; Go places ``.A.B`` at the second field."""
        position = self._tokens[0].position if self._tokens[0].kind == "field" else token.position
        while self._tokens[0].kind == "field":
            names.append(self._next().text[1:])
        return Path(position, start, names)

    @staticmethod
    def _literal(token: Token) -> Literal:
        if token.kind == "word":
            return Literal(token.position, token.text, _CONSTANTS[token.text])
        if token.kind == "number":
            return Literal(token.position, token.text, number_value(token.text))
        value = string_value(token.text)
        if token.kind == "string":
            return Literal(token.position, token.text, value)
        if len(value) != 1:
            raise ValueError(f"malformed character constant: {token.text}")
        return Literal(token.position, token.text, ord(value))
