"""A server with a fake engine for each test, and one shared by tests that only read."""

from collections.abc import Iterator

import pytest

from support.api_server import ApiServer


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture(scope="module")
def shared_api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server
