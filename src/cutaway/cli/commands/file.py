"""``file``: where a file of a container comes from."""

import json
from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.flags import UsageError, Values
from cutaway.client.http import quote

_CHANGES = {
    "created": "created in the container",
    "copied up": "copied up from the image, to be changed",
    "replaced": "replaced in the container",
    "deleted": "deleted in the container",
}
_LINE = 100


def run(context: Context, flags: Values, arguments: list[str]) -> int:
    """Say where a path comes from."""
    (text,) = arguments
    name, colon, path = text.partition(":")
    if not (name and colon and path.startswith("/")):
        raise UsageError(f'"{text}" names no file: say CONTAINER:/PATH')
    origin = context.client.get(f"/cutaway/containers/{quote(name)}/file", path=path)
    if flags["format"] == "json":
        print(json.dumps(origin))
        return 0
    if flags["format"]:
        raise UsageError('the only other format is "json"')
    print(origin["Path"])
    for line in describe(origin):
        print(f"  {line}")
    return 0


def describe(origin: dict[str, Any]) -> list[str]:
    """Return the lines below the path."""
    lines = []
    if origin["Kind"] == "mount":
        mount = origin["Mount"]
        source = mount.get("Name") or mount["Source"]
        access = "rw" if mount["RW"] else "ro"
        of = f" {source}" if source else ""
        lines.append(f"mount: {mount['Type']}{of} at {mount['Destination']} ({access})")
        if origin.get("HostPath"):
            lines.append(f"on the host: {origin['HostPath']}")
    elif origin["Kind"] == "engine":
        lines.append(f"mounted by the engine in every container: {origin['EngineTarget']}")
    elif origin["Kind"] == "container":
        since = f" ({origin['Since']})" if origin.get("Since") else ""
        lines.append(f"container's own layer: {_CHANGES[origin['Change']]}{since}")
    return lines + [_layer(layer) for layer in origin["Layers"]]


def _layer(layer: dict[str, Any]) -> str:
    note = "deletes it: " if layer["Deletes"] else ""
    if not note and layer["Hidden"]:
        note = "has it, hidden: "
    digest = layer["Digest"].partition(":")[2][:12]
    made = " ".join(layer["CreatedBy"].split())[:_LINE]
    return f"layer {layer['Number']} of {layer['Of']} ({digest}): {note}{made}".rstrip(": ")


COMMANDS = (
    Command(
        "file",
        "[OPTIONS] CONTAINER:PATH",
        "Show where a file of a container comes from: a layer, a change, or a mount",
        run,
        flags="--format string   'json': print in JSON format",
        at_least=1,
        at_most=1,
    ),
)
