"""What docker has not: ``story``, ``plan run`` and ``image from-host``.

``story`` prints the ledger of a container: every change that was made to the kernel and the disk
to start it, why, and how long it took. ``plan run`` prints the same steps before they are taken.
"""

import sys
from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.creating.body import build_create_body
from cutaway.cli.creating.flags import RUN_FLAGS
from cutaway.cli.flags import Values
from cutaway.cli.screen.columns import terminal_columns
from cutaway.cli.screen.progress import show_progress
from cutaway.client.http import quote


def story(context: Context, flags: Values, arguments: list[str]) -> int:
    """Tell what was done for a container, in the order it was done."""
    ledger = context.client.get(f"/cutaway/containers/{quote(arguments[0])}/story")
    records = ledger.get("records") or []
    if flags["json"]:
        _print_json(ledger)
    elif flags["shell"]:
        _print_script(record["shell"] for record in records)
    else:
        sys.stdout.write(on_terminal(story_text(records)))
    return 0


_REASON_INDENT = " " * 30


def on_terminal(text: str) -> str:
    """Wrap long lines below their own column and dim the reasons; unchanged elsewhere."""
    if not sys.stdout.isatty():
        return text
    import textwrap

    width = max(terminal_columns(1), 60)
    lines = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip())) if "why: " in line[:40] else _REASON_INDENT
        folded = textwrap.wrap(line, width, subsequent_indent=indent, drop_whitespace=False)
        shown = "\n".join(part.rstrip() for part in folded)
        lines.append(f"\033[2m{shown}\033[0m" if line.lstrip().startswith("why: ") else shown)
    return "\n".join(lines) + "\n"


def story_text(records: list[dict[str, Any]]) -> str:
    """Lay records out: start time, duration, who, what; the reason and any failure below.

    Time is counted from the first step that is not the shim's, which makes its sandbox ahead.
    """
    if not records:
        return "Nothing was done yet: the container has not been started.\n"
    started = (r["started_ns"] for r in records if r["actor"] != "shim")
    first_ns = next(started, records[0]["started_ns"])
    lines = ["     at ms   took ms  by      step"]
    for record in records:
        at_ms = (record["started_ns"] - first_ns) / 1e6
        took_ms = record["duration_ns"] / 1e6
        lines.append(f"{at_ms:>10.2f}{took_ms:>10.3f}  {record['actor']:<7} {record['what']}")
        reason = f"why: {record['why']}"
        if record.get("error"):
            reason += f"; FAILED: {record['error']}"
        if record.get("undone"):
            reason += "; undone"
        lines.append(f"{'':<30}{reason}")
    work_ms = sum(record["duration_ns"] for record in records) / 1e6
    lines.append(f"{len(records)} steps, {work_ms:.1f} ms of work")
    return "\n".join(lines) + "\n"


def plan_run(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print the steps that ``run`` with the same words would take."""
    body = build_create_body(flags, arguments, context.proxies)
    answer = context.client.post("/cutaway/plan", body, name=flags["name"] or None)
    steps = answer.get("steps") or []
    if flags["json"]:
        _print_json(answer)
    elif flags["shell"]:
        print(answer["script"], end="")
    else:
        lines = [
            f"{number:>3}. {step['actor']:<7} {step['what']}\n{'':<13}why: {step['why']}\n"
            for number, step in enumerate(steps, 1)
        ]
        sys.stdout.write(on_terminal("".join(lines)))
    for warning in answer.get("warnings") or []:
        print(f"WARNING: {warning}", file=sys.stderr)
    return 0


def _print_script(commands: Any) -> None:
    print(
        "#!/bin/sh\n# The same by hand; lines that begin with # are system calls without a command."
    )
    for command in commands:
        print(command)


def _print_json(document: Any) -> None:
    import json

    print(json.dumps(document, indent=2))


def from_host(context: Context, flags: Values, arguments: list[str]) -> int:
    """Make an image of programs of this machine and what they need."""
    name, *programs = arguments
    response = context.client.request(
        "POST", "/cutaway/images/from-host", body={"name": name, "programs": programs}
    )
    show_progress(response.documents(), sys.stdout)
    return 0


_OUTPUT_FLAGS = """
    --json    Print the records as JSON
    --shell   Print the same steps as a shell script
"""

COMMANDS = (
    Command(
        "story",
        "[OPTIONS] CONTAINER",
        "Tell what was done to the kernel for a container, why, and how long it took",
        story,
        flags=_OUTPUT_FLAGS,
        at_least=1,
        at_most=1,
    ),
    Command(
        "plan run",
        "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        "Show every step that `run` would take, and take none",
        plan_run,
        flags=RUN_FLAGS + _OUTPUT_FLAGS,
        at_least=1,
        interspersed=False,
    ),
    Command(
        "image from-host",
        "NAME PROGRAM [PROGRAM...]",
        "Make an image of programs of this machine",
        from_host,
        details="The image holds the programs, the shared libraries and interpreters they need, "
        "and the few files every Linux\nsystem has. Without programs it is what `run host` makes.",
        at_least=1,
    ),
)
