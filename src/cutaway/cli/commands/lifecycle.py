"""Commands that do one thing to each container named: stop, kill, rm, pause, wait and update."""

import sys
from collections.abc import Callable
from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.creating.body import parse_restart, resources
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.screen.terminal import warn
from cutaway.client import ApiError
from cutaway.client.http import quote


def for_each(names: list[str], action: Callable[[str], Any], *, what: str) -> int:
    """Do ``action`` to every name, print each that succeeded, and go on after a failure.

    Returns:
        0, or 1 when any failed; each failure's sentence has been printed.
    """
    failed: list[str] = []
    for name in names:
        try:
            action(name)
        except ApiError as error:
            warn(f"Error response from daemon: {error}")
            failed.append(name)
        else:
            print(name, flush=True)
    if failed and what == "start":
        warn(f"Error: failed to start containers: {', '.join(failed)}")
    return 1 if failed else 0


def _stop_query(flags: Values) -> dict[str, Any]:
    return {"signal": flags["signal"] or None, "t": flags["timeout"]}


def stop(context: Context, flags: Values, arguments: list[str]) -> int:
    """Stop containers."""
    query = _stop_query(flags)

    def stop_one(name: str) -> None:
        if not query["signal"] and query["t"] != 0:
            _warn_of_wait(context, name)
        context.client.post(f"/containers/{quote(name)}/stop", **query)

    return for_each(arguments, stop_one, what="stop")


def _warn_of_wait(context: Context, name: str) -> None:
    """Say beforehand when a stop will take its whole time-out."""
    state = context.client.get(f"/containers/{quote(name)}/json")["State"]
    for warning in state.get("Warnings") or ():
        warn(f"WARNING: {name}: {warning}")


def restart(context: Context, flags: Values, arguments: list[str]) -> int:
    """Restart containers."""
    query = _stop_query(flags)
    return for_each(
        arguments,
        lambda name: context.client.post(f"/containers/{quote(name)}/restart", **query),
        what="restart",
    )


def kill(context: Context, flags: Values, arguments: list[str]) -> int:
    """Send a signal to containers."""
    query = {"signal": flags["signal"] or None}
    return for_each(
        arguments,
        lambda name: context.client.post(f"/containers/{quote(name)}/kill", **query),
        what="kill",
    )


def pause(context: Context, flags: Values, arguments: list[str]) -> int:
    """Freeze containers."""
    return for_each(
        arguments, lambda n: context.client.post(f"/containers/{quote(n)}/pause"), what="pause"
    )


def unpause(context: Context, flags: Values, arguments: list[str]) -> int:
    """Let frozen containers go on."""
    return for_each(
        arguments, lambda n: context.client.post(f"/containers/{quote(n)}/unpause"), what="unpause"
    )


def remove(context: Context, flags: Values, arguments: list[str]) -> int:
    """Remove containers."""
    query = {
        "force": flags["force"] or None,
        "link": flags["link"] or None,
        "v": flags["volumes"] or None,
    }

    failed = False
    for name in arguments:
        try:
            context.client.delete(f"/containers/{quote(name)}", **query)
        except ApiError as error:
            warn(f"Error response from daemon: {error}")
            failed = failed or not (flags["force"] and error.status == 404)
        else:
            print(name, flush=True)
    return 1 if failed else 0


def rename(context: Context, flags: Values, arguments: list[str]) -> int:
    """Rename a container."""
    old, new = arguments
    if not old.strip() or not new.strip():
        warn("Error: Neither old nor new names may be empty")
        return 1
    try:
        context.client.post(f"/containers/{quote(old)}/rename", name=new)
    except ApiError as error:
        warn(f"Error response from daemon: {error}\nError: failed to rename container named {old}")
        return 1
    return 0


def wait(context: Context, flags: Values, arguments: list[str]) -> int:
    """Wait for containers and print their exit codes."""
    failed = False
    for name in arguments:
        try:
            answer = context.client.post(f"/containers/{quote(name)}/wait")
        except ApiError as error:
            warn(f"Error response from daemon: {error}")
            failed = True
        else:
            print(answer["StatusCode"], flush=True)
    return 1 if failed else 0


def update(context: Context, flags: Values, arguments: list[str]) -> int:
    """Change limits and restart policy of containers."""
    if not flags.given:
        raise UsageError("you must provide one or more flags when using this command")
    body = {k: v for k, v in resources(flags).items() if v and k != "CgroupParent"}
    if flags["restart"]:
        body["RestartPolicy"] = parse_restart(flags["restart"])

    def update_one(name: str) -> None:
        answer = context.client.post(f"/containers/{quote(name)}/update", body)
        for warning in (answer or {}).get("Warnings") or []:
            print(f"WARNING: {warning}", file=sys.stderr)

    return for_each(arguments, update_one, what="update")


_STOP_FLAGS = """
-s, --signal string   Signal to send to the container
-t, --timeout int     Seconds to wait before killing the container
"""
_UPDATE_FLAGS = """
    --blkio-weight uint16        Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)
    --cpu-period int             Limit CPU CFS (Completely Fair Scheduler) period
    --cpu-quota int              Limit CPU CFS (Completely Fair Scheduler) quota
    --cpu-rt-period int          Limit the CPU real-time period in microseconds
    --cpu-rt-runtime int         Limit the CPU real-time runtime in microseconds
-c, --cpu-shares int             CPU shares (relative weight)
    --cpus decimal               Number of CPUs
    --cpuset-cpus string         CPUs in which to allow execution (0-3, 0,1)
    --cpuset-mems string         MEMs in which to allow execution (0-3, 0,1)
-m, --memory bytes               Memory limit
    --memory-reservation bytes   Memory soft limit
    --memory-swap bytes          Swap limit equal to memory plus swap: -1 to enable unlimited swap
    --pids-limit int             Tune container pids limit (set -1 for unlimited)
    --restart string             Restart policy to apply when a container exits
"""  # noqa: E501 - one flag a line
_REMOVE_FLAGS = """
-f, --force     Force the removal of a running container (uses SIGKILL)
-l, --link      Remove the specified link
-v, --volumes   Remove anonymous volumes associated with the container
"""
_MANY = "CONTAINER [CONTAINER...]"
_OPTIONS = f"[OPTIONS] {_MANY}"


def _command(
    words: str, usage: str, summary: str, run: Callable[..., int], *, flags: str = ""
) -> Command:
    names = (f"container {words}", "container remove") if words == "rm" else (f"container {words}",)
    return Command(words, usage, summary, run, flags=flags, at_least=1, aliases=names)


COMMANDS = (
    _command("stop", _OPTIONS, "Stop one or more running containers", stop, flags=_STOP_FLAGS),
    _command("restart", _OPTIONS, "Restart one or more containers", restart, flags=_STOP_FLAGS),
    _command(
        "kill",
        _OPTIONS,
        "Kill one or more running containers",
        kill,
        flags="-s, --signal string   Signal to send to the container",
    ),
    _command("pause", _MANY, "Pause all processes within one or more containers", pause),
    _command("unpause", _MANY, "Unpause all processes within one or more containers", unpause),
    _command("rm", _OPTIONS, "Remove one or more containers", remove, flags=_REMOVE_FLAGS),
    Command(
        "rename",
        "CONTAINER NEW_NAME",
        "Rename a container",
        rename,
        at_least=2,
        at_most=2,
        aliases=("container rename",),
    ),
    _command(
        "wait", _MANY, "Block until one or more containers stop, then print their exit codes", wait
    ),
    _command(
        "update",
        _OPTIONS,
        "Update configuration of one or more containers",
        update,
        flags=_UPDATE_FLAGS,
    ),
)
