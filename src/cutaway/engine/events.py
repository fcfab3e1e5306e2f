"""What happened, told to whoever listens, and remembered over restarts.

An event is published inside the transaction of the change it tells about, so history and state
never disagree; listeners hear of it only after the commit.

Source: Engine API ``/events``; moby ``daemon/events``.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import msgspec

from cutaway.engine.store import Store

# A listener that is this many events behind has stopped reading: it is let go.
BACKLOG_LIMIT = 4096
Filters = Mapping[str, Iterable[str]]


class Event(msgspec.Struct, frozen=True):
    """One thing that happened to one object.

    Attributes:
        type: ``container``, ``image``, ``network``, ``volume``, ``daemon``.
        action: Docker's word: ``create``, ``start``, ``die``, ``exec_create: ls -l``, …
        id: the object's id or name.
        attributes: facts for people and filters; a container's labels are among them.
        time_ns: nanoseconds since the epoch.
    """

    type: str
    action: str
    id: str
    attributes: dict[str, str]
    time_ns: int


def matches(event: Event, filters: Filters) -> bool:
    """Say whether an event passes every filter; values of one filter are alternatives."""
    return all(
        not values or any(_MATCHERS[name](event, value) for value in values)
        for name, values in filters.items()
        if name in _MATCHERS
    )


def _is_object(kind: str) -> Callable[[Event, str], bool]:
    def match(event: Event, value: str) -> bool:
        if event.type != kind:
            return False
        return event.id.startswith(value) or event.attributes.get("name", "").startswith(value)

    return match


def _is_image(event: Event, value: str) -> bool:
    named: tuple[str, ...]
    if event.type == "image":
        named = (event.id, event.attributes.get("name", ""))
    elif event.type == "container":
        named = (event.attributes.get("image", ""),)
    else:
        return False
    return any(value in (name, name.partition(":")[0]) for name in named if name)


def _has_label(event: Event, value: str) -> bool:
    key, separator, wanted = value.partition("=")
    if key not in event.attributes:
        return False
    return not separator or event.attributes[key] == wanted


def _is_action(event: Event, value: str) -> bool:
    # `exec_create: ls` passes the filter `exec_create`, `health_status: healthy` likewise.
    return value in (event.action, event.action.partition(":")[0])


_MATCHERS: dict[str, Callable[[Event, str], bool]] = {
    "type": lambda event, value: event.type == value,
    "event": _is_action,
    "label": _has_label,
    "image": _is_image,
    "scope": lambda _event, value: value == "local",
    "container": _is_object("container"),
    "network": _is_object("network"),
    "volume": _is_object("volume"),
    "daemon": _is_object("daemon"),
}
FILTER_NAMES = frozenset(_MATCHERS) | {"plugin", "service", "node", "secret", "config"}


class Subscription:
    """One listener's queue; iterate over it."""

    def __init__(self, filters: Filters) -> None:
        self.filters = filters
        self.overrun = False
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()

    def offer(self, event: Event) -> None:
        """Queue an event that passes the filters, or end the queue when nobody reads it."""
        if self.overrun or not matches(event, self.filters):
            return
        if self._queue.qsize() >= BACKLOG_LIMIT:
            self.overrun = True
            self._queue.put_nowait(None)
            return
        self._queue.put_nowait(event)

    def end(self) -> None:
        """Let the reader finish after what is queued."""
        self._queue.put_nowait(None)

    async def next(self, timeout_s: float | None) -> Event | None:
        """Wait for the next event; None at the end or when the time is over."""
        try:
            return await asyncio.wait_for(self._queue.get(), timeout_s)
        except TimeoutError:
            return None


class EventBus:
    """Publishes events, keeps them in the store and hands them to subscriptions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._subscriptions: set[Subscription] = set()
        self._listeners: list[Callable[[Event], None]] = []
        self._last_ns = 0
        self._telling: list[Event] | None = None

    @property
    def listener_count(self) -> int:
        """How many subscriptions there are."""
        return len(self._subscriptions)

    def listen(self, callback: Callable[[Event], None]) -> None:
        """Call ``callback`` with every event after its commit, for parts of the engine itself."""
        self._listeners.append(callback)

    def publish(
        self,
        kind: str,
        action: str,
        identifier: str,
        attributes: Mapping[str, str] | None = None,
    ) -> Event:
        """Record and tell one event in a transaction of its own."""
        with self.telling() as tell:
            return tell(kind, action, identifier, attributes)

    @contextmanager
    def telling(self) -> Iterator[Callable[..., Event]]:
        """Open a transaction whose events are told to listeners once it is committed.

        Inside another one, it joins that one.

        Yields:
            ``tell(type, action, id, attributes)``, which records one event.
        """
        outer = self._telling
        told: list[Event] = [] if outer is None else outer
        self._telling = told
        try:
            with self._store.change() as transaction:

                def tell(
                    kind: str,
                    action: str,
                    identifier: str,
                    attributes: Mapping[str, str] | None = None,
                ) -> Event:
                    event = self._make(kind, action, identifier, attributes or {})
                    transaction.add_event(event.time_ns, msgspec.json.encode(event))
                    told.append(event)
                    return event

                yield tell
        finally:
            self._telling = outer
        if outer is None:
            for event in told:
                self._deliver(event)

    def _make(
        self, kind: str, action: str, identifier: str, attributes: Mapping[str, str]
    ) -> Event:
        # Strictly rising, so that `since` the last one seen repeats nothing.
        self._last_ns = max(time.time_ns(), self._last_ns + 1)
        return Event(kind, action, identifier, dict(attributes), self._last_ns)

    def _deliver(self, event: Event) -> None:
        for subscription in self._subscriptions:
            subscription.offer(event)
        for callback in self._listeners:
            callback(event)

    def history(self, since_ns: int, until_ns: int, filters: Filters) -> list[Event]:
        """Return the remembered events in a span of time that pass the filters."""
        stored = self._store.events(since_ns, until_ns)
        events = [msgspec.json.decode(document, type=Event) for document in stored]
        return [event for event in events if matches(event, filters)]

    async def subscribe(
        self, *, since_ns: int | None, until_ns: int | None, filters: Filters
    ) -> AsyncIterator[Event]:
        """Yield the past since ``since_ns``, then the future, until ``until_ns``.

        Args:
            since_ns: None for no past.
            until_ns: None for no end; a moment in the past ends after the past.
            filters: as ``matches`` takes them.
        """
        subscription = Subscription(filters)
        self._subscriptions.add(subscription)
        try:
            now_ns = time.time_ns()
            last_ns = 0
            if since_ns is not None or (until_ns is not None and until_ns <= now_ns):
                last = now_ns if until_ns is None else min(now_ns, until_ns)
                for event in self.history(since_ns or 0, last, filters):
                    last_ns = event.time_ns
                    yield event
            while until_ns is None or time.time_ns() < until_ns:
                left_s = None if until_ns is None else (until_ns - time.time_ns()) / 1e9
                upcoming = await subscription.next(left_s)
                if upcoming is None:
                    return
                if upcoming.time_ns > last_ns:
                    yield upcoming
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End every subscription."""
        for subscription in self._subscriptions:
            subscription.end()
