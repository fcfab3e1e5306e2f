"""``cp``, ``diff``, ``commit`` and ``export``: a container's file system from outside."""

import base64
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.commands.archives import check_output, read_chunks, write_response
from cutaway.cli.commands.images import check_reference, split_tag
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.local_tar import pack_local, unpack_local
from cutaway.cli.screen.moving_line import MovingLine
from cutaway.cli.units import human_size
from cutaway.client.http import quote

_KINDS = {0: "C", 1: "A", 2: "D"}


def diff(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print what the container has changed in its image."""
    changes = context.client.get(f"/containers/{quote(arguments[0])}/changes")
    for change in changes or []:
        print(f"{_KINDS[change['Kind']]} {change['Path']}")
    return 0


def commit(context: Context, flags: Values, arguments: list[str]) -> int:
    """Make an image of the container's changes and print its id."""
    if len(arguments) > 1:
        check_reference(arguments[1])
    repository, tag = split_tag(arguments[1]) if len(arguments) > 1 else ("", "")
    with MovingLine(f"Committing {arguments[0]}"):
        answer = context.client.post(
            "/commit",
            {},
            container=arguments[0],
            repo=repository or None,
            tag=tag or None,
            author=flags["author"] or None,
            comment=flags["message"] or None,
            changes=flags["change"] or None,
            pause=flags["pause"],
        )
    print(answer["Id"])
    return 0


def export(context: Context, flags: Values, arguments: list[str]) -> int:
    """Write the container's whole file system as a tar archive."""
    check_output(flags["output"], "failed to export container")
    response = context.client.request("GET", f"/containers/{quote(arguments[0])}/export")
    write_response(response, flags["output"], what=f"Exporting {arguments[0]}")
    return 0


def copy(context: Context, flags: Values, arguments: list[str]) -> int:
    """Copy between a container and this machine."""
    source_container, source = split_container_path(arguments[0])
    target_container, target = split_container_path(arguments[1])
    if source_container and target_container:
        raise UsageError("copying between containers is not supported")
    if not source_container and not target_container:
        raise UsageError("must specify at least one container source")
    if source_container:
        copied = _from_container(context, flags, (source_container, source), target)
        report = f"Successfully copied {human_size(copied)} to {os.path.abspath(target)}"
        quiet = target == "-"
    else:
        copied = _to_container(context, flags, source, (target_container, target))
        report = f"Successfully copied {human_size(copied)} to {arguments[1]}"
        quiet = source == "-"
    if not (flags["quiet"] or quiet) and sys.stderr.isatty():
        print(report, file=sys.stderr)
    return 0


def split_container_path(text: str) -> tuple[str, str]:
    """Split ``CONTAINER:PATH``; a text with a slash before its colon is a local path."""
    head, colon, tail = text.partition(":")
    if not colon or "/" in head or text.startswith((".", "/")) or not head:
        return "", text
    return head, tail


def _archive_path(container: str) -> str:
    return f"/containers/{quote(container)}/archive"


def _stat(context: Context, container: str, path: str) -> dict[str, Any] | None:
    response = context.client.send("HEAD", _archive_path(container), query={"path": path})
    response.close()
    if response.status == 404:
        return None
    if response.status >= 400:
        # A HEAD has no body: ask again for the sentence.
        context.client.get(_archive_path(container), path=path)
    document = base64.b64decode(response.headers["x-docker-container-path-stat"])
    stat: dict[str, Any] = json.loads(document)
    return stat


_IS_DIRECTORY = 1 << 31
_IS_SYMLINK = 1 << 27


def _from_container(context: Context, flags: Values, source: tuple[str, str], target: str) -> int:
    container, path = source
    if flags["follow-link"]:
        stat = _stat(context, container, path)
        if stat and stat["mode"] & _IS_SYMLINK:
            path = os.path.join(os.path.dirname(path.rstrip("/")), stat["linkTarget"])
    response = context.client.request("GET", _archive_path(container), query={"path": path})
    if target == "-":
        write_response(response, "", what=f"Copying from {container}")
        return 0
    with MovingLine(f"Copying from {container}", quiet=flags["quiet"]) as line:
        return unpack_local(
            line.counted(response.chunks()),
            target,
            contents_only=path.endswith("/."),
            keep_owner=flags["archive"],
        )


def _to_container(context: Context, flags: Values, source: str, target: tuple[str, str]) -> int:
    container, path = target
    stat = _stat(context, container, path)
    if stat and stat["mode"] & _IS_SYMLINK:
        path = os.path.join(os.path.dirname(path.rstrip("/")) or "/", stat["linkTarget"])
        stat = _stat(context, container, path)
    is_directory = bool(stat and stat["mode"] & _IS_DIRECTORY)
    body: Iterator[bytes]
    if source == "-":
        if not is_directory:
            raise UsageError(f'destination "{container}:{path}" must be a directory')
        body, size, into = read_chunks(sys.stdin.buffer), 0, path
    else:
        body, size, into = _packed(flags, source, path, is_directory=is_directory)
    query = {"path": into, "noOverwriteDirNonDir": True, "copyUIDGID": flags["archive"] or None}
    what = f"Copying to {container}"
    with MovingLine(what, total_bytes=size, quiet=flags["quiet"]) as line:
        response = context.client.send(
            "PUT",
            _archive_path(container),
            query=query,
            body=line.counted(body),
            headers={"Content-Type": "application/x-tar"},
        )
        response.raise_for_status().close()
    return size


def _packed(
    flags: Values, source: str, path: str, *, is_directory: bool
) -> tuple[Iterator[bytes], int, str]:
    """Pack a local path so that unpacking it in the returned directory gives ``path``."""
    if not os.path.lexists(source):
        raise UsageError(f"lstat {source}: no such file or directory")
    base = os.path.basename(source.rstrip("/"))
    contents_only = source.endswith("/.") or base in {".", ".."}
    source_is_directory = os.path.isdir(source) and not os.path.islink(source)
    if is_directory:
        name, into = ("." if contents_only else base), path
    elif path.endswith("/") and not source_is_directory:
        raise UsageError("no such directory")
    else:
        name, into = os.path.basename(path.rstrip("/")), os.path.dirname(path.rstrip("/")) or "/"
    body, size = pack_local(source, name, follow=flags["follow-link"], keep_owner=flags["archive"])
    return body, size, into


COMMANDS = (
    Command(
        "cp",
        "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tcutaway cp [OPTIONS] SRC_PATH|- "
        "CONTAINER:DEST_PATH",
        "Copy files/folders between a container and the local filesystem",
        copy,
        details="Use '-' as the source to read a tar archive from stdin\n"
        "and extract it to a directory destination in a container.\n"
        "Use '-' as the destination to stream a tar archive of a\ncontainer source to stdout.",
        flags="""
-a, --archive       Archive mode (copy all uid/gid information)
-L, --follow-link   Always follow symbol link in SRC_PATH
-q, --quiet         Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached
""",  # noqa: E501 - one flag a line
        at_least=2,
        at_most=2,
        aliases=("container cp",),
    ),
    Command(
        "diff",
        "CONTAINER",
        "Inspect changes to files or directories on a container's filesystem",
        diff,
        at_least=1,
        at_most=1,
        aliases=("container diff",),
    ),
    Command(
        "commit",
        "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
        "Create a new image from a container's changes",
        commit,
        flags="""
-a, --author string    Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
-c, --change list      Apply Dockerfile instruction to the created image
-m, --message string   Commit message
-p, --pause            Pause container during commit (default true)
""",
        at_least=1,
        at_most=2,
        aliases=("container commit",),
    ),
    Command(
        "export",
        "[OPTIONS] CONTAINER",
        "Export a container's filesystem as a tar archive",
        export,
        flags="-o, --output string   Write to a file, instead of STDOUT",
        at_least=1,
        at_most=1,
        aliases=("container export",),
    ),
)
