"""Fixtures shared by all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from cutaway.images.worker_process import end_workers
from support.engine import EngineUnderTest
from support.forked_engine import ForkedEngine
from support.images import busybox_archive


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests in order; everything but the unit tests needs root: say so once.

    The modules of several workers end together when the long ones begin and the unit tests,
    hundreds in a second, fill up the end.
    """
    items.sort(key=lambda item: (item.get_closest_marker("long") is None, _is_unit(item)))
    if os.geteuid() == 0:
        return
    for item in items:
        if not _is_unit(item):
            item.add_marker(pytest.mark.skip(reason="needs root"))


def _is_unit(item: pytest.Item) -> bool:
    return "/unit/" in str(item.path)


# Hypothesis measures by the clock; on a busy machine that says nothing about what is tested.
settings.register_profile("any load", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any load")


@pytest.fixture(scope="session", autouse=True)
def _workers() -> Iterator[None]:
    """Tests that unpack in their own process leave no process behind."""
    yield
    end_workers()


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for image archives that all tests of this process share."""
    return tmp_path_factory.mktemp("archives")


@pytest.fixture(scope="module")
def module_engine(archives: Path) -> Iterator[EngineUnderTest]:
    """An engine with the busybox image, for all tests of a module."""
    engine = EngineUnderTest().start()
    try:
        engine.docker("load", "-q", "-i", str(busybox_archive(archives)))
        yield engine
    finally:
        engine.close()


@pytest.fixture(scope="module")
def killable_engine(archives: Path) -> Iterator[EngineUnderTest]:
    """Like ``module_engine``, but cheap to start again, and it finds plugins: to be killed."""
    engine = ForkedEngine()
    engine.flags += ["--plugin-sockets", str(engine.directory / "plugins")]
    (engine.directory / "plugins").mkdir()
    try:
        engine.start()
        engine.docker("load", "-q", "-i", str(busybox_archive(archives)))
        yield engine
    finally:
        engine.close()


@pytest.fixture
def engine(module_engine: EngineUnderTest) -> Iterator[EngineUnderTest]:
    """The module's engine; afterwards its containers are removed and nothing may be left."""
    yield module_engine
    module_engine.remove_containers()
    module_engine.wait_until_clean()
