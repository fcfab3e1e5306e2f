"""An engine that has the application's images, and the ways to run the application."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.application import application_archive
from support.compose import Compose
from support.engine import EngineUnderTest
from support.peer import unpack

HERE = Path(__file__).parent
PLUGIN = "usr/libexec/docker/cli-plugins/docker-compose"


@pytest.fixture(scope="package")
def shop_engine(archives: Path) -> Iterator[EngineUnderTest]:
    """An engine with the images nginx, postgres and redis."""
    engine = EngineUnderTest().start()
    try:
        engine.docker("load", "-q", "-i", str(application_archive(archives)), timeout=240)
        yield engine
    finally:
        engine.close()


@pytest.fixture
def engine(shop_engine: EngineUnderTest) -> Iterator[EngineUnderTest]:
    """The engine; afterwards nothing of the application may be left."""
    yield shop_engine
    shop_engine.remove_containers()
    shop_engine.client.post("/networks/prune")
    shop_engine.docker("volume", "prune", "-af")
    shop_engine.wait_until_clean()


@pytest.fixture
def compose(engine: EngineUnderTest) -> Compose:
    """``docker compose`` 2.40, as Debian's unstable suite has it."""
    return Compose(engine, str(unpack("docker-compose") / PLUGIN), HERE / "project/compose.yaml")


@pytest.fixture
def compose_classic(engine: EngineUnderTest) -> Compose:
    """docker-compose 1.29, as Debian has it."""
    return Compose(engine, "/usr/bin/docker-compose", HERE / "classic/docker-compose.yml")
