"""A fuzzer as a test: thirty seconds in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

SECONDS = 30
_RUN = Path(__file__).with_name("run.py")


def fuzz(target: str, directory: Path) -> None:
    """Fuzz one target; what was found becomes the test's message."""
    done = subprocess.run(
        [sys.executable, str(_RUN), target, str(SECONDS), str(directory)],
        capture_output=True, text=True, errors="replace", timeout=10 * SECONDS,
    )  # fmt: skip
    finding = directory / "finding"
    found = finding.read_bytes() if finding.exists() else b""
    assert done.returncode == 0, f"{target}: input {found!r}\n{done.stdout}\n{done.stderr[-4000:]}"
    executed = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert executed is not None, done.stderr[-4000:]
    assert int(executed[1]) > 1000, f"{target}: only {executed[1]} inputs were tried"
