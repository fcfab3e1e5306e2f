"""Fuzzers of what builds and commands are given, thirty seconds each."""

from pathlib import Path

import pytest

from fuzz.fuzzing import fuzz


@pytest.mark.parametrize("target", ["dockerfile", "dockerignore", "reference"])
def test_nothing_is_found(target: str, tmp_path: Path) -> None:
    fuzz(target, tmp_path)
