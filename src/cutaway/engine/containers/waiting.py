"""``docker wait``, and the engine's own waiting for an exit."""

import asyncio
import base64
import os

from cutaway.engine.container import Container, Waiter
from cutaway.engine.core import Core
from cutaway.engine.lifecycle import Status
from cutaway.errors import InvalidParameter, System
from cutaway.model import Begin, ContainerWaitResponse, WaitExitError
from cutaway.shim.protocol import Wait

CONDITIONS = ("not-running", "next-exit", "removed")


async def wait(
    core: Core, container: Container, condition: str, begin: Begin
) -> ContainerWaitResponse:
    """Wait until the condition is met; see ``ContainerBackend.wait``.

    Who comes after a start that failed is told its error. Who waited meanwhile is not, as in
    Docker: the client of ``run --rm`` hears it from its start, and would print it twice.

    Raises:
        InvalidParameter: no such condition.
    """
    condition = condition or "not-running"
    if condition not in CONDITIONS:
        raise InvalidParameter(f'invalid condition: "{condition}"')
    with WaitingFor(container, condition) as waiting:
        if condition == "not-running" and not _runs(container):
            pending = await begin()
            if pending is not None and pending.fd is not None:
                os.close(pending.fd)
            message = container.state.error
            return ContainerWaitResponse(
                status_code=container.state.exit_code,
                error=WaitExitError(message=message) if message else None,
            )
        pending = await begin()
        if pending is not None and pending.fd is not None:
            if waiting.waiter.answer.done():
                os.close(pending.fd)
            else:
                waiting.waiter.fd, waiting.waiter.template = pending.fd, pending.template
                hand_over_waiters(container)
        return ContainerWaitResponse(status_code=await waiting.waiter.answer)


def _runs(container: Container) -> bool:
    is_known = container.after_exit is None  # or else its exit is being put on the disk
    return container.is_alive or container.state.status is Status.RESTARTING or not is_known


def hand_over_waiters(container: Container) -> None:
    """Give the shim the sockets of those who wait, so that they are answered in any case."""
    if container.shim is None:
        return
    for waiter in container.waiters:
        fd = waiter.hand_over()
        if fd is not None:
            template = base64.b64encode(waiter.template).decode()
            container.shim.post(Wait(condition=waiter.condition, template=template), (fd,))
            os.close(fd)


class WaitingFor:
    """Somebody's place among a container's waiters; leave it by ending the ``with`` block."""

    def __init__(self, container: Container, condition: str) -> None:
        self._container = container
        self.waiter = Waiter(condition, asyncio.get_running_loop().create_future())
        container.waiters.append(self.waiter)

    def __enter__(self) -> "WaitingFor":
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Stop waiting."""
        if self.waiter in self._container.waiters:
            self._container.waiters.remove(self.waiter)
        fd = self.waiter.hand_over()
        if fd is not None:
            os.close(fd)

    async def within(self, timeout_s: float | None, otherwise: str) -> int:
        """Wait for the exit code.

        Raises:
            System: ``otherwise``, when the time is over.
        """
        try:
            return await asyncio.wait_for(asyncio.shield(self.waiter.answer), timeout_s)
        except TimeoutError:
            raise System(otherwise) from None
        finally:
            self.leave()


def exit_of(container: Container) -> WaitingFor:
    """Begin to wait for the container to stop running, before something makes it."""
    return WaitingFor(container, "not-running")
