"""``build``: pack the context, send it, show the story."""

import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

from cutaway.cli.building.cache import export_to, import_sources, parse_place
from cutaway.cli.building.context import (
    ContextSize,
    bring_dockerfile,
    pack_context,
    pack_input,
    read_rules,
)
from cutaway.cli.building.display import choose_display
from cutaway.cli.building.lent import open_session
from cutaway.cli.command import Command, Context
from cutaway.cli.commands.attach import attach_session
from cutaway.cli.creating.body import parse_extra_host, parse_ulimit
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.screen.progress import StreamedError
from cutaway.cli.screen.terminal import DEFAULT_DETACH_KEYS, refuse_without_terminal
from cutaway.cli.settings.credentials import all_credentials
from cutaway.cli.units import human_size

_FLAGS = """
    --add-host list          Add a custom host-to-IP mapping ("host:ip")
    --allow strings          Allow what a Dockerfile may ask for ("network.host", "security.insecure")
    --build-arg list         Set build-time variables
    --cache-from list        Caches to use: an image, "type=registry,ref=NAME", "type=local,src=DIR"
    --cache-to list          Where the cache goes: "type=registry,ref=NAME", "type=local,dest=DIR"
    --cgroup-parent string   Set the parent cgroup for the "RUN" instructions during build
    --compress               Compress the build context using gzip
    --cpu-period int         Limit the CPU CFS (Completely Fair Scheduler) period
    --cpu-quota int          Limit the CPU CFS (Completely Fair Scheduler) quota
-c, --cpu-shares int         CPU shares (relative weight)
    --cpuset-cpus string     CPUs in which to allow execution (0-3, 0,1)
    --cpuset-mems string     MEMs in which to allow execution (0-3, 0,1)
    --disable-content-trust  Skip image verification (default true)
    --explain                Say for each step why the cache hit or missed
-f, --file string            Name of the Dockerfile (Default is "PATH/Dockerfile")
    --force-rm               Always remove intermediate containers
    --iidfile string         Write the image ID to the file
    --isolation string       Container isolation technology
    --label list             Set metadata for an image
-m, --memory bytes           Memory limit
    --memory-swap bytes      Swap limit equal to memory plus swap: -1 to enable unlimited swap
    --network string         Set the networking mode for the RUN instructions during build (default "default")
    --no-cache               Do not use cache when building the image
    --on-error string        Go on after a failed step: "shell" opens one in its place
    --platform string        Set platform if server is multi-platform capable
    --progress string        Show steps as they happen ("auto", "plain", "tty"), or in order ("classic") (default "auto")
    --pull                   Always attempt to pull a newer version of the image
-q, --quiet                  Suppress the build output and print image ID on success
    --rm                     Remove intermediate containers after a successful build (default true)
    --secret list            Secret to lend to RUN --mount=type=secret ("id=ID,src=FILE", "id=ID,env=NAME")
    --security-opt strings    Security options
    --shm-size bytes         Size of "/dev/shm"
    --ssh list               SSH agent to lend to RUN --mount=type=ssh ("default", "ID=SOCKET")
    --squash                 Squash newly built layers into a single new layer
-t, --tag list               Name and optionally a tag in the "name:tag" format
    --target string          Set the target build stage to build.
    --ulimit ulimit          Ulimit options (default [])
"""  # noqa: E501 - one flag a line


def build(context: Context, flags: Values, arguments: list[str]) -> int:
    """Build an image."""
    _check(flags)
    targets = [target for text in flags["cache-to"] if (target := parse_place(text, to=True))]
    body, source = _source(flags, arguments[0])
    query = _query(context, flags) | source
    query["cachefrom"] = _json_list(import_sources(context, flags["cache-from"]))
    query["tellrecords"] = bool(targets) or None
    query["session"] = open_session(context.client, flags["secret"], flags["ssh"])
    headers = {"Content-Type": "application/x-tar", **_registry_config(context)}
    response = context.client.request("POST", "/build", query=query, body=body, headers=headers)
    if flags["progress"] == "classic" or flags["quiet"]:
        result = _show(response.documents(), quiet=flags["quiet"])
    else:
        shell = partial(_open_shell, context) if flags["on-error"] else None
        display = choose_display(flags["progress"], shell=shell)
        display.show(response.documents())
        result = display.result
    if flags["iidfile"]:
        with open(flags["iidfile"], "w", encoding="ascii") as file:
            file.write(result["ID"])
    export_to(context, targets, result.get("CacheRecords", {}))
    return 0


def _source(flags: Values, place: str) -> tuple[Iterator[bytes] | None, dict[str, Any]]:
    """Return the context to send, None for a remote one, and how the request names it."""
    if place.startswith(("http://", "https://", "git://", "git@")):
        return None, {"remote": place, "dockerfile": flags["file"] or None}
    if place == "-":
        if flags["file"] == "-":
            raise UsageError(
                "invalid argument: can't use stdin for both build context and dockerfile"
            )
        body, dockerfile = pack_input(sys.stdin.buffer), flags["file"] or None
    else:
        body, dockerfile = _local(flags, place)
    return _gzipped(body) if flags["compress"] else body, {"dockerfile": dockerfile}


