"""Both clients of the engine, and a registry beside it."""

from collections.abc import Iterator

import pytest

from support.cli import Cli
from support.engine import EngineUnderTest
from support.registry import Registry

BOTH = ("docker", "cutaway")


@pytest.fixture(params=BOTH)
def cli(request: pytest.FixtureRequest, engine: EngineUnderTest) -> Cli:
    """Each test that takes it runs with docker's client and with ours."""
    return Cli(request.param, engine)


@pytest.fixture
def docker(engine: EngineUnderTest) -> Cli:
    return Cli("docker", engine)


@pytest.fixture(scope="module")
def registry(module_engine: EngineUnderTest) -> Iterator[Registry]:
    """Debian's registry on the test host's loopback, with busybox in it, pushed by us."""
    registry = Registry(module_engine.host)
    try:
        name = f"{registry.address}/busybox:latest"
        module_engine.docker("tag", "busybox:latest", name)
        module_engine.docker("push", "-q", name)
        module_engine.docker("rmi", name)
        yield registry
    finally:
        registry.close()
