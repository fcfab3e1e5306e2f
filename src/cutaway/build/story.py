"""A build told step by step as it happens, stages in parallel: what ``cutaway build`` shows.

Each step has a number, its ``id``. Messages are Docker's with these fields:

| status | aux | meaning |
|---|---|---|
| ``step`` | name, line | the step exists; all are told first |
| ``running`` | | its inputs are there |
| (stream) | | its command printed this |
| ``shell`` | container | its command failed: a shell in its place waits to be started |
| ``done`` ``cached`` | seconds, layer, reason | it ended; ``layer``: it added one |
| ``failed`` | seconds, excerpt | ``excerpt``: (line, text, is it) around the instruction |
| ``settings`` | name | the instruction adds no layer; only told with ``explain`` |
| ``pull`` | Docker's message | ``id`` is the image |
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

from cutaway.build.dockerfile.frontend import BuildStep, StagePlan
from cutaway.build.messages import Message
from cutaway.build.solve.progress import VertexLog, VertexState
from cutaway.build.solve.solver import Solver

_AROUND = 2


async def tell_story(
    solver: Solver, plans: Sequence[StagePlan], text: str, *, explain: bool
) -> AsyncIterator[Message]:
    """Tell what every step does until all have ended, or one failed.

    Args:
        solver: is solving the target already.
        plans: of the needed stages.
        text: the Dockerfile.
        explain: with reasons, and with what adds no layer.
    """
    told: asyncio.Queue[Message | None] = asyncio.Queue()
    following: list[asyncio.Task[None]] = []
    for number, (name, step) in enumerate(_steps(plans), 1):
        if step.changes_files:
            aux = {"name": name, "line": step.place.line}
            yield {"id": str(number), "status": "step", "aux": aux}
            teller = _Teller(str(number), step, told, text=text, explain=explain)
            following.append(asyncio.create_task(teller.follow(solver.log(step.vertex))))
        elif explain and not step.original.upper().startswith("FROM"):
            yield {"id": str(number), "status": "settings", "aux": {"name": name}}
    ending = asyncio.gather(*following)
    ending.add_done_callback(lambda _: told.put_nowait(None))
    try:
        while (message := await told.get()) is not None:
            yield message
            if message.get("status") == "failed":
                return
    finally:
        ending.cancel()
        await asyncio.gather(*following, return_exceptions=True)


def _steps(plans: Sequence[StagePlan]) -> list[tuple[str, BuildStep]]:
    named = []
    for plan in sorted(plans, key=lambda p: p.stage.index):
        title = f"{plan.stage.title} " if len(plans) > 1 or plan.stage.name else ""
        for number, step in enumerate(plan.steps, 1):
            named.append((f"[{title}{number}/{len(plan.steps)}] {step.original}", step))
    return named


class _Teller:
    """Follows one step and tells of it."""

    def __init__(
        self,
        number: str,
        step: BuildStep,
        told: "asyncio.Queue[Message | None]",
        *,
        text: str,
        explain: bool,
    ) -> None:
        self._number = number
        self._step = step
        self._told = told
        self._text = text
        self._explain = explain

    def _tell(self, **message: object) -> None:
        self._told.put_nowait({"id": self._number, **message})

    async def follow(self, log: VertexLog) -> None:
        position, is_running, has_shell = 0, False, False
        while True:
            if not is_running and log.state is VertexState.RUNNING:
                is_running = True
                self._tell(status="running")
            for _, data in log.output_from(position):
                position += 1
                self._tell(stream=data.decode("utf-8", "replace"))
            if log.shell_id and not has_shell:
                has_shell = True
                self._tell(status="shell", aux={"container": log.shell_id})
            if log.is_ended:
                break
            await log.changed()
        self._end(log)

    def _end(self, log: VertexLog) -> None:
        seconds = (log.ended_ns - (log.started_ns or log.ended_ns)) / 1e9
        aux: dict[str, object] = {"seconds": seconds}
        if log.state is VertexState.FAILED:
            aux["excerpt"] = self._excerpt()
        else:
            aux["layer"] = log.has_layer
        if self._explain:
            aux["reason"] = log.reason
        self._tell(status=log.state.value, aux=aux)

    def _excerpt(self) -> list[tuple[int, str, bool]]:
        place = self._step.place
        lines = self._text.split("\n")
        first = max(1, place.line - _AROUND)
        last = min(len(lines), place.last_line + _AROUND)
        return [
            (number, lines[number - 1], place.line <= number <= place.last_line)
            for number in range(first, last + 1)
        ]
