"""The engine by its API: what the command lines do not show is asserted on the documents."""

from collections.abc import Callable

import pytest

from support.engine import EngineUnderTest

SLEEP = ("sleep", "1000")


@pytest.fixture
def run(engine: EngineUnderTest) -> Callable[..., str]:
    """Start a container with a name; answer its id."""

    def start(name: str, *command: str, **fields: object) -> str:
        body = {"Image": "busybox", "Cmd": command or SLEEP, "StopSignal": "SIGKILL", **fields}
        created = engine.client.post("/containers/create", body, name=name)
        engine.client.post(f"/containers/{name}/start")
        identifier: str = created["Id"]
        return identifier

    return start
