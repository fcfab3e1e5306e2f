"""``volume create``, ``ls`` and ``rm``."""

import sys
from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.commands.lifecycle import for_each
from cutaway.cli.creating.body import read_labels
from cutaway.cli.filters import encode_filters
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.screen.table import print_rows
from cutaway.client.http import quote

_RAW = """name: {{.Name}}
driver: {{.Driver}}
"""


def create(context: Context, flags: Values, arguments: list[str]) -> int:
    """Create a volume and print its name."""
    if arguments and flags["name"]:
        raise UsageError("conflicting options: cannot specify a volume-name through both --name "
                         "and as a positional arg")  # fmt: skip
    options = {key: value for key, _, value in (text.partition("=") for text in flags["opt"])}
    body = {
        "Name": arguments[0] if arguments else flags["name"],
        "Driver": flags["driver"],
        "DriverOpts": options,
        "Labels": read_labels([], flags["label"]),
    }
    print(context.client.post("/volumes/create", body)["Name"])
    return 0


def list_volumes(context: Context, flags: Values, arguments: list[str]) -> int:
    """List volumes."""
    answer = context.client.get("/volumes", filters=encode_filters(flags["filter"]))
    volumes = sorted(answer.get("Volumes") or [], key=lambda volume: volume["Name"])
    for warning in answer.get("Warnings") or []:
        print(f"WARNING: {warning}", file=sys.stderr)
    if flags["quiet"] and not flags["format"]:
        for volume in volumes:
            print(volume["Name"])
        return 0
    columns = {
        "Driver": "DRIVER",
        "Name": "VOLUME NAME",
        "Scope": "SCOPE",
        "Mountpoint": "MOUNTPOINT",
        "Labels": "LABELS",
        "Label": "LABEL",
        "Links": "LINKS",
        "Size": "SIZE",
        "Availability": "AVAILABILITY",
        "Group": "GROUP",
        "Status": "STATUS",
    }
    rows = [volume_row(volume) for volume in volumes]
    print_rows(
        rows,
        columns,
        template=context.list_format(flags, "volumesFormat"),
        default=["Driver", "Name"],
        go_type="*formatter.volumeContext",
        raw=_RAW,
    )
    return 0


def volume_row(volume: dict[str, Any]) -> dict[str, Any]:
    """Return what templates may name of a volume; its size is not in the list's answer."""
    labels = volume.get("Labels") or {}
    return {
        "Driver": volume["Driver"],
        "Name": volume["Name"],
        "Scope": volume.get("Scope", "local"),
        "Mountpoint": volume.get("Mountpoint", ""),
        "Labels": ",".join(f"{k}={v}" for k, v in sorted(labels.items())),
        "Label": lambda name: labels.get(name, ""),
        "Links": "N/A",
        "Size": "N/A",
        "Availability": "N/A",
        "Group": "N/A",
        "Status": "N/A",
    }


def remove(context: Context, flags: Values, arguments: list[str]) -> int:
    """Remove volumes and the data in them."""
    force = flags["force"] or None
    return for_each(
        arguments, lambda n: context.client.delete(f"/volumes/{quote(n)}", force=force), what="rm"
    )


def users(context: Context, flags: Values, arguments: list[str]) -> int:
    """List the containers that name a volume: where they mount it, and whether they may write."""
    (name,) = arguments
    volume = context.client.get(f"/volumes/{quote(name)}")
    filters = encode_filters([f"volume={name}"])
    rows = [
        {
            "ID": container["Id"][:12],
            "Name": container["Names"][0].lstrip("/"),
            "State": container["State"],
            "Target": mount["Destination"],
            "Mode": "rw" if mount["RW"] else "ro",
        }
        for container in context.client.get("/containers/json", all=True, filters=filters)
        for mount in container["Mounts"]
        if mount.get("Name") == name
    ]
    columns = {
        "ID": "CONTAINER ID",
        "Name": "NAME",
        "State": "STATE",
        "Target": "TARGET",
        "Mode": "MODE",
    }
    print_rows(rows, columns, template=flags["format"] or None, default=list(columns))
    lease = (volume.get("Status") or {}).get("Lease")
    if lease and not flags["format"]:
        _print_lease(lease)
    return 0


def _print_lease(lease: dict[str, Any]) -> None:
    print(
        f"\nWriter's lease: epoch {lease['Epoch']}, {lease['State']}, of {lease['Holder']} "
        f"({lease['Container'][:12]}) on host {lease['Host']}, engine {lease['Engine'][:12]}, "
        f"renewed {lease['RenewedSecondsAgo']} s ago"
    )
    if lease["Lost"]:
        print(f"Lost here: {lease['Lost']}")


COMMANDS = (
    Command(
        "volume create",
        "[OPTIONS] [VOLUME]",
        "Create a volume",
        create,
        flags="""
-d, --driver string   Specify volume driver name (default "local")
    --label list      Set metadata for a volume
    --name string     (hidden) Specify volume name
-o, --opt map         Set driver specific options (default map[])
""",
        at_most=1,
    ),
    Command(
        "volume ls",
        "[OPTIONS]",
        "List volumes",
        list_volumes,
        flags="""
-f, --filter filter   Provide filter values (e.g. "dangling=true")
    --format string   $FORMAT_TABLE
-q, --quiet           Only display volume names
""",
        at_most=0,
        aliases=("volume ls", "volume list"),
    ),
    Command(
        "volume rm",
        "[OPTIONS] VOLUME [VOLUME...]",
        "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
        remove,
        flags="-f, --force   Force the removal of one or more volumes",
        at_least=1,
        aliases=("volume rm", "volume remove"),
    ),
    Command(
        "volume users",
        "[OPTIONS] VOLUME",
        "List the containers that use a volume",
        users,
        flags="--format string   $FORMAT",
        at_least=1,
        at_most=1,
    ),
)
