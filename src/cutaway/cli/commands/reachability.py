"""``denied``: what an egress policy refused."""

from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.flags import Values
from cutaway.cli.table import print_rows
from cutaway.cli.units import human_duration
from cutaway.client.http import quote

_DENIED = {"Name": "NAME", "Address": "ADDRESS", "Port": "PORT", "Last": "LAST"}


def denied(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print what a container wanted to reach and was not let."""
    refusals = context.client.get(f"/cutaway/containers/{quote(arguments[0])}/denied")
    rows = [_row(refusal) for refusal in refusals]
    print_rows(rows, _DENIED, template=flags["format"] or None, default=list(_DENIED))
    return 0


def _row(refusal: dict[str, Any]) -> dict[str, Any]:
    port, protocol = refusal["Port"], refusal["Protocol"]
    return {
        "Name": refusal["Name"] or "-",
        "Address": refusal["Address"] or "-",
        "Port": f"{port}/{protocol}" if port else protocol,
        "Last": f"{human_duration(refusal['SecondsAgo'])} ago",
    }


COMMANDS = (
    Command(
        "denied",
        "[OPTIONS] CONTAINER",
        "Show what a container's egress policy refused in the last hour",
        denied,
        flags="    --format string   $FORMAT",
        at_least=1,
        at_most=1,
    ),
)
