"""The stages of a Dockerfile, and which of them a target needs. Pure.

A stage depends on another by ``FROM``, ``COPY --from`` and ``RUN --mount=from=``; what the target
does not reach is never built.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cutaway.build.dockerfile import instructions as ins
from cutaway.build.dockerfile.expand import Expander, ExpansionError
from cutaway.build.dockerfile.parser import Parsed
from cutaway.build.dockerfile.run_mounts import mount_origin
from cutaway.build.errors import BuildError, DockerfileError, suggestion


@dataclass(frozen=True, slots=True)
class Stage:
    """One ``FROM`` and what follows it.

    Attributes:
        index: its number, from 0.
        name: behind AS, or empty.
        base: the image or stage that FROM names, expanded.
        base_stage: the index of that stage, or None for an image or ``scratch``.
        platform: FROM's ``--platform``, expanded; empty for the target platform.
        instructions: behind FROM.
        origin: the FROM itself.
    """

    index: int
    name: str
    base: str
    base_stage: int | None
    platform: str
    instructions: tuple[ins.Instruction, ...]
    origin: ins.From

    @property
    def title(self) -> str:
        """How messages name the stage."""
        return self.name or f"stage-{self.index}"


@dataclass(frozen=True, slots=True)
class StageList:
    """All stages, and the ARGs that stand before the first.

    Attributes:
        global_args: their values after build arguments; only FROM sees them, and an ARG without a
            default in a stage.
    """

    stages: tuple[Stage, ...]
    global_args: Mapping[str, str]
    escape: str

    def find(self, reference: str) -> Stage | None:
        """Find a stage by name (any case) or number."""
        lowered = reference.lower()
        for stage in self.stages:
            if stage.name == lowered or (reference.isdecimal() and int(reference) == stage.index):
                return stage
        return None

    def target(self, name: str) -> Stage:
        """Return the stage that ``--target`` names; the last one for an empty name.

        Raises:
            BuildError: there is none, in the words of Docker.
        """
        if not name:
            return self.stages[-1]
        found = self.find(name)
        if found is None:
            known = [stage.name for stage in self.stages if stage.name]
            raise BuildError(
                f"failed to reach build target {name} in Dockerfile{suggestion(name, known)}"
            )
        return found

    def needed(self, target: Stage) -> tuple[Stage, ...]:
        """Return the stages that ``target`` reaches, each after those it needs.

        Raises:
            DockerfileError: a cycle.
        """
        order: list[Stage] = []
        trail: list[int] = []

        def visit(stage: Stage) -> None:
            if stage in order:
                return
            if stage.index in trail:
                names = [self.stages[i].title for i in [*trail, stage.index]]
                raise DockerfileError(
                    f"circular dependency detected on stage: {' -> '.join(names)}",
                    stage.origin.place,
                )
            trail.append(stage.index)
            for dependency in self.dependencies(stage):
                visit(dependency)
            trail.pop()
            order.append(stage)

        visit(target)
        return tuple(order)

    def dependencies(self, stage: Stage) -> Iterator[Stage]:
        """Yield the stages that one stage needs, itself apart."""
        if stage.base_stage is not None:
            yield self.stages[stage.base_stage]
        for instruction in stage.instructions:
            for reference in origins(instruction):
                found = self.find(reference)
                if found is not None:
                    yield found


def origins(instruction: ins.Instruction) -> Iterator[str]:
    """Yield the stages and images that an instruction takes files from."""
    if isinstance(instruction, ins.Copy) and instruction.from_:
        yield instruction.from_
    elif isinstance(instruction, ins.Run):
        for text in instruction.mounts:
            if origin := mount_origin(text):
                yield origin


def split_stages(
    parsed: Parsed, build_args: Mapping[str, str | None], platform_args: Mapping[str, str]
) -> StageList:
    """Group instructions into stages and expand what FROM says.

    Args:
        parsed: the file.
        build_args: ``--build-arg``; None takes the file's default.
        platform_args: ``TARGETPLATFORM`` and its kin.

    Raises:
        DockerfileError: an instruction before the first FROM, or an empty base name.
    """
    variables = dict(platform_args)
    groups: list[tuple[ins.From, list[ins.Instruction]]] = []
    for instruction in parsed.instructions:
        if isinstance(instruction, ins.From):
            groups.append((instruction, []))
        elif groups:
            groups[-1][1].append(instruction)
        elif isinstance(instruction, ins.Arg):
            _set_global(variables, instruction, build_args, parsed.escape)
        else:
            raise DockerfileError(
                "no build stage in current context: the first instruction must be FROM "
                "(or ARG before it)",
                instruction.place,
            )
    if not groups:
        raise DockerfileError("no build stage in current context: there is no FROM")
    stages: list[Stage] = []
    for origin, inside in groups:
        stages.append(_stage(stages, origin, tuple(inside), Expander(variables, parsed.escape)))
    return StageList(tuple(stages), variables, parsed.escape)


def _set_global(
    variables: dict[str, str],
    instruction: ins.Arg,
    build_args: Mapping[str, str | None],
    escape: str,
) -> None:
    for name, default in instruction.pairs:
        given = build_args.get(name)
        if given is not None:
            variables[name] = given
        elif default is not None:
            variables[name] = expand(Expander(variables, escape), default, instruction)


def expand(expander: Expander, text: str, instruction: ins.Instruction) -> str:
    """Expand one word; an error gets the instruction's place.

    Raises:
        DockerfileError: an open quote, a bad modifier, a required variable.
    """
    try:
        return expander.word(text)
    except ExpansionError as error:
        column = max(instruction.place.text.find("$"), 0)
        raise DockerfileError(
            f"failed to process {text!r}: {error}", instruction.place, column
        ) from None


def _stage(
    earlier: list[Stage],
    origin: ins.From,
    inside: tuple[ins.Instruction, ...],
    expander: Expander,
) -> Stage:
    base = expand(expander, origin.image, origin)
    if not base:
        raise DockerfileError(
            f"base name ({origin.image}) should not be blank: a variable in it has no value",
            origin.place,
            max(origin.place.text.find(origin.image), 0),
        )
    base_stage = next((s.index for s in reversed(earlier) if s.name == base.lower()), None)
    return Stage(
        index=len(earlier),
        name=origin.stage_name,
        base=base,
        base_stage=base_stage,
        platform=expand(expander, origin.platform, origin),
        instructions=inside,
        origin=origin,
    )
