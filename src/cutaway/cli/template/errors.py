"""What can be wrong with a template."""

from cutaway.cli.flags import UnreadableTemplate
from cutaway.errors import InvalidParameter

__all__ = ["Misfit", "TemplateError", "UnreadableTemplate"]


class TemplateError(InvalidParameter):
    """The template doesn't fit the data; ``str(error)`` is Go's message."""


class Misfit(Exception):
    """Why one step can't be evaluated; the evaluator adds where and makes it a TemplateError."""