def _gzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Compress what is sent: worth it where the network is slower than this machine."""
    import zlib

    packer = zlib.compressobj(wbits=31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _check(flags: Values) -> None:
    if flags["progress"] not in {"auto", "plain", "tty", "classic"}:
        raise UsageError(f"unknown progress: {flags['progress']}")
    if flags["on-error"] not in {"", "shell"}:
        raise UsageError(f'unknown --on-error {flags["on-error"]!r}: it can be "shell"')
    if flags["on-error"]:
        refuse_without_terminal(tty=True, stdin=True)
        if flags["quiet"] or flags["progress"] == "classic":
            raise UsageError("--on-error needs the output of steps: leave out --quiet and classic")


def _open_shell(context: Context, container_id: str) -> int | None:
    return attach_session(
        context, container_id, tty=True, stdin=True, keys=DEFAULT_DETACH_KEYS, sig_proxy=True,
        start=True,
    )  # fmt: skip


def _local(flags: Values, directory: str) -> tuple[Iterator[bytes], str]:
    if not os.path.isdir(directory):
        raise UsageError(f'unable to prepare context: path "{directory}" not found')
    dockerfile = flags["file"] or os.path.join(directory, "Dockerfile")
    extra: dict[str, bytes] = {}
    if dockerfile == "-":
        inside, extra = bring_dockerfile(directory, sys.stdin.buffer.read())
    else:
        if not os.path.isfile(dockerfile):
            raise UsageError(
                "unable to prepare context: unable to evaluate symlinks in Dockerfile path: "
                f"lstat {dockerfile}: no such file or directory"
            )
        inside = os.path.relpath(os.path.realpath(dockerfile), os.path.realpath(directory))
        if inside.startswith(".."):
            with open(dockerfile, "rb") as file:
                inside, extra = bring_dockerfile(directory, file.read())
    rules = read_rules(directory, dockerfile)
    size = ContextSize()
    packed = pack_context(directory, rules, extra, size)
    return (_told(packed, size) if not flags["quiet"] else packed), inside


def _told(packed: Iterator[bytes], size: ContextSize) -> Iterator[bytes]:
    """Show how much was sent, on a terminal while it is, and once at the end."""
    is_terminal = sys.stderr.isatty()
    sent = 0
    for chunk in packed:
        sent += len(chunk)
        if is_terminal:
            sys.stderr.write(f"\rSending build context to Docker daemon  {human_size(sent)}\033[K")
        yield chunk
    end = "\r" if is_terminal else ""
    print(f"{end}Sending build context to Docker daemon  {human_size(sent)}", file=sys.stderr)


def _pairs(texts: list[str]) -> dict[str, str | None]:
    values: dict[str, str | None] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        values[name] = value if equals else os.environ.get(name)
    return values


def _build_arguments(context: Context, texts: list[str]) -> dict[str, str | None]:
    """Return the build arguments: the given, else the time and proxies of the environment.

    Source: reproducible-builds.org, "SOURCE_DATE_EPOCH"; buildx passes it on likewise.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    arguments = {**({"SOURCE_DATE_EPOCH": epoch} if epoch else {}), **_pairs(texts)}
    return {**arguments, **context.proxies(set(arguments))}


def _query(context: Context, flags: Values) -> dict[str, Any]:
    labels = {name: value or "" for name, value in _pairs(flags["label"]).items()}
    ulimits = [parse_ulimit(text) for text in flags["ulimit"]]
    return {
        "t": flags["tag"],
        "target": flags["target"] or None,
        "buildargs": json.dumps(_build_arguments(context, flags["build-arg"])),
        "labels": json.dumps(labels),
        "nocache": flags["no-cache"] or None,
        "pull": flags["pull"] or None,
        "q": flags["quiet"] or None,
        "rm": flags["rm"],
        "forcerm": flags["force-rm"] or None,
        "squash": flags["squash"] or None,
        "networkmode": flags["network"],
        "extrahosts": [parse_extra_host(text) for text in flags["add-host"]],
        "memory": flags["memory"],
        "memswap": flags["memory-swap"],
        "cpushares": flags["cpu-shares"],
        "cpuperiod": flags["cpu-period"],
        "cpuquota": flags["cpu-quota"],
        "cpusetcpus": flags["cpuset-cpus"] or None,
        "cpusetmems": flags["cpuset-mems"] or None,
        "cgroupparent": flags["cgroup-parent"] or None,
        "shmsize": flags["shm-size"],
        "ulimits": _json_list(ulimits),
        "securityopt": _json_list(flags["security-opt"]),
        "isolation": flags["isolation"] or None,
        "platform": flags["platform"] or None,
        "explain": flags["explain"] or None,
        "story": (flags["progress"] != "classic" and not flags["quiet"]) or None,
        "onerror": flags["on-error"] or None,
        "allow": _json_list(flags["allow"]),
        "version": "1",
    }


def _json_list(items: list[Any]) -> str | None:
    return json.dumps(items) if items else None


def _registry_config(context: Context) -> dict[str, str]:
    import base64

    data = json.dumps(all_credentials(context.config)).encode()
    return {"X-Registry-Config": base64.urlsafe_b64encode(data).decode()}


def _show(documents: Iterator[dict[str, Any]], *, quiet: bool) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for document in documents:
        if "errorDetail" in document or "error" in document:
            detail = document.get("errorDetail") or {}
            raise StreamedError(detail.get("message") or document.get("error", ""))
        result |= document.get("aux") or {}
        text = document.get("stream", "")
        if not sys.stdout.isatty():
            text = text.replace("\x1b[91m", "").replace("\x1b[0m", "")
        if not quiet:
            sys.stdout.write(text)
            sys.stdout.flush()
    if quiet:
        print(result["ID"])
    return result


COMMANDS = (
    Command(
        "build",
        "[OPTIONS] PATH | URL | -",
        "Build an image from a Dockerfile",
        build,
        flags=_FLAGS,
        at_least=1,
        at_most=1,
        aliases=("image build", "build", "builder build"),
    ),
)
