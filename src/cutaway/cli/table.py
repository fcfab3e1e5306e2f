"""Lists as docker prints them: a table, a template per row, or JSON lines."""

import json
import sys
from collections.abc import Iterable
from typing import Any

from cutaway.cli.template import Template, TemplateError, go_json, to_text


def print_rows(
    rows: Iterable[dict[str, Any]],
    columns: dict[str, str],
    *,
    template: str | None,
    default: Iterable[str],
) -> None:
    """Print rows by ``--format``.

    Args:
        rows: one dict a line; keys are the names that templates use (``ID``, ``Names``).
        columns: the heading of every key.
        template: ``None``, ``table``, ``table TEMPLATE``, ``json``, ``raw`` or a template.
        default: the keys that a plain table shows, in order.

    Raises:
        TemplateError: the template can't be parsed or names what the rows don't have.
    """
    if template == "json":
        for row in rows:
            print(go_json(row))
        return
    if template in {None, "", "table"}:
        keys = list(default)
        cells = [[to_text(row[key]) for key in keys] for row in rows]
        print_table([columns[key] for key in keys], cells)
        return
    assert_template = template or ""
    if assert_template.startswith("table"):
        body = _unescape(assert_template[5:].strip())
        parsed = Template(body)
        heading = parsed.render(_Headings(columns)).split("\t")
        print_table(heading, [parsed.render(row).split("\t") for row in rows])
        return
    parsed = Template(_unescape(assert_template))
    for row in rows:
        print(parsed.render(row))


class _Headings(dict[str, Any]):
    """Answers every field with its heading, also those that take arguments (``.Label "x"``)."""

    def __init__(self, columns: dict[str, str]) -> None:
        super().__init__(columns)
        self["Label"] = lambda name: name.rpartition(".")[2]


def _unescape(text: str) -> str:
    return text.replace("\\t", "\t").replace("\\n", "\n")


def print_table(heading: list[str], rows: list[list[str]]) -> None:
    """Print columns with three spaces between, as Go's tabwriter does for docker."""
    lines = [heading, *rows]
    widths = [0] * max(map(len, lines))
    for line in lines:
        for index, cell in enumerate(line[:-1]):
            widths[index] = max(widths[index], len(cell))
    out = []
    for line in lines:
        padded = [cell.ljust(widths[i] + 3) for i, cell in enumerate(line[:-1])]
        out.append("".join(padded) + line[-1] + "\n")
    sys.stdout.write("".join(out))


def print_inspected(documents: list[Any], template: str | None) -> None:
    """Print what ``inspect`` found: an indented JSON list, or a template per object."""
    if not template:
        print(json.dumps(documents, indent=4, ensure_ascii=False))
        return
    if template == "json":
        for document in documents:
            print(json.dumps(document, separators=(",", ":"), ensure_ascii=False))
        return
    parsed = Template(_unescape(template))
    for document in documents:
        try:
            print(parsed.render(document, strict=True))
        except TemplateError:
            print()
            raise
