"""A store, registries that lie, and a check that nothing is left."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.hostile_registry import HostileRegistry
from support.image_store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path)


@pytest.fixture
def make_registry() -> Iterator[Callable[..., HostileRegistry]]:
    """A maker of registries that end with the test."""
    made: list[HostileRegistry] = []

    def make(host: str = "127.0.0.1") -> HostileRegistry:
        made.append(HostileRegistry(host))
        return made[-1]

    yield make
    for registry in made:
        registry.close()


@pytest.fixture
def registry(make_registry: Callable[..., HostileRegistry]) -> HostileRegistry:
    """One registry."""
    return make_registry()
