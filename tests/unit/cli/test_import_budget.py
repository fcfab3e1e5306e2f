"""What a command imports before it talks to the engine: counted, not timed."""

import subprocess
import sys

import pytest

HEAVY = {
    "argparse", "asyncio", "concurrent.futures", "dataclasses", "email", "http.client", "inspect",
    "logging", "msgspec", "pathlib", "rich", "ssl", "subprocess", "tempfile", "urllib.parse",
}  # fmt: skip
BUDGET = 80  # modules over a bare start; measured 58 to 77

SCRIPT = """
import os, sys
def leave(code):
    print("\\n".join(sys.modules), file=sys.stderr)
    end(0)
end, os._exit = os._exit, leave
from cutaway.cli.main import main
main()
"""


def modules(*words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-I", "-c", SCRIPT, *words], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines())


@pytest.mark.parametrize(
    "line", ["version", "ps", "run busybox true", "exec web true", "--help", "run --help"]
)
def test_a_command_imports_little(line: str) -> None:
    bare = subprocess.run(
        [sys.executable, "-I", "-c", "import sys; print('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout.splitlines()
    loaded = modules("-H", "unix:///nonexistent/engine.sock", *line.split())
    assert loaded & (HEAVY - set(bare)) == set()
    assert len(loaded - set(bare)) <= BUDGET


def test_a_command_loads_no_other_command() -> None:
    loaded = modules("-H", "unix:///nonexistent/engine.sock", "version")
    commands = {name for name in loaded if name.startswith("cutaway.cli.commands.")}
    assert commands == {"cutaway.cli.commands.system"}
