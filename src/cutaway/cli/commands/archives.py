"""``save``, ``load`` and ``import``."""

import os
import sys
from collections.abc import Iterator
from io import BufferedReader
from typing import BinaryIO

from cutaway.cli.command import Command, Context
from cutaway.cli.commands.images import split_tag
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.screen.moving_line import MovingLine
from cutaway.cli.screen.progress import show_progress
from cutaway.client import Response

_CHUNK_BYTES = 1 << 20


def read_chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yield a file's content in pieces as they come, so that no archive is held in memory."""
    read = file.read1 if isinstance(file, BufferedReader) else file.read
    while chunk := read(_CHUNK_BYTES):
        yield chunk


def check_output(output: str, failure: str) -> None:
    """Refuse a path that can't be written before the engine is asked, in docker's words.

    Raises:
        UsageError: its directory does not exist, or it is one.
    """
    directory = os.path.dirname(output)
    if directory and not os.path.isdir(directory):
        reason = f"stat {directory}: no such file or directory"
        raise UsageError(f"{failure}: invalid output path: {reason}")
    if os.path.isdir(output):
        raise UsageError(f'{failure}: invalid output path: "{output}" must be a regular file')


def write_response(response: Response, output: str, *, what: str) -> None:
    """Write a body to ``output``, or to stdout when that is empty and no terminal.

    Raises:
        UsageError: stdout is a terminal.
        OSError: the file can't be written; a half-written one is removed.
    """
    if not output:
        if sys.stdout.isatty():
            response.close()
            raise UsageError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        with MovingLine(what) as line:
            for chunk in line.counted(response.chunks()):
                sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    temporary = f"{output}.{os.getpid()}.tmp"
    try:
        with open(temporary, "xb") as file, MovingLine(what) as line:
            for chunk in line.counted(response.chunks()):
                file.write(chunk)
        os.rename(temporary, output)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def save(context: Context, flags: Values, arguments: list[str]) -> int:
    """Save images to a tar archive."""
    if not flags["output"] and sys.stdout.isatty():
        raise UsageError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    check_output(flags["output"], "failed to save image")
    response = context.client.request(
        "GET", "/images/get", query={"names": arguments, "platform": flags["platform"] or None}
    )
    write_response(response, flags["output"], what=f"Saving {' '.join(arguments)}")
    return 0


def load(context: Context, flags: Values, arguments: list[str]) -> int:
    """Load images from a tar archive."""
    if not flags["input"] and sys.stdin.isatty():
        raise UsageError("requested load from stdin, but stdin is empty")
    file: BinaryIO = open(flags["input"], "rb") if flags["input"] else sys.stdin.buffer  # noqa: SIM115
    size = os.path.getsize(flags["input"]) if flags["input"] else 0
    with file, MovingLine("Sending", total_bytes=size) as line:
        response = context.client.request(
            "POST",
            "/images/load",
            query={"quiet": flags["quiet"], "platform": flags["platform"] or None},
            body=line.counted(read_chunks(file)),
            headers={"Content-Type": "application/x-tar"},
        )
    show_progress(response.documents(), sys.stdout)
    return 0


def import_archive(context: Context, flags: Values, arguments: list[str]) -> int:
    """Make an image of one layer from a tar archive of a file system."""
    source, *names = arguments
    repository, tag = split_tag(names[0]) if names else ("", "")
    is_remote = source.startswith(("http://", "https://"))
    query = {
        "fromSrc": source if is_remote else "-",
        "repo": repository or None,
        "tag": tag or None,
        "message": flags["message"] or None,
        "changes": flags["change"] or None,
        "platform": flags["platform"] or None,
    }
    file: BinaryIO | None = None
    if source == "-":
        file = sys.stdin.buffer
    elif not is_remote:
        file = open(source, "rb")  # noqa: SIM115 - lives as long as the request
    size = os.path.getsize(source) if file and source != "-" else 0
    with MovingLine(f"Importing {source}", total_bytes=size) as line:
        response = context.client.request(
            "POST",
            "/images/create",
            query=query,
            body=line.counted(read_chunks(file)) if file else None,
            headers={"Content-Type": "application/x-tar"} if file else None,
        )
    for document in response.documents():
        if "error" in document:
            raise UsageError(document["error"])
        if document.get("status"):
            print(document["status"])
    return 0


COMMANDS = (
    Command(
        "save",
        "[OPTIONS] IMAGE [IMAGE...]",
        "Save one or more images to a tar archive (streamed to STDOUT by default)",
        save,
        flags="""
-o, --output string     Write to a file, instead of STDOUT
    --platform string   Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
""",  # noqa: E501 - one flag a line
        at_least=1,
        aliases=("image save",),
    ),
    Command(
        "load",
        "[OPTIONS]",
        "Load an image from a tar archive or STDIN",
        load,
        flags="""
-i, --input string      Read from tar archive file, instead of STDIN
    --platform string   Load only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
-q, --quiet             Suppress the load output
""",  # noqa: E501 - one flag a line
        at_most=0,
        aliases=("image load",),
    ),
    Command(
        "import",
        "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
        "Import the contents from a tarball to create a filesystem image",
        import_archive,
        flags="""
-c, --change list       Apply Dockerfile instruction to the created image
-m, --message string    Set commit message for imported image
    --platform string   Set platform if server is multi-platform capable
""",
        at_least=1,
        at_most=2,
        aliases=("image import",),
    ),
)
