"""``images``, ``rmi``, ``tag`` and ``history``."""

import json
import re
from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.filters import encode_filters
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.screen.table import print_rows, print_table
from cutaway.cli.screen.terminal import warn
from cutaway.cli.units import human_ago, human_size, local_time, rfc3339
from cutaway.client import ApiError
from cutaway.client.http import quote
from cutaway.errors import InvalidParameter

IMAGES_FLAGS = """
-a, --all             Show all images (default hides intermediate images)
    --digests         Show digests
-f, --filter filter   Filter output based on conditions provided
    --format string   $FORMAT_TABLE
    --no-trunc        Don't truncate output
-q, --quiet           Only show image IDs
    --tree            List multi-platform images as a tree (EXPERIMENTAL)
"""

_COLUMNS = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "Containers": "CONTAINERS",
}

_NONE = "<none>"
_UNNAMED = "<untagged>"


_RAW = """repository: {{.Repository}}
tag: {{.Tag}}
image_id: {{.ID}}
created_at: {{.CreatedAt}}
virtual_size: {{.Size}}
"""


def images(context: Context, flags: Values, arguments: list[str]) -> int:
    """List images."""
    filters = [*flags["filter"], *(f"reference={name}" for name in arguments)]
    summaries = context.client.get(
        "/images/json",
        all=flags["all"] or None,
        digests=flags["digests"] or None,
        filters=encode_filters(filters),
    )
    if flags["tree"]:
        return _print_platforms(context, flags, summaries)
    template = context.list_format(flags, "imagesFormat")
    wants_digest = flags["digests"] or ".Digest" in template
    rows = [
        row
        for summary in summaries
        for row in image_rows(summary, digests=wants_digest, truncate=not flags["no-trunc"])
    ]
    if flags["quiet"] and not template:
        for row in rows:
            print(row["ID"])
        return 0
    default = ["Repository", "Tag", "ID", "CreatedSince", "Size"]
    if flags["digests"]:
        default.insert(2, "Digest")
    print_rows(
        rows,
        _COLUMNS,
        template=template,
        default=default,
        go_type="*formatter.imageContext",
        raw=_RAW,
    )
    return 0


def _print_platforms(context: Context, flags: Values, summaries: list[dict[str, Any]]) -> int:
    """Print each image with the platforms that it has here."""
    for other in ("quiet", "no-trunc", "digests", "format"):
        if flags[other]:
            raise UsageError(f"--{other} is not yet supported with --tree")
    lines = []
    for summary in summaries:
        image = context.client.get(f"/images/{quote(summary['Id'])}/json", manifests=True)
        names = [n for n in summary.get("RepoTags") or [] if n != "<none>:<none>"] or [_UNNAMED]
        used = "U" if summary.get("Containers", 0) > 0 else ""
        whole = [summary["Id"].removeprefix("sha256:")[:12], human_size(summary["Size"]), used]
        lines += [[name, *whole] for name in names]
        lines += [["└─ " + platform, *rest] for platform, *rest in _platforms(image)]
    print_table(["IMAGE", "ID", "DISK USAGE", "EXTRA"], lines)
    return 0


def _platforms(image: dict[str, Any]) -> list[list[str]]:
    """Return (platform, id, size, nothing) of every variant of an image that is here."""
    found = []
    for manifest in image.get("Manifests") or []:
        data = manifest.get("ImageData")
        if manifest.get("Available") and data:
            size = manifest["Size"]["Total"]
            digest = manifest["ID"].removeprefix("sha256:")[:12]
            found.append([_platform_name(data["Platform"]), digest, human_size(size), ""])
    if found:
        return found
    own = {"os": image["Os"], "architecture": image["Architecture"], **image}
    own["variant"] = image.get("Variant", "")
    short = image["Id"].removeprefix("sha256:")[:12]
    return [[_platform_name(own), short, human_size(image["Size"]), ""]]


def _platform_name(platform: dict[str, Any]) -> str:
    parts = (platform["os"], platform["architecture"], platform.get("variant", ""))
    return "/".join(part for part in parts if part)


def image_rows(summary: dict[str, Any], *, digests: bool, truncate: bool) -> list[dict[str, Any]]:
    """Return a row for every name of an image; one of ``<none>`` when it has no name."""
    identity = summary["Id"]
    common = {
        "ID": identity.removeprefix("sha256:")[:12] if truncate else identity,
        "CreatedSince": human_ago(summary["Created"]),
        "CreatedAt": local_time(summary["Created"]),
        "Size": human_size(summary["Size"]),
        "VirtualSize": human_size(summary["Size"], digits=4),
        "SharedSize": _maybe_size(summary.get("SharedSize", -1)),
        "UniqueSize": "N/A",
        "Containers": "N/A" if summary.get("Containers", -1) < 0 else str(summary["Containers"]),
    }
    tags = [t for t in summary.get("RepoTags") or [] if t != "<none>:<none>"]
    repo_digests = [d for d in summary.get("RepoDigests") or [] if d != "<none>@<none>"]
    by_repository: dict[str, str] = {}
    for text in repo_digests:
        repository, _, digest = text.partition("@")
        by_repository[repository] = digest
    rows = []
    for text in tags:
        repository, _, tag = text.rpartition(":")
        digest = by_repository.get(repository, _NONE)
        rows.append({"Repository": repository, "Tag": tag, "Digest": digest, **common})
    if not rows:
        names = by_repository if digests else dict.fromkeys(by_repository)
        for repository in names or {_NONE: _NONE}:
            digest = by_repository.get(repository, _NONE)
            rows.append({"Repository": repository, "Tag": _NONE, "Digest": digest, **common})
    return rows


