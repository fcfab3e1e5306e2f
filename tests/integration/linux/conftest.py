"""Throw-away namespaces for the tests of the door to the kernel."""

import os
from collections.abc import Iterator

import pytest

from cutaway import linux
from cutaway.linux import CLONE


def make_network_namespace() -> int:
    """Return a descriptor of a new network namespace; this thread stays where it is."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    linux.unshare(CLONE.NEWNET)
    made = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    linux.setns(home, CLONE.NEWNET)
    os.close(home)
    return made


@pytest.fixture
def network_namespace() -> Iterator[int]:
    """Run the test in a network namespace of its own; yields a descriptor of it."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    linux.unshare(CLONE.NEWNET)
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        yield here
    finally:
        linux.setns(home, CLONE.NEWNET)
        os.close(home)
        os.close(here)


@pytest.fixture
def other_namespace(network_namespace: int) -> Iterator[int]:
    """A second network namespace, as a container's beside the host's."""
    made = make_network_namespace()
    yield made
    os.close(made)
