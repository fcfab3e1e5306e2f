"""``prune`` of every kind, and ``system df``."""

import sys
from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.filters import encode_filters
from cutaway.cli.flags import Values
from cutaway.cli.screen.moving_line import MovingLine
from cutaway.cli.screen.table import print_one, print_rows
from cutaway.cli.settings.config_file import prune_filters
from cutaway.cli.units import human_ago, human_size, parse_rfc3339
from cutaway.client import ApiError

_FILTER = '    --filter filter   Provide filter values (e.g. "until=<timestamp>")\n'
_FORCE = "-f, --force           Do not prompt for confirmation\n"


def _size(size_bytes: float) -> str:
    return human_size(size_bytes, digits=4)


def _confirmed(flags: Values, warning: str) -> bool:
    if flags["force"]:
        return True
    print(f"{warning}\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() == "y"


def _prune(context: Context, kind: str, filters: list[str]) -> tuple[list[str], int]:
    """Prune one kind; returns (what was removed, bytes freed)."""
    with MovingLine(f"Removing unused {kind}"):
        chosen = encode_filters(prune_filters(context.config, filters))
        answer = context.client.post(f"/{kind}/prune", filters=chosen) or {}
    if kind == "images":
        removed = [
            f"untagged: {item['Untagged']}" if "Untagged" in item else f"deleted: {item['Deleted']}"
            for item in answer.get("ImagesDeleted") or []
        ]
    else:
        removed = answer.get(f"{kind.title()}Deleted") or []
    return removed, answer.get("SpaceReclaimed", 0)


def _report(title: str, removed: list[str]) -> None:
    if removed:
        print(title, *removed, sep="\n", end="\n\n")


def prune_containers(context: Context, flags: Values, arguments: list[str]) -> int:
    """Remove all stopped containers."""
    if not _confirmed(flags, "WARNING! This will remove all stopped containers."):
        return 1
    removed, freed = _prune(context, "containers", flags["filter"])
    _report("Deleted Containers:", removed)
    print(f"Total reclaimed space: {_size(freed)}")
    return 0


def prune_images(context: Context, flags: Values, arguments: list[str]) -> int:
    """Remove images without a name, or all that no container uses."""
    what = "all images without at least one container associated to them"
    chosen = what if flags["all"] else "all dangling images"
    if not _confirmed(flags, f"WARNING! This will remove {chosen}."):
        return 1
    only_dangling = "false" if flags["all"] else "true"
    removed, freed = _prune(context, "images", [*flags["filter"], f"dangling={only_dangling}"])
    _report("Deleted Images:", removed)
    print(f"Total reclaimed space: {_size(freed)}")
    return 0


def prune_networks(context: Context, flags: Values, arguments: list[str]) -> int:
    """Remove networks that no container uses."""
    warning = "WARNING! This will remove all custom networks not used by at least one container."
    if not _confirmed(flags, warning):
        return 1
    removed, _ = _prune(context, "networks", flags["filter"])
    _report("Deleted Networks:", removed)
    return 0


def prune_volumes(context: Context, flags: Values, arguments: list[str]) -> int:
    """Remove anonymous volumes that no container uses; named ones too with ``--all``."""
    kind = "" if flags["all"] else "anonymous "
    warning = f"WARNING! This will remove {kind}local volumes not used by at least one container."
    if not _confirmed(flags, warning):
        return 1
    extra = ["all=true"] if flags["all"] else []
    removed, freed = _prune(context, "volumes", [*flags["filter"], *extra])
    _report("Deleted Volumes:", removed)
    print(f"Total reclaimed space: {_size(freed)}")
    return 0


def prune_system(context: Context, flags: Values, arguments: list[str]) -> int:
    """Remove all that is unused."""
    lines = [
        "WARNING! This will remove:",
        "  - all stopped containers",
        "  - all networks not used by at least one container",
        *(
            ["  - all anonymous volumes not used by at least one container"]
            if flags["volumes"]
            else []
        ),
        "  - all images without at least one container associated to them"
        if flags["all"]
        else "  - all dangling images",
    ]
    if not _confirmed(flags, "\n".join(lines) + "\n"):
        return 1
    filters = flags["filter"]
    total = 0
    only_dangling = "false" if flags["all"] else "true"
    for kind, extra in (
        ("containers", []),
        ("networks", []),
        *([("volumes", [])] if flags["volumes"] else []),
        ("images", [f"dangling={only_dangling}"]),
    ):
        removed, freed = _prune(context, str(kind), [*filters, *extra])
        _report(f"Deleted {str(kind).title()}:", removed)
        total += freed
    print(f"Total reclaimed space: {_size(total)}")
    return 0


def prune_builder(context: Context, flags: Values, arguments: list[str]) -> int:
    """Remove the build cache: what no build could use any more, or all of it."""
    kind = "build cache" if flags["all"] else "dangling build cache"
    if not _confirmed(flags, f"WARNING! This will remove all {kind}."):
        return 1
    query = {
        "all": flags["all"] or None,
        "filters": encode_filters(prune_filters(context.config, flags["filter"])),
        "reserved-space": flags["keep-storage"] or None,
    }
    with MovingLine(f"Removing {kind}"):
        answer = context.client.post("/build/prune", **query)
    _report("Deleted build cache objects:", answer.get("CachesDeleted") or [])
    print(f"Total reclaimed space: {_size(answer.get('SpaceReclaimed', 0))}")
    return 0


def disk_usage(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print how much disk images, containers, volumes and the build cache take."""
    with MovingLine("Measuring"):
        usage = _with_lists(context.client.get("/system/df", verbose=True))
    if flags["verbose"]:
        details = _details(usage)
        if flags["format"]:
            print_one(details, flags["format"], go_type="*formatter.diskUsageContext")
        else:
            _print_details(details, usage.get("BuildCache") or [])
            _print_parts(context)
        return 0
    columns = {
        "Type": "TYPE",
        "TotalCount": "TOTAL",
        "Active": "ACTIVE",
        "Size": "SIZE",
        "Reclaimable": "RECLAIMABLE",
    }
    rows = _usage_rows(usage)
    print_rows(
        rows,
        columns,
        template=flags["format"] or None,
        default=list(columns),
        go_type="*formatter.diskUsageImagesContext",
    )
    return 0


def _with_lists(usage: dict[str, Any]) -> dict[str, Any]:
    """Return the answer as versions before 1.52 shape it: a list a kind, and ``LayersSize``."""
    if "ImageUsage" not in usage:
        return usage
    kinds = {"Images": "ImageUsage", "Containers": "ContainerUsage",
             "Volumes": "VolumeUsage", "BuildCache": "BuildCacheUsage"}  # fmt: skip
    lists = {old: (usage.get(new) or {}).get("Items") for old, new in kinds.items()}
    return {**lists, "LayersSize": usage["ImageUsage"].get("TotalSize", 0)}


def _usage_rows(usage: dict[str, Any]) -> list[dict[str, Any]]:
    images = usage.get("Images") or []
    containers = usage.get("Containers") or []
    volumes = usage.get("Volumes") or []
    cache = usage.get("BuildCache") or []
    active_images = [i for i in images if i.get("Containers", 0) > 0]
    used_bytes = sum(i["Size"] - max(i.get("SharedSize", 0), 0) for i in active_images)
    layers_bytes = usage.get("LayersSize", 0)
    in_use = [c for c in cache if c.get("InUse")]
    running = [c for c in containers if c.get("State") in {"running", "paused", "restarting"}]
    sizes = [(v.get("UsageData") or {"Size": 0, "RefCount": 0}) for v in volumes]
    idle_volume_bytes = sum(max(s["Size"], 0) for s in sizes if s["RefCount"] == 0)
    rows = (
        ("Images", len(images), len(active_images), layers_bytes, layers_bytes - used_bytes),
        ("Containers", len(containers), len(running), *_sizes(containers, "SizeRw", running)),
        ("Local Volumes", len(volumes), sum(s["RefCount"] > 0 for s in sizes),
         sum(max(s["Size"], 0) for s in sizes), idle_volume_bytes),
        ("Build Cache", len(cache), len(in_use), *_sizes(cache, "Size", in_use)),
    )  # fmt: skip
    return [
        _usage_row(kind, total, active, size_bytes=size, idle_bytes=max(idle, 0))
        for kind, total, active, size, idle in rows
    ]


def _sizes(items: list[Any], key: str, busy: list[Any]) -> tuple[int, int]:
    """Return the sum of all sizes, and of those that are not busy."""
    total = sum(item.get(key, 0) for item in items)
    return total, total - sum(item.get(key, 0) for item in busy)


def _usage_row(
    kind: str, total: int, active: int, *, size_bytes: int, idle_bytes: int
) -> dict[str, Any]:
    share = f" ({100 * idle_bytes // size_bytes}%)" if size_bytes else ""
    return {
        "Type": kind,
        "TotalCount": str(total),
        "Active": str(active),
        "Size": _size(size_bytes),
        "Reclaimable": _size(idle_bytes) + (share if kind != "Build Cache" else ""),
    }


def _details(usage: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of every kind by the names that docker's templates have for them."""
    from cutaway.cli.commands.containers import container_row
    from cutaway.cli.commands.images import image_rows
    from cutaway.cli.commands.volumes import volume_row

    containers = usage.get("Containers") or []
    volumes = [(v, v.get("UsageData") or {}) for v in usage.get("Volumes") or []]
    return {
        "Images": [r for i in usage.get("Images") or [] for r in _detailed_images(i, image_rows)],
        "Containers": [
            container_row(c, truncate=True) | {"Size": human_size(c.get("SizeRw") or 0)}
            for c in containers
        ],
        "Volumes": [
            volume_row(volume)
            | {
                "Links": str(used.get("RefCount", 0)),
                "Size": _size(max(used.get("Size", 0), 0)),
            }
            for volume, used in volumes
        ],
        "BuildCache": [_cache_row(record) for record in usage.get("BuildCache") or []],
    }


def _print_details(details: dict[str, list[dict[str, Any]]], cache: list[dict[str, Any]]) -> None:
    cache_size = _size(sum(record.get("Size", 0) for record in cache))
    for title, kind, headings in (
        ("Images space usage:", "Images", _IMAGE_HEADINGS),
        ("\nContainers space usage:", "Containers", _CONTAINER_HEADINGS),
        ("\nLocal Volumes space usage:", "Volumes", _VOLUME_HEADINGS),
        (f"\nBuild cache usage: {cache_size}", "BuildCache", _CACHE_HEADINGS),
    ):
        print(f"{title}\n")
        print_rows(details[kind], headings, template=None, default=headings)


def _print_parts(context: Context) -> None:
    """Print where the bytes of the data root are; an engine that is not ours doesn't know."""
    try:
        parts = context.client.get("/cutaway/disk")
    except ApiError as error:
        if error.status != 404:
            raise
        return
    print("\nOn the disk (adds up to du):\n")
    rows = [{"What": p["What"], "Size": _size(p["Size"]), "Path": p["Path"]} for p in parts]
    rows.append({"What": "Total", "Size": _size(sum(p["Size"] for p in parts)), "Path": ""})
    headings = {"What": "WHAT", "Size": "SIZE", "Path": "PATH"}
    print_rows(rows, headings, template=None, default=list(headings))


_IMAGE_HEADINGS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "Size": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "Containers": "CONTAINERS",
}

_CONTAINER_HEADINGS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "LocalVolumes": "LOCAL VOLUMES",
    "Size": "SIZE",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Names": "NAMES",
}

