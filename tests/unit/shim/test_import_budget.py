"""What the launcher imports is what every shim's memory is shared from: few modules, no asyncio."""

import json
import subprocess
import sys

BUDGET = 70
FORBIDDEN = {"asyncio", "logging", "subprocess", "threading", "ssl", "http", "urllib", "sqlite3"}


def modules_after(statement: str) -> set[str]:
    program = f"{statement}; import sys, json; print(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-I", "-c", program]
    return set(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))


def test_the_launcher_stays_within_the_import_budget():
    bare = modules_after("pass")
    added = modules_after("import cutaway.shim.launcher") - bare
    stdlib = {name for name in added if not name.startswith("cutaway")}
    assert len(stdlib) <= BUDGET, sorted(stdlib)
    assert not {name.partition(".")[0] for name in stdlib} & FORBIDDEN


def test_the_engines_client_needs_no_runtime():
    added = modules_after("import cutaway.shim.client")
    assert "cutaway.runtime" not in added
    assert not {name.partition(".")[0] for name in added} & FORBIDDEN
