"""Go's ``text/template``, as ``--format`` uses it, with the values and messages of Go.

The problem: ``docker ps --format '{{.Names}}'`` is in a million scripts; they know Go's functions,
how Go prints a map or a struct, and the words of its errors.

The model: a lexer cuts the text into tokens with their places, a parser makes nodes of them, and
an evaluator walks the nodes with a value as dot. Values are JSON's; those of ``inspect`` are given
the Go types that docker's client has for them (``types.py``), so that a struct prints as one.

Words: *action* (``{{ }}``), *pipeline* (commands joined by ``|``), *dot*, *operand*; a *verb* is
what follows ``%`` in printf.

Read ``lexer.py``, ``nodes.py``, ``parser.py``, ``evaluator.py``, ``functions.py``, ``verbs.py``,
``values.py``, ``types.py``.

Docker's counterpart: Go's ``text/template`` and docker/cli ``templates``.
"""

from cutaway.cli.template.errors import TemplateError, UnreadableTemplate
from cutaway.cli.template.evaluator import Template
from cutaway.cli.template.values import Row, go_json, to_text

__all__ = ["Row", "Template", "TemplateError", "UnreadableTemplate", "go_json", "to_text"]
