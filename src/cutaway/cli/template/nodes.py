"""What the parser makes of a template."""

from typing import Any


class Node:
    """Anything with a place in the template; ``str`` writes it as Go's errors do."""

    __slots__ = ("position",)

    def __init__(self, position: int) -> None:
        self.position = position


class Text(Node):
    """Text outside of actions."""

    __slots__ = ("text",)

    def __init__(self, position: int, text: str) -> None:
        super().__init__(position)
        self.text = text


class Literal(Node):
    """A constant: string, number, character, ``true``, ``false`` or ``nil``."""

    __slots__ = ("text", "value")

    def __init__(self, position: int, text: str, value: Any) -> None:
        super().__init__(position)
        self.text = text
        self.value = value

    def __str__(self) -> str:
        return self.text


class Word(Node):
    """A function's name."""

    __slots__ = ("name",)

    def __init__(self, position: int, name: str) -> None:
        super().__init__(position)
        self.name = name

    def __str__(self) -> str:
        return self.name


class Path(Node):
    """A start and the fields behind it: ``.A.B``, ``$x.A``, ``(pipeline).A`` or ``.`` alone.

    Attributes:
        start: ``""`` for dot, a variable's name with its dollar, or a pipeline in brackets.
        names: the fields.
    """

    __slots__ = ("names", "start")

    def __init__(self, position: int, start: "str | Pipeline", names: list[str]) -> None:
        super().__init__(position)
        self.start = start
        self.names = names

    def __str__(self) -> str:
        start = self.start if isinstance(self.start, str) else f"({self.start})"
        return start + "".join(f".{name}" for name in self.names) or "."


Operand = Literal | Word | Path


class Command(Node):
    """A function or value, and its arguments."""

    __slots__ = ("operands",)

    def __init__(self, position: int, operands: list[Operand]) -> None:
        super().__init__(position)
        self.operands = operands

    def __str__(self) -> str:
        return " ".join(map(str, self.operands))


class Pipeline(Node):
    """Commands, each result the last argument of the next, and the variables that get it.

    Attributes:
        names: of variables that are declared, or set if ``assigns``.
    """

    __slots__ = ("assigns", "commands", "names")

    def __init__(
        self, position: int, commands: list[Command], names: list[str], *, assigns: bool
    ) -> None:
        super().__init__(position)
        self.commands = commands
        self.names = names
        self.assigns = assigns

    def __str__(self) -> str:
        mark = " = " if self.assigns else " := "
        head = ", ".join(self.names) + mark if self.names else ""
        return head + " | ".join(map(str, self.commands))


class Action(Node):
    """A pipeline whose value is printed, unless it goes to a variable."""

    __slots__ = ("pipeline",)

    def __init__(self, position: int, pipeline: Pipeline) -> None:
        super().__init__(position)
        self.pipeline = pipeline


class Block(Node):
    """``if``, ``with`` or ``range``, its body, and what stands behind ``else``."""

    __slots__ = ("body", "kind", "otherwise", "pipeline")

    def __init__(
        self, kind: str, pipeline: Pipeline, body: list[Node], otherwise: list[Node]
    ) -> None:
        super().__init__(pipeline.position)
        self.kind = kind
        self.pipeline = pipeline
        self.body = body
        self.otherwise = otherwise


class Jump(Node):
    """``break`` or ``continue``."""

    __slots__ = ("kind",)

    def __init__(self, position: int, kind: str) -> None:
        super().__init__(position)
        self.kind = kind


class Call(Node):
    """``template "name" pipeline``: another template in this place."""

    __slots__ = ("name", "pipeline")

    def __init__(self, position: int, name: str, pipeline: Pipeline | None) -> None:
        super().__init__(position)
        self.name = name
        self.pipeline = pipeline

    def __str__(self) -> str:
        dot = f" {self.pipeline}" if self.pipeline else ""
        return f'{{{{template "{self.name}"{dot}}}}}'
