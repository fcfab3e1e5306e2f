"""``tag history`` and ``system check``: what happened to images, and whether they are whole."""

import sys
from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.commands.images import check_reference
from cutaway.cli.flags import Values
from cutaway.cli.screen.progress import show_progress
from cutaway.cli.screen.table import print_rows
from cutaway.cli.units import human_size
from cutaway.client.http import quote

_COLUMNS = {"At": "AT", "By": "BY", "Old": "FROM", "New": "TO"}
_NONE = "<none>"


def tag_history(context: Context, flags: Values, arguments: list[str]) -> int:
    """Tell when a tag moved, newest first."""
    (name,) = arguments
    check_reference(name)
    moves = context.client.get(f"/cutaway/tags/{quote(name)}/history")
    rows = [_move(move, truncate=not flags["no-trunc"]) for move in reversed(moves)]
    print_rows(rows, _COLUMNS, template=flags["format"] or None, default=list(_COLUMNS))
    return 0


def _move(move: dict[str, Any], *, truncate: bool) -> dict[str, Any]:
    row = {"At": move["At"], "By": move["By"]}
    for key in ("Old", "New"):
        identity = move[key] or _NONE
        row[key] = identity.removeprefix("sha256:")[:12] if truncate and move[key] else identity
    if truncate:
        row["At"] = row["At"][:19].replace("T", " ")
    return row


def check(context: Context, flags: Values, arguments: list[str]) -> int:
    """Read every blob again; 1 when something is wrong."""
    out = sys.stderr if sys.stderr.isatty() else None
    response = context.client.request("POST", "/cutaway/check")
    report = show_progress(response.documents(), out)[-1]
    print(f"Checked {report['Checked']} blobs, {human_size(report['CheckedBytes'])}.")
    for blob in report["Damaged"]:
        print(f"DAMAGED  {blob['Digest']}  set aside: {blob['Quarantine']}{_users(blob)}")
    for blob in report["Missing"]:
        print(f"MISSING  {blob['Digest']}{_users(blob)}")
    for image in report["NotUnpacked"]:
        print(f"NOT UNPACKED  {image}")
    broken = {image for key in ("Damaged", "Missing") for b in report[key] for image in b["Images"]}
    broken |= set(report["NotUnpacked"])
    for image in sorted(broken):
        print(f"To heal it: cutaway pull {image}")
    if report["Damaged"] or report["Missing"] or report["NotUnpacked"]:
        return 1
    print("All of it is what its digest says.")
    return 0


def _users(blob: dict[str, Any]) -> str:
    return f"\n         needed by {', '.join(blob['Images'])}" if blob["Images"] else ""


COMMANDS = (
    Command(
        "tag history",
        "[OPTIONS] NAME[:TAG]",
        "Tell when a tag moved, from what to what, and by what",
        tag_history,
        flags="""
    --format string   $FORMAT_TABLE
    --no-trunc        Don't truncate output
""",
        details="The image that a tag named before may still be here under its id, or in its\n"
        "registry as NAME@DIGEST (see `cutaway images --digests`).",
        at_least=1,
        at_most=1,
    ),
    Command(
        "system check",
        "",
        "Read all content again, and name what is damaged or missing",
        check,
        details="A damaged blob is set aside, so that pulling an image that needs it fetches it "
        "again.\nThe exit code is 1 when anything is wrong.",
        at_most=0,
    ),
)
