"""Going to rest and waking: the state of a shim that has nothing to do, as one JSON object.

Only what is simple rests: a container of the built-in runtime that runs (or is paused), with
nobody attached or waiting, no exec, nothing unwritten, no timer but the next health check. All
else keeps its shim, and the next idle moment is another chance.
"""

import os
from typing import Any

from cutaway.shim import wire
from cutaway.shim.keeper import KeeperLink
from cutaway.shim.logs.opening import open_log
from cutaway.shim.luggage import Luggage
from cutaway.shim.prepared import Prepared, RuntimeSupport
from cutaway.shim.protocol import Launch, RestartPolicy, Status
from cutaway.shim.restart import RestartState
from cutaway.shim.runtimes.builtin import BuiltinRuntime
from cutaway.shim.shim import Shim

# Shorter, and a container that is used now and then would pay for forking each time.
IDLE_S = 2.0


def go_to_rest(shim: Shim, keeper: KeeperLink) -> None:
    """Hand everything to the keeper and stop the loop, if the shim can rest."""
    if not _can_rest(shim):
        return
    luggage = Luggage()
    channel = wire.Channel.from_fd(os.dup(keeper.state_write))
    channel.send(_describe(shim, luggage), tuple(luggage.fds))
    is_sent = not channel.at_end and not channel.wants_write
    channel.close()
    if is_sent:
        keeper.rest(shim.launch.container_id, shim.loop)
        shim.is_at_rest = True
        shim.loop.stop()


def _can_rest(shim: Shim) -> bool:
    run, health = shim.run, shim.health
    if run is None or shim.status not in (Status.RUNNING, Status.PAUSED):
        return False
    if len(shim.loop.timers) != (0 if health is None else 1):
        return False
    if not isinstance(run.runtime, BuiltinRuntime) or not run.runtime.can_rest:
        return False
    parts = (shim.log, shim.streams, shim.execs, shim.link, shim.waiters)
    is_quiet = all(part.can_rest for part in parts) and (health is None or health.can_rest)
    return is_quiet and not shim.has_clients


def _describe(shim: Shim, luggage: Luggage) -> dict[str, Any]:
    """Return everything that a shim knows which can rest."""
    run, oom, health = shim.run, shim.oom, shim.health
    if run is None or oom is None or not isinstance(run.runtime, BuiltinRuntime):
        raise ValueError("only a shim whose container runs can rest")
    return {
        "launch": shim.launch.to_json(),
        "status": shim.status,
        "policy": shim.policy.to_json(),
        "restart": [shim.restart.count, shim.restart.delay_ms],
        "last_exit": shim.last_exit,
        "exit_seq": shim.exit_seq,
        "told_streak": shim.told_streak,
        "network": luggage.put(shim.sandbox.network_fd),
        "ledger": shim.ledger.others(shim.sandbox.ledger),
        "link": shim.link.rest(luggage),
        "log": shim.log.rest(),
        "streams": shim.streams.rest(luggage),
        "run": run.rest(),
        "runtime": run.runtime.rest(luggage),
        "oom": oom.rest(luggage),
        "health": health.rest() if health is not None else None,
        "execs": shim.execs.rest(),
    }


def read_state(keeper: KeeperLink) -> tuple[dict[str, Any], Luggage]:
    """Return what a shim at rest has left, from the socket that holds it.

    Raises:
        ValueError: it holds nothing.
    """
    channel = wire.Channel.from_fd(os.dup(keeper.state_read))
    packet = channel.receive()
    channel.close()
    if packet is None:
        raise ValueError("a shim at rest left no state")
    return packet.document, Luggage(packet.fds)


def wake(launch: Launch, state: dict[str, Any], luggage: Luggage, support: RuntimeSupport) -> Shim:
    """Return the shim that the state describes; its loop is to be run."""
    shim = Shim(
        launch,
        luggage.take(state["link"]["control"]),
        support,
        Prepared(support),
        listener_fd=luggage.take(state["link"]["listener"]),
    )
    shim.link.wake(state["link"])
    shim.policy = RestartPolicy.from_json(state["policy"])
    shim.restart = RestartState(*state["restart"])
    shim.last_exit = state["last_exit"]
    shim.exit_seq = state["exit_seq"]
    shim.told_streak = state["told_streak"]
    shim.sandbox.adopt(luggage.take(state["network"]))
    shim.ledger.engine_records = state["ledger"]
    shim.execs.wake(state["execs"])
    _wake_run(shim, state, luggage)
    shim.status = Status(state["status"])
    return shim


def _wake_run(shim: Shim, state: dict[str, Any], luggage: Luggage) -> None:
    shim.log = open_log(shim.launch.log, shim.loop)
    shim.log.wake(state["log"])
    shim.streams = shim.new_streams()
    shim.streams.wake(state["streams"], luggage)
    run = shim.run = shim.new_run()
    run.wake(state["run"])
    if isinstance(run.runtime, BuiltinRuntime):
        run.runtime.wake(state["runtime"], luggage)
    shim.watch(run)
    if shim.oom is not None:
        shim.oom.wake(state["oom"], luggage)
    if shim.health is not None:
        shim.health.wake(state["health"])