_VOLUME_HEADINGS = {"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"}

_CACHE_HEADINGS = {
    "ID": "CACHE ID",
    "Type": "CACHE TYPE",
    "Size": "SIZE",
    "Created": "CREATED",
    "LastUsed": "LAST USED",
    "Usage": "USAGE",
    "Shared": "SHARED",
}


def _cache_row(record: dict[str, Any]) -> dict[str, Any]:
    used = record.get("LastUsedAt")
    return {
        "ID": record["ID"][:12],
        "Type": record["Type"],
        "Size": human_size(record["Size"]),
        "Created": human_ago(parse_rfc3339(record["CreatedAt"])),
        "LastUsed": human_ago(parse_rfc3339(used)) if used else "",
        "Usage": str(record.get("UsageCount", 0)),
        "Shared": str(bool(record.get("Shared"))).lower(),
    }


def _detailed_images(image: dict[str, Any], image_rows: Any) -> list[dict[str, Any]]:
    shared = max(image.get("SharedSize", 0), 0)
    extra = {
        "SharedSize": _size(shared),
        "UniqueSize": _size(image["Size"] - shared),
        "Containers": str(image.get("Containers", 0)),
    }
    return [row | extra for row in image_rows(image, digests=False, truncate=True)]


COMMANDS = (
    Command(
        "builder prune",
        "",
        "Remove build cache",
        prune_builder,
        flags="""
-a, --all                  Remove all unused build cache, not just dangling ones
    --filter filter        Provide filter values (e.g. "until=24h")
-f, --force                Do not prompt for confirmation
    --keep-storage bytes   Amount of disk space to keep for cache
""",
        at_most=0,
    ),
    Command(
        "container prune",
        "[OPTIONS]",
        "Remove all stopped containers",
        prune_containers,
        flags=_FILTER + _FORCE,
        at_most=0,
    ),
    Command(
        "image prune",
        "[OPTIONS]",
        "Remove unused images",
        prune_images,
        flags="-a, --all   Remove all unused images, not just dangling ones\n" + _FILTER + _FORCE,
        at_most=0,
    ),
    Command(
        "network prune",
        "[OPTIONS]",
        "Remove all unused networks",
        prune_networks,
        flags=_FILTER + _FORCE,
        at_most=0,
    ),
    Command(
        "volume prune",
        "[OPTIONS]",
        "Remove unused local volumes",
        prune_volumes,
        flags="""
-a, --all             Remove all unused volumes, not just anonymous ones
    --filter filter   Provide filter values (e.g. "label=<label>")
-f, --force           Do not prompt for confirmation
""",
        at_most=0,
    ),
    Command(
        "system prune",
        "[OPTIONS]",
        "Remove unused data",
        prune_system,
        flags="""
-a, --all             Remove all unused images not just dangling ones
    --filter filter   Provide filter values (e.g. "label=<key>=<value>")
-f, --force           Do not prompt for confirmation
    --volumes         Prune anonymous volumes
""",
        at_most=0,
    ),
    Command(
        "system df",
        "[OPTIONS]",
        "Show docker disk usage",
        disk_usage,
        flags="""
    --format string   $FORMAT_TABLE
-v, --verbose         Show detailed information on space usage
""",
        at_most=0,
    ),
)
