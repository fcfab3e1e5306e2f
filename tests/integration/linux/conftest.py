"""Throw-away namespaces for the tests of the door to the kernel."""

import json
import os
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cutaway import linux
from cutaway.linux import CLONE, MS

InChild = Callable[..., Any]


def _make_network_namespace() -> int:
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
    made = _make_network_namespace()
    yield made
    os.close(made)


def _answer(write_fd: int, flags: CLONE, function: Callable[[], Any]) -> None:
    try:
        if flags & CLONE.NEWNS:
            linux.mount(None, "/", None, MS.REC | MS.PRIVATE)
        answer = {"value": function()}
    except BaseException:
        answer = {"failure": traceback.format_exc()}
    os.write(write_fd, json.dumps(answer).encode())
    os._exit(0)


@pytest.fixture
def in_child() -> InChild:
    """Return ``run(flags, function)``: call it in a child in new namespaces, return its value."""

    def run(flags: CLONE, function: Callable[[], Any]) -> Any:
        read_fd, write_fd = os.pipe()
        pid, pidfd = linux.clone3(flags)
        if pid == 0:
            _answer(write_fd, flags, function)
        os.close(write_fd)
        with open(read_fd, "rb") as file:
            text = file.read()
        ended = linux.waitid_pidfd(pidfd)
        os.close(pidfd)
        assert text, f"the child ended without an answer: {ended}"
        answer = json.loads(text)
        assert "failure" not in answer, answer["failure"]
        return answer["value"]

    return run
