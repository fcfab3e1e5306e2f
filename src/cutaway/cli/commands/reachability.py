"""``denied``, ``reach``, ``doctor``: what was refused, who gets in, who is in the way."""

from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.flags import Values
from cutaway.cli.screen.table import print_rows
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


def reach(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print who can reach a published port, and which rule decides."""
    found = context.client.get(f"/cutaway/ports/{quote(arguments[0])}/reach")
    rows = [{**row, "To": row["LeadsTo"]} for row in found]
    columns = {"Client": "FROM", "Verdict": "REACHES", "To": "TO", "DecidedBy": "DECIDED BY"}
    print_rows(rows, columns, template=flags["format"] or None, default=list(columns))
    return 0


def doctor(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print what was looked at; end with 1 when something is wrong."""
    findings = context.client.get("/cutaway/doctor")
    bad = [finding for finding in findings if finding["Problem"]]
    for finding in bad if flags["quiet"] else findings:
        print(f"{'BAD' if finding['Problem'] else 'ok '}  {finding['Subject']}")
        if finding["Problem"]:
            print(f"     {finding['Problem']}\n     what to do: {finding['Advice']}")
    return 1 if bad else 0


COMMANDS = (
    Command(
        "reach",
        "[OPTIONS] PORT[/PROTOCOL]",
        "Show who can reach a published port, and which rule decides",
        reach,
        flags="    --format string   $FORMAT",
        at_least=1,
        at_most=1,
    ),
    Command(
        "doctor",
        "[OPTIONS]",
        "Look at all that networks need, and name what is in the way",
        doctor,
        flags="-q, --quiet   Only show what is wrong",
        at_most=0,
    ),
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
