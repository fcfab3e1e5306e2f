"""A store, registries that lie, and a check that nothing is left."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cutaway.images.registry.repository import Repository
from cutaway.images.registry.source import connect
from cutaway.images.registry.transport import Transport
from support.hostile_registry import QUICK, HostileRegistry
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


@pytest.fixture
def repository_of() -> Iterator[Callable[..., Repository]]:
    """A function of a reference and of actions, ``pull,push``: opens a repository."""
    transport = Transport(QUICK)
    yield functools.partial(connect, transport, None, is_cancelled=lambda: False)
    transport.close()
