"""Fuzzers of what registries and archives send, thirty seconds each."""

from pathlib import Path

import pytest

from fuzz.fuzzing import fuzz


@pytest.mark.parametrize("target", ["tar", "manifest", "image_config"])
def test_nothing_is_found(target: str, tmp_path: Path) -> None:
    fuzz(target, tmp_path)
