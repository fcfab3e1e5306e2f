"""Instructions to vertices and image configurations: the Dockerfile's meaning. Pure.

``evaluate`` walks the needed stages in order. Every instruction becomes a ``BuildStep``: the file
system after it (a vertex), the configuration after it, and its line of history.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cutaway.build.dockerfile import instructions as ins
from cutaway.build.dockerfile.copies import plan_copy
from cutaway.build.dockerfile.environment import (
    DEFAULT_PATH,
    HIDDEN_ARGS,
    Environment,
    merge_env,
    platform_args,
)
from cutaway.build.dockerfile.expand import Expander
from cutaway.build.dockerfile.parser import Parsed, parse_trigger
from cutaway.build.dockerfile.run_mounts import mount_origin, parse_run_mount
from cutaway.build.dockerfile.settings import change_settings
from cutaway.build.dockerfile.stages import Stage, StageList, expand, origins, split_stages
from cutaway.build.errors import BuildError, DockerfileError, Place, placed, suggestion
from cutaway.build.graph import (
    BaseImage,
    Context,
    Inline,
    MakeDirectory,
    MountSpec,
    RunCommand,
    Scratch,
    Vertex,
)
from cutaway.errors import InvalidParameter
from cutaway.oci import ContainerDefaults, ImageConfig, Platform

SCRATCH = "scratch"
DEFAULT_SHELL = ("/bin/sh", "-c")


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """What a name in FROM or ``--from`` turned out to be.

    Attributes:
        image_id: digest of the config.
        chain_id: snapshot of the top layer, empty without layers.
        config: the whole config document.
    """

    image_id: str
    chain_id: str
    config: ImageConfig


ImageKey = tuple[str, str]
"""(name, platform): platform is empty for the target's."""


@dataclass(frozen=True, slots=True)
class BuildStep:
    """One instruction, evaluated.

    Attributes:
        original: as it was written, for ``Step 1/3 : …``.
        vertex: the file system after it.
        config: the configuration after it.
        created_by: its line of history.
        changes_files: it made a vertex; otherwise history says ``empty_layer``.
        trigger: it came from the base image's ONBUILD.
        stage: the stage's title.
        author: MAINTAINER so far.
        place: where it stands; of a trigger, where its FROM does.
    """

    original: str
    vertex: Vertex
    config: ContainerDefaults
    created_by: str
    changes_files: bool
    trigger: bool
    stage: str
    author: str
    place: Place


