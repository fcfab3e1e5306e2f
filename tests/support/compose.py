"""Compose, old or new, in front of the engine under test."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.engine import EngineUnderTest


@dataclass
class Compose:
    """One of the compose programs with one project."""

    engine: EngineUnderTest
    program: str
    file: Path

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        project = ("--project-directory", str(self.file.parent), "-f", str(self.file))
        return self.engine.host.run(
            *(self.program, *project, *words),
            check=check,
            env=self.engine.environment(),
            stdin=subprocess.DEVNULL,
            timeout=180,
        )

    def __call__(self, *words: str) -> str:
        return self.run(*words).stdout

    def psql(self, statement: str) -> str:
        """Ask the database as its own client does: by TCP, with the password."""
        psql = ("psql", "-h", "127.0.0.1", "-U", "postgres", "-qtAc", statement)
        return self("exec", "-T", "-e", "PGPASSWORD=sesame", "db", *psql).strip()

    def redis(self, *words: str) -> str:
        return self("exec", "-T", "cache", "redis-cli", *words).strip()

    def states(self) -> dict[str, dict[str, Any]]:
        """Return what ``ps -a`` knows, by container name."""
        lines = self("ps", "-a", "--format", "json").splitlines()
        return {row["Name"]: row for row in map(json.loads, lines)}
