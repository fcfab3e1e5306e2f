"""``search``."""

from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.filters import encode_filters
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.screen.table import print_rows
from cutaway.cli.settings.credentials import auth_header

_COLUMNS = {
    "Name": "NAME",
    "Description": "DESCRIPTION",
    "StarCount": "STARS",
    "IsOfficial": "OFFICIAL",
    "IsAutomated": "AUTOMATED",
}
_DEFAULT = ("Name", "Description", "StarCount", "IsOfficial")
_DESCRIPTION_CELLS = 45


def search(context: Context, flags: Values, arguments: list[str]) -> int:
    """Ask a registry for images whose name or description has a word."""
    (term,) = arguments
    limit = flags["limit"]
    if limit is not None and limit < 0:
        raise UsageError(f"invalid limit: {limit}")
    found = context.client.request(
        "GET",
        "/images/search",
        query={
            "term": term,
            "limit": limit or None,
            "filters": encode_filters(flags["filter"]),
        },
        headers=auth_header(term, context.config_dir),
    ).json()
    rows = [_row(result, truncate=not flags["no-trunc"]) for result in found or []]
    print_rows(
        rows,
        _COLUMNS,
        template=flags["format"] or None,
        default=_DEFAULT,
        go_type="*search.searchContext",
    )
    return 0


def _row(result: dict[str, Any], *, truncate: bool) -> dict[str, Any]:
    description = " ".join((result.get("description") or "").split())
    if truncate and len(description) > _DESCRIPTION_CELLS:
        description = description[: _DESCRIPTION_CELLS - 1] + "…"
    return {
        "Description": description,
        "IsAutomated": "[OK]" if result.get("is_automated") else "",
        "IsOfficial": "[OK]" if result.get("is_official") else "",
        "Name": result["name"],
        "StarCount": str(result.get("star_count", 0)),
    }


COMMANDS = (
    Command(
        "search",
        "[OPTIONS] TERM",
        "Search Docker Hub for images",
        search,
        flags="""
-f, --filter filter   Filter output based on conditions provided
    --format string   Pretty-print search using a Go template
    --limit int       Max number of search results
    --no-trunc        Don't truncate output
""",
        at_least=1,
        at_most=1,
    ),
)
