"""Contexts for builds, and both clients in front of one engine."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.cli import Cli
from support.engine import EngineUnderTest

MakeContext = Callable[..., str]


@pytest.fixture
def context(tmp_path: Path) -> MakeContext:
    """Return a function that writes a Dockerfile and files, and returns their directory."""

    def make(dockerfile: str, **files: str) -> str:
        (tmp_path / "Dockerfile").write_text(dockerfile)
        for name, content in files.items():
            (tmp_path / name).write_text(content)
        return str(tmp_path)

    return make


@pytest.fixture
def cutaway(engine: EngineUnderTest) -> Cli:
    return Cli("cutaway", engine)
