"""A command-line client in front of the engine under test."""

import subprocess
from dataclasses import dataclass

from support.engine import EngineUnderTest
from support.terminal import Terminal
from support.waiting import SLOWNESS


@dataclass
class Cli:
    """One of the two command-line clients, in front of the engine under test."""

    program: str
    engine: EngineUnderTest

    def __call__(
        self, *words: str, code: int = 0, stdin: str | None = None, timeout: float = 60
    ) -> str:
        """Run it, check its exit code, return its standard output."""
        return self.run(*words, code=code, stdin=stdin, timeout=timeout).stdout

    def fails(self, *words: str, code: int = 1, stdin: str | None = None) -> str:
        """Run what must fail with this code; return what it said on standard error."""
        return self.run(*words, code=code, stdin=stdin).stderr

    def run(
        self, *words: str, code: int = 0, stdin: str | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        run = self.engine.docker if self.program == "docker" else self.engine.cutaway
        given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        done = run(*words, check=False, timeout=timeout * SLOWNESS, **given)
        assert done.returncode == code, (
            f"{self.program} {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done

    def terminal(self, *words: str, **size: int) -> Terminal:
        return self.engine.terminal(*words, program=self.program, **size)
