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

from cutaway.build.dockerfile.frontend import BuildStep, StagePlan
from cutaway.build.graph import BaseImage
from cutaway.build.messages import Message, stream
from cutaway.build.settings_cache import SettingsCache
from cutaway.build.solve.progress import VertexState
from cutaway.build.solve.solver import Solver


async def tell_steps(
    solver: Solver,
    plans: Sequence[StagePlan],
    settings: SettingsCache,
    *,
    explain: bool = False,
) -> AsyncIterator[Message]:
    """Tell every step of the needed stages, in order, as each ends; the first failure is the end.

    Args:
        solver: is solving the target already.
        plans: of the needed stages.
        settings: knows which instructions without a layer were met before.
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
            async for message in _tell(solver, step, settings, explain=explain):
                yield message
            if solver.log(step.vertex).state is VertexState.FAILED:
                return
            if step is plan.steps[0] and triggers:
                word = "trigger" if triggers == 1 else "triggers"
                yield stream(f"# Executing {triggers} build {word}\n")


async def _tell(
    solver: Solver, step: BuildStep, settings: SettingsCache, *, explain: bool
) -> AsyncIterator[Message]:
    if not step.changes_files:
        if not _is_from(step):
            chain_id = (await solver.solve(step.vertex)).chain_id
            if explain:
                yield stream(" ---> Why: sets configuration only: adds no layer\n")
            if settings.meet(step, chain_id):
                yield stream(" ---> Using cache\n")
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
        no_layer = "" if log.has_layer else "; changed no file: adds no layer"
        yield stream(f" ---> Why: {log.reason}{no_layer}\n")
    if log.state is VertexState.FAILED:
        return
    if log.state is VertexState.CACHED:
        yield stream(" ---> Using cache\n")
    elif log.container_id:
        yield stream(f" ---> Removed intermediate container {log.container_id[:12]}\n")
    yield stream(f" ---> {step_id(step, log.chain_id)}\n")


def _is_from(step: BuildStep) -> bool:
    return step.original.upper().startswith("FROM")


def step_id(step: BuildStep, chain_id: str) -> str:
    """Return the twelve digits that stand for a step's result: of its files and configuration.

    FROM shows its image's own id. Intermediate results are no images of their own: the digits
    name what the step is, and only the last line's id can be run.
    """
    if isinstance(step.vertex, BaseImage) and _is_from(step):
        return step.vertex.image_id.removeprefix("sha256:")[:12]
    document = [chain_id, step.config.to_json(), step.original]
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