def _maybe_size(size_bytes: int) -> str:
    return "N/A" if size_bytes < 0 else human_size(size_bytes)


def remove(context: Context, flags: Values, arguments: list[str]) -> int:
    """Remove images; says what was untagged and what deleted."""
    failed = False
    for name in arguments:
        try:
            answer = context.client.delete(
                f"/images/{quote(name)}",
                force=flags["force"] or None,
                noprune=flags["no-prune"] or None,
                platforms=[platform_json(text) for text in flags["platform"]],
            )
        except ApiError as error:
            warn(f"Error response from daemon: {error}")
            failed = failed or not (flags["force"] and error.status == 404)
            continue
        for item in answer or []:
            if "Deleted" in item:
                print(f"Deleted: {item['Deleted']}")
            else:
                print(f"Untagged: {item['Untagged']}")
    return 1 if failed else 0


def tag(context: Context, flags: Values, arguments: list[str]) -> int:
    """Give an image another name."""
    source, target = arguments
    repository, name = split_tag(target)
    check_reference(target, 'Error parsing reference: "{}" is not a valid repository/tag: ')
    context.client.post(f"/images/{quote(source)}/tag", repo=repository, tag=name or None)
    return 0


def check_reference(reference: str, prefix: str = "") -> None:
    """Refuse a malformed name at once, as docker's command does, in the engine's own words.

    Raises:
        UsageError: with ``prefix``, in which ``{}`` stands for the name.
    """
    if re.fullmatch(r"[a-z0-9]+([/._-][a-z0-9]+)*(:[a-z0-9]+([._-][a-z0-9]+)*)?", reference):
        return  # the usual name: nothing more to load
    from cutaway.oci import Reference

    try:
        Reference.parse(reference)
    except InvalidParameter as error:
        raise UsageError(prefix.format(reference) + str(error)) from None


def platform_json(text: str) -> str:
    """Write ``linux/arm64/v8`` as the API's JSON object of a platform."""
    system, _, rest = text.partition("/")
    architecture, _, variant = rest.partition("/")
    fields = {"os": system, "architecture": architecture, "variant": variant}
    return json.dumps({name: value for name, value in fields.items() if value})


def split_tag(reference: str) -> tuple[str, str]:
    """Split ``host:5000/a:tag`` into ``("host:5000/a", "tag")``; the tag may be empty."""
    head, slash, last = reference.rpartition("/")
    name, _, tag_text = last.partition(":")
    return f"{head}{slash}{name}", tag_text


def history(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print the steps that made an image, newest first."""
    entries = context.client.get(
        f"/images/{quote(arguments[0])}/history", platform=flags["platform"] or None
    )
    truncate = not flags["no-trunc"]
    if flags["quiet"] and not flags["format"]:
        for entry in entries:
            print(_short(entry["Id"]) if truncate else entry["Id"])
        return 0
    rows = [_history_row(entry, truncate=truncate, human=flags["human"]) for entry in entries]
    columns = {
        "ID": "IMAGE",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "CreatedBy": "CREATED BY",
        "Size": "SIZE",
        "Comment": "COMMENT",
    }
    since = "CreatedSince" if flags["human"] else "CreatedAt"
    default = ["ID", since, "CreatedBy", "Size", "Comment"]
    print_rows(
        rows,
        columns,
        template=flags["format"] or None,
        default=default,
        go_type="*image.historyContext",
    )
    return 0


def _short(identity: str) -> str:
    return identity.removeprefix("sha256:")[:12]


def _history_row(entry: dict[str, Any], *, truncate: bool, human: bool) -> dict[str, Any]:
    created_by = entry["CreatedBy"].replace("\t", " ")
    if truncate and len(created_by) > 45:
        created_by = created_by[:44] + "…"
    return {
        "ID": _short(entry["Id"]) if truncate else entry["Id"],
        "CreatedSince": human_ago(entry["Created"]),
        "CreatedAt": rfc3339(entry["Created"]),
        "CreatedBy": created_by,
        "Size": human_size(entry["Size"]) if human else str(entry["Size"]),
        "Comment": entry.get("Comment", ""),
    }


COMMANDS = (
    Command(
        "images",
        "[OPTIONS] [REPOSITORY[:TAG]]",
        "List images",
        images,
        flags=IMAGES_FLAGS,
        at_most=1,
        aliases=("image ls", "image list"),
    ),
    Command(
        "rmi",
        "[OPTIONS] IMAGE [IMAGE...]",
        "Remove one or more images",
        remove,
        flags="""
-f, --force              Force removal of the image
    --no-prune           Do not delete untagged parents
    --platform strings   Remove only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
""",  # noqa: E501 - one flag a line
        at_least=1,
        aliases=("image rm", "image remove"),
    ),
    Command(
        "tag",
        "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
        "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
        tag,
        at_least=2,
        at_most=2,
        aliases=("image tag",),
    ),
    Command(
        "history",
        "[OPTIONS] IMAGE",
        "Show the history of an image",
        history,
        flags="""
    --format string     $FORMAT_TABLE
-H, --human             Print sizes and dates in human readable format (default true)
    --no-trunc          Don't truncate output
    --platform string   Show history for the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
-q, --quiet             Only show image IDs
""",  # noqa: E501 - one flag a line
        at_least=1,
        at_most=1,
        aliases=("image history",),
    ),
)