@dataclass(frozen=True, slots=True)
class StagePlan:
    """A stage, evaluated.

    Attributes:
        stage: its source.
        base: the image it begins with, or None (another stage, scratch).
        steps: FROM first.
        arguments: declared by then; a stage that begins with this one has them, too.
    """

    stage: Stage
    base: ResolvedImage | None
    steps: tuple[BuildStep, ...]
    arguments: Mapping[str, str | None]

    @property
    def last(self) -> BuildStep:
        """The step whose vertex and config are the stage's result."""
        return self.steps[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What the request adds to the Dockerfile.

    Attributes:
        target: stage to build, empty for the last.
        build_args: by name; None takes the default.
        labels: set at the end.
        platform: what the result runs on.
        network: of RUN, where the Dockerfile says default.
    """

    target: str = ""
    build_args: Mapping[str, str | None] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    platform: Platform
    network: str = "default"

    @property
    def epoch(self) -> int | None:
        """SOURCE_DATE_EPOCH, if it was given.

        Raises:
            InvalidParameter: it is not a number of seconds.
        """
        text = self.build_args.get("SOURCE_DATE_EPOCH")
        if not text:
            return None
        if not text.isdecimal():
            raise InvalidParameter(f"invalid SOURCE_DATE_EPOCH: {text}")
        return int(text)


def read_stages(parsed: Parsed, options: BuildOptions) -> tuple[StageList, tuple[Stage, ...]]:
    """Return all stages, and those the target needs in the order to evaluate them.

    Raises:
        DockerfileError, BuildError: no stage, no such target, a cycle.
    """
    automatic = platform_args(options.platform) | {"TARGETSTAGE": options.target or "default"}
    stages = split_stages(parsed, options.build_args, automatic)
    return stages, stages.needed(stages.target(options.target))


def images_needed(stages: StageList, needed: tuple[Stage, ...]) -> dict[ImageKey, Place]:
    """Return the images that must be resolved before ``evaluate``, and where each is named first.

    Images that only ONBUILD triggers name are found by ``images_of_triggers``.
    """
    keys: dict[ImageKey, Place] = {}
    for stage in needed:
        if stage.base_stage is None and stage.base != SCRATCH:
            keys.setdefault((stage.base, stage.platform), stage.origin.place)
        for instruction in stage.instructions:
            for name in _image_origins(stages, instruction):
                keys.setdefault((name, ""), instruction.place)
    return keys


def missing_image(
    stages: StageList, key: ImageKey, place: Place | None, error: Exception
) -> Exception:
    """Return the error of an image that can't be had, with where it is named.

    A name that is nearly a stage's is probably that stage, misspelled.
    """
    known = [stage.name for stage in stages.stages if stage.name]
    text = f"{error}{suggestion(key[0].lower(), known)}"
    column = place.text.find(key[0]) if place else 0
    return BuildError(text if place is None else f"{text}\n{place.show(max(column, 0))}")


def _image_origins(stages: StageList, instruction: ins.Instruction) -> list[str]:
    return [n for n in origins(instruction) if n != SCRATCH and stages.find(n) is None]


def images_of_triggers(stages: StageList, image: ResolvedImage) -> tuple[ImageKey, ...]:
    """Return the images that the ONBUILD triggers of a base image name."""
    return tuple(
        (name, "")
        for expression in image.config.config.on_build
        for name in _image_origins(stages, parse_trigger(expression))
    )


def evaluate(
    stages: StageList,
    needed: tuple[Stage, ...],
    images: Mapping[ImageKey, ResolvedImage],
    options: BuildOptions,
) -> tuple[StagePlan, ...]:
    """Evaluate the needed stages; the last of the result is the target.

    Raises:
        DockerfileError, InvalidParameter: an instruction that can't be obeyed.
    """
    plans: dict[int, StagePlan] = {}
    for stage in needed:
        evaluator = _Evaluator(stages, stage, plans, images=images, options=options)
        is_target = stage is needed[-1]
        plans[stage.index] = evaluator.plan(with_labels=is_target)
    return tuple(plans.values())


class _Evaluator:
    """Evaluates one stage; its fields are the state between two instructions."""

    def __init__(
        self,
        stages: StageList,
        stage: Stage,
        plans: Mapping[int, StagePlan],
        *,
        images: Mapping[ImageKey, ResolvedImage],
        options: BuildOptions,
    ) -> None:
        self._stages = stages
        self._stage = stage
        self._plans = plans
        self._images = images
        self._options = options
        self._steps: list[BuildStep] = []
        self._vertex: Vertex = Scratch()
        self._config = ContainerDefaults()
        self._author = ""
        self._environment = Environment(options.build_args, stages.global_args)
        self._cmd_is_set = False

    def plan(self, *, with_labels: bool) -> StagePlan:
        base = self._begin()
        triggers = self._config.on_build
        self._config = replace(self._config, on_build=())
        self._record(self._stage.origin, "", changes_files=False)
        for expression in triggers:
            self._apply(parse_trigger(expression, "\\"), trigger=True)
        for instruction in self._stage.instructions:
            self._apply(instruction)
        if with_labels and self._options.labels:
            self._apply(self._label_instruction())
        return StagePlan(self._stage, base, tuple(self._steps), self._environment.arguments)

    def _begin(self) -> ResolvedImage | None:
        if self._stage.base_stage is not None:
            plan = self._plans[self._stage.base_stage]
            last = plan.last
            self._environment.inherit(plan.arguments)
            self._vertex, self._config, self._author = last.vertex, last.config, last.author
            return plan.base
        if self._stage.base == SCRATCH:
            self._config = ContainerDefaults(env=_with_path(()))
            return None
        image = self._images[self._stage.base, self._stage.platform]
        self._vertex = BaseImage(image.image_id, image.chain_id, self._stage.base)
        config = image.config.config
        self._config = replace(config, env=_with_path(config.env))
        self._author = image.config.author
        return image

    def _label_instruction(self) -> ins.Label:
        pairs = tuple(sorted(self._options.labels.items()))
        text = "LABEL " + " ".join(f"{k}={_quoted(v)}" for k, v in pairs)
        quoted = tuple((k, _quoted(v)) for k, v in pairs)
        return ins.Label(place=self._stage.origin.place, original=text, pairs=quoted)

    @property
    def _expander(self) -> Expander:
        return Expander(self._environment.variables(self._config.env), self._stages.escape)

    def _word(self, text: str, instruction: ins.Instruction) -> str:
        return expand(self._expander, text, instruction)

    def _record(
        self, instruction: ins.Instruction, created_by: str, *, changes_files: bool,
        trigger: bool = False,
    ) -> None:  # fmt: skip
        self._steps.append(
            BuildStep(
                original=instruction.original,
                vertex=self._vertex,
                config=self._config,
                created_by=created_by,
                changes_files=changes_files,
                trigger=trigger,
                stage=self._stage.title,
                author=self._author,
                place=self._stage.origin.place if trigger else instruction.place,
            )
        )

    def _apply(self, instruction: ins.Instruction, *, trigger: bool = False) -> None:
        created_by, changes_files = instruction.original, False
        try:
            if isinstance(instruction, ins.Run):
                created_by, changes_files = self._run(instruction), True
            elif isinstance(instruction, ins.Copy):
                self._copy(instruction)
                changes_files = True
            elif isinstance(instruction, ins.Workdir):
                created_by, changes_files = self._workdir(instruction), True
            elif isinstance(instruction, ins.Arg):
                self._arg(instruction)
            elif isinstance(instruction, ins.Maintainer):
                self._author = instruction.name
            elif isinstance(instruction, ins.Env):
                created_by = self._env(instruction)
            else:
                self._config = change_settings(
                    self._config, instruction, self._expander, cmd_is_set=self._cmd_is_set
                )
                self._cmd_is_set = self._cmd_is_set or isinstance(instruction, ins.Cmd)
        except BuildError as error:
            raise placed(error, instruction.place) from None
        except DockerfileError:
            raise
        except InvalidParameter as error:
            raise DockerfileError(str(error), instruction.place) from None
        self._record(instruction, created_by, changes_files=changes_files, trigger=trigger)

    def _arg(self, instruction: ins.Arg) -> None:
        for name, default in instruction.pairs:
            value = None if default is None else self._word(default, instruction)
            self._environment.declare(name, value)

    def _env(self, instruction: ins.Env) -> str:
        # All values of one ENV are expanded with the variables before it.
        expander = self._expander
        pairs = [(name, expand(expander, value, instruction)) for name, value in instruction.pairs]
        self._config = replace(self._config, env=merge_env(self._config.env, pairs))
        return "ENV " + " ".join(f"{name}={value}" for name, value in pairs)

    def _workdir(self, instruction: ins.Workdir) -> str:
        path = self._word(instruction.path, instruction)
        if not path:
            raise InvalidParameter("cannot normalize nothing: WORKDIR's path is empty")
        path = join_path(self._config.working_dir, path)
        self._vertex = MakeDirectory(
            self._vertex, path, self._options.epoch, owner=self._config.user
        )
        self._config = replace(self._config, working_dir=path)
        return f"WORKDIR {path}"

    def _copy(self, instruction: ins.Copy) -> None:
        origin: Vertex = Context()
        if instruction.from_:
            origin = self._origin(instruction.from_)
        self._vertex = plan_copy(
            instruction,
            base=self._vertex,
            origin=origin,
            cwd=self._config.working_dir or "/",
            expand=lambda text: self._word(text, instruction),
            expand_document=self._expander.document,
            epoch=self._options.epoch,
        )

    def _origin(self, reference: str) -> Vertex:
        if reference == SCRATCH:
            return Scratch()
        stage = self._stages.find(reference)
        if stage is not None:
            if stage.index == self._stage.index:
                raise InvalidParameter(
                    f"invalid from flag value {reference}: refers to current build stage"
                )
            return self._plans[stage.index].last.vertex
        image = self._images[reference, ""]
        return BaseImage(image.image_id, image.chain_id, reference)

    def _run(self, instruction: ins.Run) -> str:
        args, mounts = self._command(instruction)
        mounts += tuple(self._mount(n, instruction) for n in range(len(instruction.mounts)))
        build_env, hidden_env = self._environment.for_run(self._config.env)
        network = instruction.network
        self._vertex = RunCommand(
            base=self._vertex,
            args=args,
            env=(*self._config.env, *build_env),
            hidden_env=hidden_env,
            cwd=self._config.working_dir or "/",
            user=self._config.user,
            mounts=mounts,
            network=self._options.network if network == "default" else network,
            asks_for_host_network=network == "host" and self._options.network != "host",
            security=instruction.security,
            epoch=self._options.epoch,
        )
        prefix = f"|{len(build_env)} {' '.join(build_env)} " if build_env else ""
        return f"RUN {prefix}{' '.join(args)}"

    def _command(self, instruction: ins.Run) -> tuple[tuple[str, ...], tuple[MountSpec, ...]]:
        if not instruction.is_shell:
            return instruction.words, ()
        shell = self._config.shell or DEFAULT_SHELL
        (text,) = instruction.words
        heredocs = instruction.heredocs
        if len(heredocs) == 1 and text == heredocs[0].raw:
            only = heredocs[0]
            if only.content.startswith("#!"):
                # A script with its own interpreter is run as a file, as BuildKit does.
                target = f"/dev/pipes/{only.name}"
                script = Inline(only.name, only.content, mode=0o755)
                mount = MountSpec("bind", target, script, only.name)
                return (target,), (mount,)
            return (*shell, only.content), ()
        bodies = "".join(f"\n{doc.content}{doc.name}" for doc in heredocs)
        return (*shell, text + bodies), ()

    def _mount(self, index: int, instruction: ins.Run) -> MountSpec:
        word = self._word(instruction.mounts[index], instruction)
        mount, origin_name = parse_run_mount(word), mount_origin(word)
        origin: Vertex | None = None
        if origin_name:
            origin = self._origin(origin_name)
        elif mount.kind == "bind":
            origin = Context()
        target = mount.target
        if mount.kind == "secret" and not target and not mount.env:
            target = f"/run/secrets/{(mount.identifier or mount.source).rpartition('/')[2]}"
        if mount.kind == "ssh" and not target:
            number = sum(text.startswith("type=ssh") for text in instruction.mounts[:index])
            target = f"/run/buildkit/ssh_agent.{number}"
        if target:
            target = join_path(self._config.working_dir, target)
        identifier = mount.identifier or (target if mount.kind == "cache" else "")
        return replace(mount, target=target, origin=origin, identifier=identifier)


def _quoted(text: str) -> str:
    """Quote a label's value so that expansion gives it back unchanged."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'


def _with_path(env: tuple[str, ...]) -> tuple[str, ...]:
    """Add the default PATH where a base has none: ``ENV PATH=/x:$PATH`` counts on it."""
    has_path = any(item.startswith("PATH=") for item in env)
    return env if has_path else (*env, f"PATH={DEFAULT_PATH}")


def join_path(cwd: str, path: str) -> str:
    """Return the absolute, clean form of a container path; ``..`` stops at the root."""
    parts: list[str] = []
    for part in (path if path.startswith("/") else f"{cwd}/{path}").split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in {"", "."}:
            parts.append(part)
    return "/" + "/".join(parts)


def unused_args(options: BuildOptions, parsed: Parsed) -> tuple[str, ...]:
    """Return the names of ``--build-arg`` that no ARG declares, for a warning."""
    declared = {
        name
        for instruction in parsed.instructions
        if isinstance(instruction, ins.Arg)
        for name, _ in instruction.pairs
    }
    known = declared | HIDDEN_ARGS | {"SOURCE_DATE_EPOCH"}
    return tuple(sorted(name for name in options.build_args if name not in known))
