"""``cutaway plan`` and ``cutaway story``: what would be done, and what was."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import msgspec

from cutaway.engine.container import Container, ContainerDocument, ContainerState
from cutaway.engine.containers import creation
from cutaway.engine.containers.names import generate_name
from cutaway.engine.core import Core
from cutaway.engine.ids import new_id
from cutaway.engine.networking.endpoints import sandbox_request
from cutaway.engine.spec.build import build_spec
from cutaway.engine.spec.namespaces import has_own_network, shares
from cutaway.engine.starts.intents import make_extensions, make_intent
from cutaway.engine.starts.script import write_script
from cutaway.engine.starts.starting import plan_etc
from cutaway.errors import NotFound
from cutaway.files import read_json
from cutaway.images.snapshots import Mount
from cutaway.images.snapshots.steps import PrepareSnapshot
from cutaway.model import ContainerCreate
from cutaway.runtime.extensions import Extensions
from cutaway.runtime.facts import HostFacts, probe_host_facts
from cutaway.runtime.journal import INIT_ACTOR
from cutaway.runtime.maker import MAKER_ACTOR, STEM_ACTOR
from cutaway.runtime.plan import RuntimePlan, steps_of
from cutaway.runtime.plan import plan as plan_runtime
from cutaway.shim.protocol import Ledger as TellLedger
from cutaway.shim.steps import CreateNetworkNamespace
from cutaway.steps import Ledger, Step
from cutaway.steps.ledger import LEDGER_VERSION
from cutaway.volumes import MountKind, MountPoint
from cutaway.volumes.local.steps import MakeVolume

LEDGER_PATIENCE_S = 2.0
_facts: list[HostFacts] = []


async def plan(core: Core, request: ContainerCreate) -> dict[str, Any]:
    """Say every step that creating and starting this container would take. Nothing is done.

    The addresses told are free now and are not kept.

    Raises:
        NoSuchImage, InvalidParameter: as create and start would.
    """
    if not _facts:
        _facts.append(await core.in_thread(probe_host_facts))
    image = creation.find_image(core, request.config.image, request.platform)
    checked = creation.check(core, request, image)
    container = _imagine(core, request, checked)
    snapshot = PrepareSnapshot(
        key=container.id,
        parent=container.document.chain_id or None,
        is_volatile=container.host_config.auto_remove,
        why="create",
    )
    volume_steps, points = _plan_volumes(core, container.document.mount_points)
    network_steps, etc = _plan_network(core, container)
    engine_steps = (snapshot, *volume_steps, *network_steps)
    extensions = make_extensions(core, container, _planned_mounts(core, container))
    intent = make_intent(core, container, points)
    planned = plan_runtime(
        build_spec(intent),
        _facts[0],
        id=container.id,
        bundle=core.paths.bundle(container.id),
        extensions=Extensions.from_json(extensions),
        handed_over=("network",),
    )
    steps: list[tuple[str, Step[Any]]] = []
    if has_own_network(intent):
        steps.append(("shim", CreateNetworkNamespace(why="runtime-spec linux.namespaces")))
    steps += (("engine", step) for step in engine_steps)
    steps += runtime_steps(planned)
    return {
        "version": LEDGER_VERSION,
        "steps": [describe(actor, step) for actor, step in steps],
        "script": write_script(planned, engine_steps, data_root=core.paths.data_root, etc=etc),
        "warnings": [*checked.warnings, *planned.warnings],
    }


def _imagine(core: Core, request: ContainerCreate, checked: creation.Checked) -> Container:
    """Return the container that a create would make."""
    document = ContainerDocument(
        id=new_id(),
        name=request.name or generate_name(core.containers.names),
        created_ns=time.time_ns(),
        image=request.config.image,
        image_id=str(checked.image.id),
        chain_id=str(checked.image.chain_id or ""),
        config=checked.config,
        host_config=checked.host,
        networks=dict(checked.networks),
        mounts=tuple(point.to_json() for point in checked.points),
    )
    return Container(document, ContainerState())


def runtime_steps(planned: RuntimePlan) -> Iterator[tuple[str, Step[Any]]]:
    """Give who does which of a runtime's steps, in the order in which they are done."""
    for step in (*planned.host, *steps_of(planned.outside)):
        yield MAKER_ACTOR, step
    yield STEM_ACTOR if planned.is_for_stem else MAKER_ACTOR, planned.make
    for step in steps_of(planned.beside):
        yield MAKER_ACTOR if planned.is_for_stem else INIT_ACTOR, step
    for step in steps_of(planned.init):
        yield INIT_ACTOR, step
    for step in planned.after:
        yield MAKER_ACTOR, step


