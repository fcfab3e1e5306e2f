"""What a shim's process does in its life: it owns one container after the other, or rests.

The first shim of a keeper comes from the launcher and waits for a container; when nothing is left
of that, for the next. One that took the place of a shim at rest knows no launcher (which may be
another by then) and ends with its container.
"""

import os
from typing import NoReturn

from cutaway import linux
from cutaway.linux.abi import PR
from cutaway.shim import rest, wire
from cutaway.shim.keeper import AT_REST, Between, KeeperLink, keep_only
from cutaway.shim.prepared import Prepared, RuntimeSupport
from cutaway.shim.protocol import Launch
from cutaway.shim.shim import Shim

FREE = {"free": True}  # what a shim tells when it can take another container
_TITLE = "cutaway: shim"


def be_shims(
    connection_fd: int, between: Between, support: RuntimeSupport, *, in_haste: bool
) -> NoReturn:
    """Own containers that come on a connection, one after the other; end with the launcher.

    Nothing of the keeper's is kept but its memory and what is ``between`` them: every other
    descriptor is closed by number, and the objects that held them are never finalized, because
    this never returns.
    """
    status = 1
    launch: Launch | None = None
    try:
        keep_only(connection_fd, *between)
        linux.set_process_title(_TITLE)
        keeper = KeeperLink(between)
        channel = wire.Channel.from_fd(connection_fd)
        os.set_blocking(connection_fd, True)
        prepared = Prepared(support)
        prepared.prepare(in_haste=in_haste)
        while (packet := channel.receive()) is not None:
            launch = Launch.from_json(packet.document)
            _be_named_after(launch)
            shim = Shim(launch, packet.fds[0], support, prepared)
            shim.begin()
            is_good_as_new = _serve(shim, keeper)
            status = AT_REST if shim.is_at_rest else 0
            if not is_good_as_new:
                break
            launch = packet = None
            linux.set_process_title(_TITLE)
            if not prepared.renew():
                break
            channel.send(FREE)
            status = 0
        else:
            status = 0
    except BaseException as error:  # the shim's own door: it must never return into the keeper
        if launch is not None:
            _leave_word(launch.bundle, error)
    finally:
        os._exit(status)


def be_woken(between: Between, support: RuntimeSupport) -> NoReturn:
    """Own the container of the shim that is at rest, until the next rest or the end."""
    status = 1
    launch: Launch | None = None
    try:
        keep_only(*between)
        keeper = KeeperLink(between)
        state, luggage = rest.read_state(keeper)
        launch = Launch.from_json(state["launch"])
        _be_named_after(launch)
        shim = rest.wake(launch, state, luggage, support)
        _serve(shim, keeper)
        status = AT_REST if shim.is_at_rest else 0
    except BaseException as error:  # as above
        if launch is not None:
            _leave_word(launch.bundle, error)
    finally:
        os._exit(status)


def _serve(shim: Shim, keeper: KeeperLink) -> bool:
    """Be the shim of one container, until it is gone or there is nothing to do.

    Returns:
        Whether all went as it should: this process can be the shim of another.
    """
    keeper.serve(shim.loop)
    shim.loop.when_idle(rest.IDLE_S, lambda: rest.go_to_rest(shim, keeper))
    shim.loop.run()
    return not shim.is_at_rest and shim.leave()


def _be_named_after(launch: Launch) -> None:
    linux.set_process_title(f"{_TITLE} {launch.container_id[:12]}")
    linux.prctl(PR.SET_CHILD_SUBREAPER, 1)


def _leave_word(bundle: str, error: BaseException) -> None:
    """Write down why a shim could not go on; the engine sees its connection end."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" at {place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else ""
    with open(f"{bundle}/shim.log", "a") as file:
        file.write(f"{type(error).__name__}: {error}{where}\n")
