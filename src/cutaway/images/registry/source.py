"""Which endpoint serves a repository: mirrors in order, the registry, then HTTP if allowed."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cutaway.errors import CutawayError
from cutaway.images.cancellation import Cancelled
from cutaway.images.registry.authorizer import Authorizer
from cutaway.images.registry.credentials import Credentials
from cutaway.images.registry.patience import Patience
from cutaway.images.registry.refusal import RegistryRefusal
from cutaway.images.registry.repository import Repository
from cutaway.images.registry.settings import Endpoint, RegistrySettings, endpoints_of
from cutaway.images.registry.transport import TlsFailure, Transport, TransportFailure
from cutaway.oci import Reference


class Source:
    """The repositories that may serve one reference, connected to when they are needed.

    Attributes:
        transport: that they all use.
    """

    def __init__(
        self,
        transport: Transport,
        reference: Reference,
        credentials: Credentials | None,
        is_cancelled: Callable[[], bool],
        *,
        actions: str = "pull",
    ) -> None:
        self.transport = transport
        self._reference = reference
        self._credentials = credentials
        self._is_cancelled = is_cancelled
        self._actions = actions
        is_push = actions != "pull"
        self._pending = list(endpoints_of(reference.name, transport.settings, for_push=is_push))
        self._connected: list[Repository] = []
        self._lock = threading.Lock()  # guards _pending and _connected

    def repositories(self) -> Iterator[Repository]:
        """Yield the repositories that answer, in order; the last failure is raised at the end.

        Raises:
            TransportFailure: the registry itself doesn't answer.
        """
        number = 0
        while True:
            with self._lock:
                if number >= len(self._connected) and not self._connect_next():
                    return
                repository = self._connected[number]
            number += 1
            yield repository

    def _connect_next(self) -> bool:
        while self._pending:
            endpoint = self._pending.pop(0)
            repository = self._repository(endpoint)
            try:
                repository.ping()
            except Cancelled:
                raise
            except CutawayError as error:
                if not self._may_skip(endpoint, error):
                    raise
                self.transport.explain(f"{endpoint.url} skipped for {self._pending[0].url}")
                continue
            if not endpoint.is_mirror:
                self._pending.clear()  # https answered: never plain HTTP after that
            self._connected.append(repository)
            return True
        return False

    def _may_skip(self, endpoint: Endpoint, error: CutawayError) -> bool:
        if not self._pending:
            return False
        if endpoint.is_mirror:
            return True
        # What is left is the same host by plain HTTP, which the settings allow.
        return isinstance(error, TransportFailure) and not isinstance(error, TlsFailure)

    def _repository(self, endpoint: Endpoint) -> Repository:
        def make_patience() -> Patience:
            return Patience(
                self.transport.settings, self._is_cancelled, explain=self.transport.explain
            )

        return Repository(
            self.transport,
            Authorizer(self.transport, endpoint, self._credentials),
            endpoint,
            self._reference.path,
            make_patience=make_patience,
            actions=self._actions,
        )


@contextmanager
def open_transport(
    settings: RegistrySettings,
    explain: Callable[[str], None] | None = None,
    *,
    translate: Callable[[RegistryRefusal], CutawayError],
) -> Iterator[Transport]:
    """Give a transport, closed in the end.

    Args:
        settings: of the daemon and the command.
        explain: told each request and decision.
        translate: makes Docker's error of a registry's refusal, for what is attempted.

    Raises:
        CutawayError: what ``translate`` made.
    """
    transport = Transport(settings, explain)
    try:
        yield transport
    except RegistryRefusal as refusal:
        raise translate(refusal) from refusal
    finally:
        transport.close()


def connect(
    transport: Transport,
    credentials: Credentials | None,
    reference: Reference,
    actions: str,
    *,
    is_cancelled: Callable[[], bool],
) -> Repository:
    """Return the first endpoint's repository that answers.

    Raises:
        TransportFailure: none does.
    """
    source = Source(transport, reference, credentials, is_cancelled, actions=actions)
    return next(iter(source.repositories()))
