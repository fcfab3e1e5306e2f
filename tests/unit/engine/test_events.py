"""Events: stored with their change, told after it, filtered as Docker filters."""

import asyncio
from pathlib import Path

import pytest

from cutaway.engine.events import BACKLOG_LIMIT, Event, EventBus, Subscription, matches
from cutaway.engine.store import Store


@pytest.fixture
def bus(tmp_path: Path) -> EventBus:
    return EventBus(Store(str(tmp_path / "engine.db")))


EVENT = Event(
    "container",
    "exec_create: ls",
    "3f2a" + "0" * 60,
    {"name": "web", "image": "nginx:1", "app": "x"},
    1,
)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, True),
        ({"type": ["container"]}, True),
        ({"type": ["image"]}, False),
        ({"event": ["exec_create"]}, True),
        ({"event": ["exec_create: ls"]}, True),
        ({"event": ["exec"]}, False),
        ({"container": ["web"]}, True),
        ({"container": ["3f2a"]}, True),
        ({"container": ["db"]}, False),
        ({"container": ["db", "web"]}, True),
        ({"image": ["nginx"]}, True),
        ({"image": ["nginx:1"]}, True),
        ({"image": ["nginx:2"]}, False),
        ({"label": ["app"]}, True),
        ({"label": ["app=x"]}, True),
        ({"label": ["app=y"]}, False),
        ({"network": ["web"]}, False),
        ({"container": ["web"], "event": ["die"]}, False),
        ({"scope": ["local"]}, True),
        ({"scope": ["swarm"]}, False),
        ({"node": ["x"]}, True),
    ],
)
def test_filters(filters: dict[str, list[str]], expected: bool) -> None:
    assert matches(EVENT, filters) is expected


def test_an_event_of_an_undone_change_is_neither_told_nor_kept(bus: EventBus) -> None:
    heard: list[Event] = []
    bus.listen(heard.append)

    def fail() -> None:
        with bus.telling() as tell:
            tell("container", "start", "a")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert heard == []
    assert bus.history(0, 2**62, {}) == []


def test_history_then_the_future_without_gap_or_repetition(bus: EventBus) -> None:
    async def scenario() -> list[str]:
        bus.publish("container", "create", "a")
        seen: list[str] = []

        async def listen() -> None:
            stream = bus.subscribe(since_ns=0, until_ns=None, filters={})
            async for event in stream:
                seen.append(event.action)
                if event.action == "die":
                    return

        listener = asyncio.create_task(listen())
        await asyncio.sleep(0)
        bus.publish("container", "start", "a")
        bus.publish("container", "die", "a")
        await asyncio.wait_for(listener, 5)
        assert bus.listener_count == 0
        return seen

    assert asyncio.run(scenario()) == ["create", "start", "die"]


def test_until_a_moment_in_the_past_ends_after_the_past(bus: EventBus) -> None:
    async def scenario() -> list[str]:
        first = bus.publish("container", "create", "a")
        bus.publish("container", "start", "a")
        stream = bus.subscribe(since_ns=0, until_ns=first.time_ns, filters={})
        return [event.action async for event in stream]

    assert asyncio.run(scenario()) == ["create"]


def test_a_listener_that_does_not_read_is_let_go() -> None:
    async def scenario() -> None:
        subscription = Subscription({})
        for _ in range(BACKLOG_LIMIT + 10):
            subscription.offer(EVENT)
        assert subscription.overrun
        count = 0
        while await subscription.next(1) is not None:
            count += 1
        assert count == BACKLOG_LIMIT

    asyncio.run(scenario())


def test_events_survive_a_restart(tmp_path: Path) -> None:
    path = str(tmp_path / "engine.db")
    EventBus(Store(path)).publish("container", "die", "a", {"exitCode": "3"})
    (event,) = EventBus(Store(path)).history(0, 2**62, {})
    assert (event.action, event.attributes) == ("die", {"exitCode": "3"})
