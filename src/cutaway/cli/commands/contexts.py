"""``context ls``, ``inspect``, ``show``, ``use`` and ``rm``: names for engines' addresses."""

import json
import os
from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.screen.table import print_inspected, print_rows
from cutaway.cli.screen.terminal import warn
from cutaway.cli.settings.config_file import load_config, save_config
from cutaway.cli.settings.contexts import (
    DEFAULT,
    certificates_directory,
    context_name,
    directory_of,
    engine_endpoint,
    read_certificates,
    read_context,
    remove_context,
    stored_names,
)
from cutaway.client.hosts import DEFAULT_HOST
from cutaway.errors import CutawayError


def _default(context: Context) -> dict[str, Any]:
    """Return what the environment says as the context ``default``."""
    in_force = context_name(context.flags, context.config_dir) == DEFAULT
    host = engine_endpoint(context.flags, context.config_dir).url if in_force else ""
    return {
        "Name": DEFAULT,
        "Metadata": {"Description": "Current DOCKER_HOST based configuration"},
        "Endpoints": {"docker": {"Host": host or DEFAULT_HOST, "SkipTLSVerify": False}},
    }


def _stored(context: Context) -> list[dict[str, Any]]:
    names = stored_names(context.config_dir)
    return [read_context(context.config_dir, name) for name in names]


def list_contexts(context: Context, flags: Values, arguments: list[str]) -> int:
    """List contexts; a star marks the one in force."""
    current = context_name(context.flags, context.config_dir)
    documents = sorted([_default(context), *_stored(context)], key=lambda d: str(d["Name"]))
    if flags["quiet"]:
        for document in documents:
            print(document["Name"])
    else:
        _print_contexts(documents, current, flags["format"])
    if os.environ.get("DOCKER_HOST"):
        warn(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use a "
            "context, either set the global --context flag, or unset DOCKER_HOST environment "
            "variable."
        )
    return 0


def _print_contexts(documents: list[dict[str, Any]], current: str, form: str) -> None:
    as_json = form == "json"
    rows = [_row(document, current, mark=not as_json) for document in documents]
    columns = {
        "Name": "NAME",
        "Description": "DESCRIPTION",
        "DockerEndpoint": "DOCKER ENDPOINT",
        "Error": "ERROR",
    }
    print_rows(
        rows,
        columns,
        template=form or None,
        default=list(columns),
        go_type="*formatter.clientContextContext",
    )


def _row(document: dict[str, Any], current: str, *, mark: bool) -> dict[str, Any]:
    name = document["Name"]
    return {
        "Current": name == current,
        "Description": document["Metadata"].get("Description", ""),
        "DockerEndpoint": document["Endpoints"]["docker"]["Host"],
        "Error": "",
        "Name": f"{name} *" if mark and name == current else name,
    }


def inspect(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print contexts whole."""
    names = arguments or [context_name(context.flags, context.config_dir)]
    found, problems = [], []
    for name in names:
        try:
            found.append(_inspected(context, name))
        except UsageError as error:
            problems.append(str(error))
    if flags["format"]:
        print_inspected(found, flags["format"], untyped=False)
    else:  # docker writes this one with Go's escapes
        text = json.dumps(found, indent=4, ensure_ascii=False)
        print(text.replace("<", "\\u003c").replace(">", "\\u003e"))
    for problem in problems:
        warn(problem)
    return 1 if problems else 0


def context_document(context: Context, name: str) -> dict[str, Any]:
    """Return a context's ``Name``, ``Metadata`` and ``Endpoints``, also of ``default``.

    Raises:
        UsageError: there is none of that name.
    """
    return _default(context) if name == DEFAULT else read_context(context.config_dir, name)


def _inspected(context: Context, name: str) -> dict[str, Any]:
    document = context_document(context, name)
    if name == DEFAULT:
        storage = {"MetadataPath": "<IN MEMORY>", "TLSPath": "<IN MEMORY>"}
        return {**document, "Metadata": {}, "TLSMaterial": {}, "Storage": storage}
    certificates = sorted(read_certificates(context.config_dir, name))
    storage = {
        "MetadataPath": directory_of(context.config_dir, name),
        "TLSPath": os.path.dirname(certificates_directory(context.config_dir, name)),
    }
    material = {"docker": certificates} if certificates else {}
    return {**document, "TLSMaterial": material, "Storage": storage}


def show(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print the name of the context in force."""
    print(context_name(context.flags, context.config_dir))
    return 0


def use(context: Context, flags: Values, arguments: list[str]) -> int:
    """Make a context the one in force from now on."""
    (name,) = arguments
    config = load_config(context.config_dir)
    if name == DEFAULT:
        config.pop("currentContext", None)
    else:
        read_context(context.config_dir, name)
        config["currentContext"] = name
    save_config(context.config_dir, config)
    print(name)
    warn(f'Current context is now "{name}"')
    if os.environ.get("DOCKER_HOST") and name != DEFAULT:
        warn(
            "Warning: DOCKER_HOST environment variable overrides the active context. "
            f'To use "{name}", either set the global --context flag, or unset DOCKER_HOST '
            "environment variable."
        )
    return 0


def remove(context: Context, flags: Values, arguments: list[str]) -> int:
    """Forget contexts."""
    current = context_name(context.flags, context.config_dir)
    failed = False
    for name in arguments:
        try:
            _remove_one(context, name, is_current=name == current, force=flags["force"])
        except CutawayError as error:
            warn(str(error))
            failed = True
        else:
            print(name)
    return 1 if failed else 0


def _remove_one(context: Context, name: str, *, is_current: bool, force: bool) -> None:
    if name == DEFAULT:
        raise UsageError('context "default" cannot be removed')
    if not os.path.exists(directory_of(context.config_dir, name)):
        raise UsageError(f'context "{name}" does not exist')
    if is_current:
        if not force:
            raise UsageError(f'context "{name}" is in use, set -f flag to force remove')
        config = load_config(context.config_dir)
        config.pop("currentContext", None)
        save_config(context.config_dir, config)
    remove_context(context.config_dir, name)


COMMANDS = (
    Command(
        "context ls",
        "[OPTIONS]",
        "List contexts",
        list_contexts,
        flags="""
    --format string   $FORMAT_TABLE
-q, --quiet           Only show context names
""",
        at_most=0,
        aliases=("context ls", "context list"),
    ),
    Command(
        "context inspect",
        "[OPTIONS] [CONTEXT] [CONTEXT...]",
        "Display detailed information on one or more contexts",
        inspect,
        flags="-f, --format string   $FORMAT",
    ),
    Command("context show", "", "Print the name of the current context", show, at_most=0),
    Command(
        "context use",
        "CONTEXT",
        "Set the current docker context",
        use,
        at_least=1,
        at_most=1,
    ),
    Command(
        "context rm",
        "CONTEXT [CONTEXT...]",
        "Remove one or more contexts",
        remove,
        flags="-f, --force   Force the removal of a context in use",
        at_least=1,
        aliases=("context rm", "context remove"),
    ),
)
