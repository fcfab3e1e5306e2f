"""An exit: on the disk before it is acknowledged and before anybody is told who waits for it."""

import asyncio
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from cutaway.engine.container import Container, ContainerDocument, ContainerState
from cutaway.engine.containers.waiting import exit_of
from cutaway.engine.core import Core
from cutaway.engine.events import EventBus
from cutaway.engine.lifecycle import Status
from cutaway.engine.running import exits
from cutaway.engine.store import Store
from cutaway.model import ContainerConfig, HostConfig
from cutaway.shim.protocol import Event


class Shim:
    """The connection to a shim; it notes what is acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []

    def acknowledge(self, seq: int) -> None:
        self.acknowledged.append(seq)


class Engine(SimpleNamespace):
    """As much of an engine as an exit needs; its disk is done when ``disk`` is."""

    def __init__(self, directory: Path) -> None:
        store = Store(str(directory / "engine.db"))
        super().__init__(store=store, bus=EventBus(store))
        self.commit = partial(Core.commit, self)
        self.disk = asyncio.get_running_loop().create_future()
        store.flush = lambda: self.disk  # type: ignore[method-assign]

    def spawn(self, work, what):
        self.task = asyncio.ensure_future(work)
        return self.task


def running_container(*, auto_remove: bool = False) -> Container:
    document = ContainerDocument(
        id="a" * 64,
        name="web",
        created_ns=1,
        image="busybox",
        image_id="sha256:" + "b" * 64,
        chain_id="",
        platform="linux",
        config=ContainerConfig(),
        host_config=HostConfig(auto_remove=auto_remove),
    )
    container = Container(document, ContainerState(status=Status.RUNNING, pid=7, started_ns=1))
    container.shim = Shim()  # type: ignore[assignment]
    return container


EXITED = Event("exited", 3, 1, {"exit_code": 5, "exited_ns": 2})


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exits, "release_network", lambda core, container: None)


def test_nobody_is_told_before_the_exit_is_on_the_disk(tmp_path: Path) -> None:
    async def scenario() -> None:
        core, container = Engine(tmp_path), running_container()
        waiter = exit_of(container).waiter
        exits.on_event(core, container, EXITED, ())
        exits.on_event(core, container, Event("detached", 4, 1, {}), ())
        await asyncio.sleep(0)
        assert container.state.exit_code == 5
        assert not waiter.answer.done()
        assert container.shim.acknowledged == []
        core.disk.set_result(None)
        await core.task
        assert waiter.answer.result() == 5
        assert container.shim.acknowledged == [3, 4]
        died = [e for e in core.store.events(0, 1 << 62) if b'"die"' in e]
        assert len(died) == 1  # though the event was seen a second time, to be acknowledged

    asyncio.run(scenario())


def test_a_container_that_is_removed_at_its_end_waits_for_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exits.removal, "forget", lambda core, container, volumes: None)

    async def scenario() -> None:
        core, container = Engine(tmp_path), running_container(auto_remove=True)
        waiter = exit_of(container).waiter
        exits.on_event(core, container, EXITED, ())
        assert waiter.answer.result() == 5
        assert container.shim.acknowledged == [3]

    asyncio.run(scenario())
