"""What two clients printed, made comparable: ids, times and program names don't count."""

import re
import subprocess
from dataclasses import dataclass

_AGO = r"(?:Less than a second|About an? (?:minute|hour)|\d+ (?:second|minute|hour|day)s?)"
_SUBSTITUTES = (
    (r"\bcutaway\b", "docker"),
    (r"sha256:[0-9a-f]{64}", "sha256:ID"),
    (r"\b[0-9a-f]{64}\b", "ID64"),
    (r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{12}\b", "ID12"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", "TIME"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [+-]\d{4} \w+", "TIME"),
    (rf"{_AGO} ago", "AGO"),
    (rf"Up {_AGO}", "Up"),
    (r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", "MAC"),
    (r"172\.\d+\.\d+\.(\d+)", r"ADDRESS.\1"),
    (r"\"Pid\": \d+", '"Pid": N'),
    # Columns are as wide as their widest cell, and ages differ in length: see test_output.py.
    (r"(?<=\S) {2,}", "  "),
)
_COMPILED = tuple((re.compile(pattern), text) for pattern, text in _SUBSTITUTES)


def normalise(text: str) -> str:
    """Take away what may differ between two runs."""
    for pattern, replacement in _COMPILED:
        text = pattern.sub(replacement, text)
    return "\n".join(line.rstrip() for line in text.splitlines())


@dataclass(frozen=True)
class Outcome:
    """What a command line did: its exit code and what it printed, normalised."""

    code: int
    out: str
    err: str

    @classmethod
    def of(cls, done: subprocess.CompletedProcess[str]) -> "Outcome":
        return cls(done.returncode, normalise(done.stdout), normalise(done.stderr))
