"""A busybox root, a launcher, and boxes that are ended with their test."""

import os

import pytest

from cutaway.shim.client import LauncherClient
from support.shims import Box, make_root


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    return make_root(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def launcher():
    client = LauncherClient.spawn()
    yield client
    client.close()
    os.waitpid(client.pid, 0)


@pytest.fixture(params=["builtin", "runc"])
def make_box(request, tmp_path, root, launcher):
    boxes: list[Box] = []

    def make(**options) -> Box:
        box = Box(tmp_path, root, options.pop("launcher", launcher), request.param)
        boxes.append(box)
        return box

    yield make
    for box in boxes:
        box.end()


@pytest.fixture
def box(make_box):
    return make_box()
