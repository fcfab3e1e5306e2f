"""A build told in the words of Docker's classic builder.

    Step 1/3 : FROM busybox
     ---> 6858809bf669
    Step 2/3 : RUN echo hi
     ---> Running in 3f2a1c0b9d8e
    hi
     ---> Removed intermediate container 3f2a1c0b9d8e
     ---> 0c6f5b1c2a3d
    Successfully built 0c6f5b1c2a3d
    Successfully tagged app:latest

Clients match these lines (docker-py reads the last id of ``Successfully built``). Steps are told in
the file's order, whatever order they were solved in.

Source: moby ``builder/dockerfile``; Engine API "ImageBuild".
"""

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from cutaway.build.dockerfile.frontend import BuildStep, StagePlan
from cutaway.build.graph import BaseImage
from cutaway.build.solve.progress import VertexState
from cutaway.build.solve.solver import Solver

Message = dict[str, Any]


def stream(text: str) -> Message:
    """Return a message that prints ``text``."""
    return {"stream": text}


def failure(error: Exception, code: int = 0) -> Message:
    """Return the message that ends a failed build."""
    detail: dict[str, Any] = {"message": str(error)}
    if code:
        detail["code"] = code
    return {"errorDetail": detail, "error": str(error)}


async def tell_steps(
    solver: Solver, plans: Sequence[StagePlan], *, explain: bool = False
) -> AsyncIterator[Message]:
    """Tell every step of the needed stages, in order, as each ends; the first failure is the end.

    Args:
        solver: is solving the target already.
        plans: in the order of the file; the last is the target.
        explain: say for each step why the cache hit or missed.
    """
    total = sum(1 for plan in plans for step in plan.steps if not step.trigger)
    number = 0
    for plan in sorted(plans, key=lambda p: p.stage.index):
        triggers = sum(1 for step in plan.steps if step.trigger)
        for step in plan.steps:
            if not step.trigger:
                number += 1
                yield stream(f"Step {number}/{total} : {step.original}")
                yield stream("\n")
            async for message in _tell(solver, step, explain=explain):
                yield message
            if solver.log(step.vertex).state is VertexState.FAILED:
                return
            if step is plan.steps[0] and triggers:
                word = "trigger" if triggers == 1 else "triggers"
                yield stream(f"# Executing {triggers} build {word}\n")


async def _tell(solver: Solver, step: BuildStep, *, explain: bool) -> AsyncIterator[Message]:
    if not step.changes_files:
        yield stream(f" ---> {step_id(step, '')}\n")
        return
    log = solver.log(step.vertex)
    await log.until_running()
    if log.container_id:
        yield stream(f" ---> Running in {log.container_id[:12]}\n")
    async for source, data in log.output():
        text = data.decode("utf-8", "replace")
        # Docker marks stderr in red and only there.
        yield stream(f"\x1b[91m{text}\x1b[0m" if source == 2 else text)
    if explain and log.reason:
        yield stream(f" ---> Why: {log.reason}\n")
    if log.state is VertexState.FAILED:
        return
    if log.state is VertexState.CACHED:
        yield stream(" ---> Using cache\n")
    elif log.container_id:
        yield stream(f" ---> Removed intermediate container {log.container_id[:12]}\n")
    yield stream(f" ---> {step_id(step, log.chain_id)}\n")


def step_id(step: BuildStep, chain_id: str) -> str:
    """Return the twelve digits that stand for a step's result: of its files and configuration.

    FROM shows its image's own id. Intermediate results are no images of their own: the digits
    name what the step is, and only the last line's id can be run.
    """
    if isinstance(step.vertex, BaseImage) and step.original.upper().startswith("FROM"):
        return step.vertex.image_id.removeprefix("sha256:")[:12]
    document = [chain_id, step.config.to_json(), step.original]
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
