"""``volume export``, ``import``, ``clone`` and ``snapshot``."""

import os
import sys
from typing import Any, BinaryIO

from cutaway.cli.command import Command, Context
from cutaway.cli.commands.archives import check_output, read_chunks, write_response
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.screen.moving_line import MovingLine
from cutaway.client.http import quote

_PAUSE = "    --pause   Hold the containers still that write to the volume"


def export(context: Context, flags: Values, arguments: list[str]) -> int:
    """Write a volume, or a snapshot, as a tar archive."""
    (name,) = arguments
    if not flags["output"] and sys.stdout.isatty():
        raise UsageError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    check_output(flags["output"], "failed to export volume")
    response = context.client.request("GET", f"/cutaway/volumes/{quote(name)}/export")
    write_response(response, flags["output"], what=f"Exporting {name}")
    return 0


def import_tar(context: Context, flags: Values, arguments: list[str]) -> int:
    """Make a new volume of a tar archive, and print its name."""
    name, source = (*arguments, "-")[:2]
    if source == "-" and sys.stdin.isatty():
        raise UsageError("requested import from stdin, but stdin is empty")
    file: BinaryIO = sys.stdin.buffer if source == "-" else open(source, "rb")  # noqa: SIM115
    size = 0 if source == "-" else os.path.getsize(source)
    with file, MovingLine(f"Importing {name}", total_bytes=size) as line:
        response = context.client.request(
            "POST",
            f"/cutaway/volumes/{quote(name)}/import",
            query={"opt": flags["opt"] or None},
            body=line.counted(read_chunks(file)),
            headers={"Content-Type": "application/x-tar"},
        )
    print(response.json()["Name"])
    return 0


def clone(context: Context, flags: Values, arguments: list[str]) -> int:
    """Make a new volume with what another one, or a snapshot, has; print its name."""
    name, new_name = arguments
    return _copy(context, f"{quote(name)}/clone", name, new_name, pause=flags["pause"])


def snapshot(context: Context, flags: Values, arguments: list[str]) -> int:
    """Keep what a volume has now, and print the snapshot's name."""
    name, new_name = arguments
    return _copy(context, f"{quote(name)}/snapshot", name, new_name, pause=flags["pause"])


def _copy(context: Context, path: str, name: str, new_name: str, *, pause: bool) -> int:
    with MovingLine(f"Copying {name}"):
        body = {"Name": new_name, "Pause": pause}
        copied: dict[str, Any] = context.client.post(f"/cutaway/volumes/{path}", body)
    print(copied["Name"])
    if copied["Writers"]:
        print(
            f"WARNING: {', '.join(copied['Writers'])} could write to {name} meanwhile: the copy "
            "may be a mixture of moments. --pause holds containers still",
            file=sys.stderr,
        )
    return 0


COMMANDS = (
    Command(
        "volume export",
        "[OPTIONS] VOLUME[@SNAPSHOT]",
        "Export a volume's content as a tar archive (streamed to STDOUT by default)",
        export,
        flags="-o, --output string   Write to a file, instead of STDOUT",
        at_least=1,
        at_most=1,
        details="What containers write meanwhile may be in it or not. To export one moment, take a "
        "snapshot\nand export that.",
    ),
    Command(
        "volume import",
        "[OPTIONS] VOLUME [file|-]",
        "Create a volume with the content of a tar archive",
        import_tar,
        flags="-o, --opt map   Set driver specific options, such as size=10g (default map[])",
        at_least=1,
        at_most=2,
    ),
    Command(
        "volume clone",
        "[OPTIONS] VOLUME[@SNAPSHOT] NEW_VOLUME",
        "Create a volume with the content of another one, or of a snapshot",
        clone,
        flags=_PAUSE,
        at_least=2,
        at_most=2,
        details="Blocks are shared where the file system can (btrfs, xfs), else copied.",
    ),
    Command(
        "volume snapshot",
        "[OPTIONS] VOLUME SNAPSHOT",
        "Keep what a volume has now, as VOLUME@SNAPSHOT",
        snapshot,
        flags=_PAUSE,
        at_least=2,
        at_most=2,
        details="A snapshot is read-only. `volume inspect VOLUME` lists it, `volume clone "
        "VOLUME@SNAPSHOT NEW` restores it,\n`volume rm VOLUME@SNAPSHOT` removes it.",
    ),
)
