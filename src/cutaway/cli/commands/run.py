"""``run`` and ``create``."""

import os
import sys

from cutaway.cli.command import Command, Context
from cutaway.cli.creating.body import build_create_body
from cutaway.cli.creating.flags import CREATE_FLAGS, RUN_FLAGS
from cutaway.cli.exit_codes import start_failure_code
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.screen.attached import detach_keys, exit_status, stay_attached
from cutaway.cli.screen.terminal import parse_detach_keys, refuse_without_terminal, warn
from cutaway.client import ApiError

_PULL_POLICIES = ("always", "missing", "never")


def create(context: Context, flags: Values, arguments: list[str]) -> int:
    """Create a container and print its id."""
    print(create_container(context, flags, arguments))
    return 0


def create_container(context: Context, flags: Values, arguments: list[str]) -> str:
    """Create a container, pulling its image when it is missing (and ``--pull`` allows).

    Returns:
        The new container's id; warnings have been printed.
    """
    if flags["pull"] not in _PULL_POLICIES:
        raise UsageError(f'invalid pull option: \'{flags["pull"]}\': must be one of "always", '
                         '"missing" or "never"')  # fmt: skip
    if flags["cidfile"] and os.path.exists(flags["cidfile"]):
        raise UsageError(
            f"container ID file found, make sure the other container isn't running or delete "
            f"{flags['cidfile']}"
        )
    if not arguments[0].replace("/", "").replace(":", "").isalnum() or _has_capitals(arguments[0]):
        from cutaway.cli.commands.images import check_reference

        check_reference(arguments[0])
    body = build_create_body(flags, arguments, context.proxies)
    wants_credentials = False
    if flags["use-api-socket"]:
        from cutaway.cli.creating.api_socket import mount_api_socket, put_credentials

        wants_credentials = mount_api_socket(context, body)
    query = {"name": flags["name"] or None, "platform": flags["platform"] or None}
    if flags["pull"] == "always":
        _pull(context, flags, arguments[0])
    response = context.client.send("POST", "/containers/create", query=query, body=body)
    if response.status == 404 and flags["pull"] == "missing":
        answer = response.read().decode("utf-8", "replace")
        if "No such image" not in answer and "was found but its platform" not in answer:
            raise ApiError(404, answer.partition('"message":"')[2].rpartition('"')[0] or answer)
        if not flags["quiet"]:
            warn(f"Unable to find image '{_with_tag(arguments[0])}' locally")
        _pull(context, flags, arguments[0])
        response = context.client.send("POST", "/containers/create", query=query, body=body)
    created = response.raise_for_status().json()
    for warning in created.get("Warnings") or []:
        warn(f"WARNING: {warning}")
    container_id = str(created["Id"])
    if wants_credentials:
        put_credentials(context, container_id)
    if flags["cidfile"]:
        with open(flags["cidfile"], "x", encoding="ascii") as file:
            file.write(container_id)
    return container_id


def _has_capitals(text: str) -> bool:
    return text != text.lower()


def _with_tag(reference: str) -> str:
    has_tag = ":" in reference.rpartition("/")[2] or "@" in reference
    return reference if has_tag else f"{reference}:latest"


def _pull(context: Context, flags: Values, reference: str) -> None:
    from cutaway.cli.commands.pull import pull_image

    out = None if flags["quiet"] else sys.stderr
    pull_image(context, reference, platform=flags["platform"], out=out)


def run(context: Context, flags: Values, arguments: list[str]) -> int:
    """Create a container, attach to it, start it, and return its exit code."""
    detached = flags["detach"]
    if detached and flags["attach"]:
        warn("conflicting options: cannot specify both --attach and --detach")
        return 1
    if not detached:
        refuse_without_terminal(tty=flags["tty"], stdin=flags["interactive"])
    container_id = create_container(context, flags, arguments)
    if detached:
        _start(context, container_id)
        print(container_id)
        return 0
    return _run_attached(context, flags, container_id)


def _start(context: Context, container_id: str) -> None:
    context.client.request("POST", f"/containers/{container_id}/start").close()


def _run_attached(context: Context, flags: Values, container_id: str) -> int:
    client = context.client
    chosen = {name.lower() for name in flags["attach"]} or {"stdout", "stderr"}
    stdin = flags["interactive"] and (not flags["attach"] or "stdin" in chosen)
    keys = detach_keys(context, flags)
    parsed_keys = parse_detach_keys(keys)
    stream = client.hijack(
        f"/containers/{container_id}/attach",
        query={
            "stream": True,
            "stdin": stdin or None,
            "stdout": "stdout" in chosen or None,
            "stderr": "stderr" in chosen or None,
            "detachKeys": keys,
        },
    )
    condition = "removed" if flags["rm"] else "next-exit"
    waiting = client.request(
        "POST", f"/containers/{container_id}/wait", query={"condition": condition}
    )
    try:
        _start(context, container_id)
    except ApiError as error:
        stream.socket.close()
        if flags["rm"]:
            waiting.close()
        print(
            f"cutaway: Error response from daemon: {error}\n\n"
            "Run 'cutaway run --help' for more information",
            file=sys.stderr,
        )
        return start_failure_code(str(error))

    ended = stay_attached(
        context, container_id, stream, tty=flags["tty"], keys=parsed_keys, stdin=stdin,
        sig_proxy=flags["sig-proxy"],
    )  # fmt: skip
    return exit_status(waiting) if ended else 0


COMMANDS = (
    Command(
        "run",
        "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        "Create and run a new container from an image",
        run,
        flags=RUN_FLAGS,
        at_least=1,
        interspersed=False,
        aliases=("container run",),
        failure_code=125,
    ),
    Command(
        "create",
        "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        "Create a new container",
        create,
        flags=CREATE_FLAGS,
        at_least=1,
        interspersed=False,
        aliases=("container create",),
    ),
)
