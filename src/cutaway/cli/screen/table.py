"""Lists as docker prints them: a table, a template per row, or JSON lines."""

import json
import sys
from collections.abc import Iterable
from typing import Any

from cutaway.cli.flags import UnreadableTemplate, UsageError

_LEAST_WIDTH = 10  # of a column with its padding, as docker's tabwriter has it
_PADDING = 3


def print_rows(
    rows: Iterable[dict[str, Any]],
    columns: dict[str, str],
    *,
    template: str | None,
    default: Iterable[str],
    go_type: str = "*formatter.Context",
    raw: str = "",
) -> None:
    """Print rows by ``--format``.

    Args:
        rows: one dict a line; keys are the names that templates use (``ID``, ``Names``).
        columns: the heading of every key.
        template: ``None``, ``table``, ``table TEMPLATE``, ``json``, ``raw`` or a template.
        default: the keys that a plain table shows, in order.
        go_type: what docker's client calls a row, for its errors.
        raw: the template that ``raw`` stands for, if docker has one.

    Raises:
        TemplateError: the template names what the rows don't have.
        UsageError: it can't be parsed.
    """
    if template in {None, "", "table"}:
        keys = list(default)
        cells = [[str(row[key]) for key in keys] for row in rows]
        print_table([columns[key] for key in keys], cells)
        return
    from cutaway.cli.template import Row, Template, TemplateError, go_json

    prepared = [Row(row, go_type) for row in rows]
    if template == "json":
        for row in prepared:
            print(go_json(row))
        return
    text = raw if raw and template == "raw" else _unescape(template or "")
    body = text[5:].strip() if text.startswith("table") else text
    try:
        parsed = Template(body)
        lines = [parsed.render(row) for row in prepared]
        if body is text:
            sys.stdout.write("".join(f"{line}\n" for line in lines))
            return
        heading = Template(body, for_heading=True).render(_Headings(columns))
    except (TemplateError, UnreadableTemplate) as error:
        raise UsageError(f"template parsing error: {error}") from None
    print_table(heading.split("\t"), [line.split("\t") for line in lines])


def print_one(fields: dict[str, Any], template: str, *, go_type: str) -> None:
    """Print one object by a template or ``json``, as docker does where it ends no line.

    Raises:
        UnreadableTemplate: it can't be parsed. TemplateError: it names what is not there.
    """
    from cutaway.cli.template import Row, Template

    text = "{{json .}}" if template == "json" else _unescape(template)
    sys.stdout.write(Template(text).render(Row(fields, go_type)))


class _Headings(dict[str, Any]):
    """Answers every field with its heading, also those that take arguments (``.Label "x"``)."""

    def __init__(self, columns: dict[str, str]) -> None:
        super().__init__(columns)
        self["Label"] = lambda name: name.rpartition(".")[2]


def _unescape(text: str) -> str:
    return text.replace("\\t", "\t").replace("\\n", "\n")


def print_table(
    heading: list[str], rows: list[list[str]], *, least_width: int = _LEAST_WIDTH
) -> None:
    """Print columns as Go's tabwriter does for docker: ten wide, three spaces between."""
    lines = [heading, *rows]
    widths = [least_width] * max(map(len, lines))
    for line in lines:
        for index, cell in enumerate(line[:-1]):
            widths[index] = max(widths[index], len(cell) + _PADDING)
    out = []
    for line in lines:
        padded = [cell.ljust(widths[i]) for i, cell in enumerate(line[:-1])]
        out.append("".join(padded) + line[-1] + "\n")
    sys.stdout.write("".join(out))


def print_inspected(
    documents: list[Any], template: str | None, go_type: str = "", *, untyped: bool = True
) -> None:
    """Print what ``inspect`` found: an indented JSON list, or a template per object.

    Args:
        documents: JSON objects.
        template: the value of ``--format``.
        go_type: what docker's client reads the object into; see ``template/types.py``.
        untyped: try the plain JSON, whose keys are spelled otherwise, when that doesn't fit.
    """
    if not template:
        print(json.dumps(documents, indent=4, ensure_ascii=False))
        return
    if template == "json":
        print(json.dumps(documents, separators=(",", ":"), ensure_ascii=False))
        return
    from cutaway.cli.template import Template, TemplateError
    from cutaway.cli.template.types import typed

    try:
        parsed = Template(template)
    except UnreadableTemplate as error:
        raise UnreadableTemplate(f"template parsing error: {error}") from None
    for document in documents:
        try:
            try:
                text = parsed.render(typed(document, go_type) if go_type else document)
            except TemplateError:
                if not untyped:
                    raise
                text = parsed.render(document, strict=True)
        except TemplateError as error:
            print()
            raise TemplateError(f"template parsing error: {error}") from None
        print(text)