def describe(actor: str, step: Step[Any]) -> dict[str, Any]:
    """Return one planned step as the API tells it."""
    return {
        "actor": actor,
        "kind": type(step).__name__,
        "what": step.describe(),
        "why": step.why,
        "shell": step.shell(),
        "arguments": step.arguments(),
    }


def _plan_volumes(
    core: Core, points: Iterable[MountPoint]
) -> tuple[list[Step[Any]], tuple[MountPoint, ...]]:
    """Return what makes the volumes that are missing, and the points with their sources."""
    steps: list[Step[Any]] = []
    planned: list[MountPoint] = []
    for point in points:
        if point.kind is MountKind.VOLUME:
            name = point.name or new_id()
            path = core.volumes.directory(name)
            if core.volumes.find(name) is None:
                steps.append(MakeVolume(why=f"volume {name}", path=path))
            point = replace(point, name=name, source=f"{path}/_data")
        planned.append(point)
    return steps, tuple(planned)


def _plan_network(core: Core, container: Container) -> tuple[tuple[Step[Any], ...], dict[str, str]]:
    """Return what joins a container to its networks, and its files about names by host path."""
    steps: tuple[Step[Any], ...] = ()
    if shares(container.host_config.network_mode):
        texts = plan_etc(core, container)
    else:
        sandbox = core.network.create_sandbox(sandbox_request(core, container))
        try:
            steps, texts = core.network.plan_join(sandbox), plan_etc(core, container)
        finally:
            core.network.delete_sandbox(sandbox.id)
    return steps, {core.paths.etc(container.id, name): text for name, text in texts.items()}


def _planned_mounts(core: Core, container: Container) -> tuple[Mount, ...]:
    """Return the overlay that a prepared snapshot would be, without preparing it."""
    root = f"{core.snapshots.root}/{container.id}"
    chain = container.document.chain_id
    if not chain:
        return (Mount("bind", f"{root}/fs", ("bind",)),)
    lower = (core.snapshots.directory(chain), *core.snapshots.lower_directories(chain))
    options = (f"lowerdir={':'.join(lower)}", f"upperdir={root}/fs", f"workdir={root}/work")
    return (Mount("overlay", "overlay", options),)


async def add_to_story(container: Container, ledger: Ledger) -> None:
    """Add to the story of a running container what was done to it since its start."""
    records = tuple(msgspec.to_builtins(record.to_json()) for record in ledger.records())
    if records and container.shim is not None:
        await container.shim.request(TellLedger(more=records))


def story(core: Core, container: Container) -> Any:
    """Return the ledger of a container's last start.

    Raises:
        NotFound: it was never started, or its ledger is gone.
    """
    deadline = time.monotonic() + LEDGER_PATIENCE_S
    while True:
        try:
            return read_json(core.paths.ledger(container.id))
        except (OSError, ValueError) as error:
            # The shim writes the ledger after the program runs, so as not to delay it.
            if not container.state.started_ns or time.monotonic() > deadline:
                raise NotFound(
                    f"container {container.id} has no story: it was never started"
                ) from error
            time.sleep(0.02)
