"""``build cache export`` and ``import``: the build cache on its way between machines."""

from dataclasses import replace

from cutaway.cli.building.cache import export_cache, import_cache, place_of, summary
from cutaway.cli.command import Command, Context
from cutaway.cli.flags import Values

_FLAGS = "    --mounts   With the directories of RUN --mount=type=cache\n"


def export(context: Context, flags: Values, arguments: list[str]) -> int:
    """Write all steps that were done here to a directory or a registry."""
    place = replace(place_of(arguments[0]), mounts=flags["mounts"])
    export_cache(context, place, None)
    print(f"Exported the build cache to {place}")
    return 0


def take(context: Context, flags: Values, arguments: list[str]) -> int:
    """Bring a cache here, for builds that name it."""
    place = replace(place_of(arguments[0]), mounts=flags["mounts"])
    report = import_cache(context, place)
    print(summary(report))
    source = f"type=local,src={place}" if place.directory else f"type=registry,ref={place}"
    print(f"Builds use it with --cache-from {source}")
    return 0


COMMANDS = (
    Command(
        "build cache export",
        "[OPTIONS] DIRECTORY | NAME[:TAG]",
        "Write the build cache to a directory or a registry",
        export,
        flags=_FLAGS,
        at_least=1,
        at_most=1,
        aliases=("build cache export", "builder cache export"),
    ),
    Command(
        "build cache import",
        "[OPTIONS] DIRECTORY | NAME[:TAG]",
        "Bring a build cache here, for builds that name it with --cache-from",
        take,
        flags=_FLAGS,
        at_least=1,
        at_most=1,
        aliases=("build cache import", "builder cache import"),
    ),
)
