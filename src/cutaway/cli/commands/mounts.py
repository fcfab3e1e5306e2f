"""``mount add`` and ``mount rm``: mounts of a container that runs."""

from cutaway.cli.command import Command, Context
from cutaway.cli.creating.mounts import split_volumes
from cutaway.cli.flags import UsageError, Values
from cutaway.client.http import quote


def add(context: Context, flags: Values, arguments: list[str]) -> int:
    """Mount volumes and host directories; print what is where."""
    name, *texts = arguments
    binds, anonymous = split_volumes(texts)
    if anonymous:
        raise UsageError(f'"{anonymous[0]}" has no source: say SOURCE:DESTINATION[:OPTIONS]')
    path = f"/cutaway/containers/{quote(name)}/mounts/add"
    for mount in context.client.post(path, {"Binds": binds}):
        source = mount.get("Name") or mount["Source"]
        access = "rw" if mount["RW"] else "ro"
        print(f"{mount['Type']} {source} -> {mount['Destination']} ({access})")
    return 0


def remove(context: Context, flags: Values, arguments: list[str]) -> int:
    """Take mounts away; each is named by its place in the container."""
    name, *targets = arguments
    body = {"Targets": targets, "Force": flags["force"]}
    context.client.post(f"/cutaway/containers/{quote(name)}/mounts/rm", body)
    return 0


COMMANDS = (
    Command(
        "mount add",
        "CONTAINER SOURCE:DESTINATION[:OPTIONS] [SOURCE:DESTINATION[:OPTIONS]...]",
        "Mount volumes and host directories in a running container, and at its next starts",
        add,
        at_least=2,
        details="SOURCE is a volume, which is made if there is none, or a path of the host. "
        "OPTIONS are those of\n`run --volume`: ro, nocopy, idmap, U, rshared, ...",
    ),
    Command(
        "mount rm",
        "[OPTIONS] CONTAINER DESTINATION [DESTINATION...]",
        "Take mounts away from a running container, and for its next starts",
        remove,
        flags="-f, --force   Although files of them are open, or others are mounted below",
        at_least=2,
    ),
)
