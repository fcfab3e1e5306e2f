"""``inspect`` and the ``inspect`` of every kind of object."""

from collections.abc import Callable, Iterable
from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.screen.table import print_inspected
from cutaway.cli.screen.terminal import warn
from cutaway.client import ApiError
from cutaway.client.http import quote

_FORMAT = "-f, --format string   $FORMAT\n"
_VERBOSE = "-v, --verbose         Verbose output for diagnostics\n"
_SIZE = "-s, --size            Display total file sizes\n"
_PLATFORM = r"""
    --platform string  Inspect a specific platform of the multi-platform image.\nIf the image or the server is not multi-platform capable, the command will error out if the platform does not match.\n'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)
"""  # noqa: E501 - one flag a line
_PATHS = {
    "container": "/containers/{}/json",
    "image": "/images/{}/json",
    "network": "/networks/{}",
    "volume": "/volumes/{}",
}
_SWARM_PATHS = {  # asked only when named: this engine is in no swarm and has no plugins
    **{kind: f"/{kind}s/{{}}" for kind in ("config", "node", "secret", "service", "task")},
    "plugin": "/plugins/{}/json",
}
_TYPES = {
    "container": "container.InspectResponse",
    "image": "image.InspectResponse",
    "network": "network.Inspect",
    "volume": "volume.Volume",
}


def _inspect_kinds(
    context: Context, flags: Values, names: list[str], kinds: Iterable[str]
) -> tuple[list[tuple[str, Any]], list[str]]:
    found: list[tuple[str, Any]] = []
    problems = []
    names_of_query = ("size", "platform", "verbose")
    query = {name: flags.get(name) or None for name in names_of_query}
    for name in names:
        problem = f"No such object: {name}"
        for kind in kinds:
            path = (_PATHS | _SWARM_PATHS)[kind].format(quote(name))
            try:
                found.append((_TYPES.get(kind, ""), context.client.get(path, **query)))
                break
            except ApiError as error:
                if error.status != 404:
                    raise
                if kinds != tuple(_PATHS):
                    problem = f"Error response from daemon: {error}"
        else:
            problems.append(problem if "daemon" in problem else f"Error: {problem}")
    return found, problems


def _by_type(found: list[tuple[str, Any]], form: str) -> list[tuple[str, list[Any]]]:
    """Group objects for a template, which reads each as its own type; JSON is one list."""
    if form and form != "json":
        return [(go_type, [document]) for go_type, document in found]
    return [("", [document for _, document in found])]


def _run(kinds: tuple[str, ...]) -> Callable[[Context, Values, list[str]], int]:
    def run(context: Context, flags: Values, arguments: list[str]) -> int:
        wanted = kinds
        if flags.get("type"):
            if flags["type"] not in _PATHS | _SWARM_PATHS:
                known = ", ".join(f'"{kind}"' for kind in sorted(_PATHS | _SWARM_PATHS))
                raise UsageError(f'unknown type: "{flags["type"]}": must be one of {known}')
            wanted = (flags["type"],)
        found, problems = _inspect_kinds(context, flags, arguments, wanted)
        if not found and flags["format"] not in {"", "json"}:
            print()
        elif found or flags["format"] != "json":
            for go_type, documents in _by_type(found, flags["format"]):
                print_inspected(
                    documents,
                    flags["format"] or None,
                    go_type,
                    untyped=kinds != ("volume",),
                )
        for problem in problems:
            warn(problem)
        return 1 if problems else 0

    return run


def _of_kind(kind: str, flags: str, usage: str) -> Command:
    return Command(
        f"{kind} inspect",
        f"[OPTIONS] {usage} [{usage}...]",
        f"Display detailed information on one or more {kind}s",
        _run((kind,)),
        flags=flags,
        at_least=1,
    )


COMMANDS = (
    Command(
        "inspect",
        "[OPTIONS] NAME|ID [NAME|ID...]",
        "Return low-level information on Docker objects",
        _run(tuple(_PATHS)),
        flags=_FORMAT
        + "-s, --size            Display total file sizes if the type is container\n"
        + "    --type string         Only inspect objects of the given type\n",
        at_least=1,
    ),
    _of_kind("container", _FORMAT + _SIZE, "CONTAINER"),
    _of_kind("image", _FORMAT + _PLATFORM, "IMAGE"),
    _of_kind("network", _FORMAT + _VERBOSE, "NETWORK"),
    _of_kind("volume", _FORMAT, "VOLUME"),
)
