"""A store, registries that lie, and a check that nothing is left."""

import functools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cutaway.errors import CutawayError
from cutaway.images.registry.repository import Repository
from cutaway.images.registry.source import connect
from cutaway.images.registry.transport import Transport
from support.engine import EngineUnderTest
from support.hostile_registry import QUICK, HostileRegistry
from support.image_store import Store
from support.netns import Namespace
from support.waiting import eventually, require_within


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


@pytest.fixture
def refused(
    store: Store, registry: HostileRegistry, module_engine: EngineUnderTest
) -> Callable[[type[CutawayError], str], None]:
    """Pull by the library, then by docker and an engine: each must end as told, and leave nothing.

    The function takes the library's error and what the message must have.
    """

    def check(error: type[CutawayError], message: str) -> None:
        name, started = f"{registry.address}/app", time.monotonic()
        with pytest.raises(error, match=message):
            store.pull(name)
        require_within(10, started)
        assert store.is_empty()

        registry.listen_in(Namespace.of(module_engine.host.pid))
        before = module_engine.image_files()
        ran = module_engine.docker("pull", name, check=False)
        assert ran.returncode == 1
        assert re.search(message, ran.stderr)
        eventually(lambda: module_engine.image_files() == before)

    return check
