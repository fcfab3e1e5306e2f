"""Fixtures of the network tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.machine import Machine
from support.netns import Namespace


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.close()


@pytest.fixture
def namespaces() -> Iterator[Callable[[str], Namespace]]:
    """Make more namespaces; they are closed afterwards."""
    made: list[Namespace] = []

    def make(name: str = "") -> Namespace:
        made.append(Namespace(name))
        return made[-1]

    yield make
    for namespace in made:
        namespace.close()
