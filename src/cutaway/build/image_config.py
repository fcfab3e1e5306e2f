"""The config document of a finished stage. Pure, but for the clock when no epoch was given."""

import datetime
import hashlib
import json
from collections.abc import Sequence

from cutaway.build.dockerfile.frontend import BuildOptions, BuildStep, StagePlan
from cutaway.build.solve.cache import Layer
from cutaway.oci import History, ImageConfig, RootFS

COMMENT = "cutaway.build.v1"


def lineage(plans: Sequence[StagePlan]) -> tuple[BuildStep, ...]:
    """Return the steps that made the target, through the stages it is built on, FROMs apart."""
    by_index = {plan.stage.index: plan for plan in plans}
    plan: StagePlan | None = plans[-1]
    steps: tuple[BuildStep, ...] = ()
    while plan is not None:
        steps = (*plan.steps[1:], *steps)
        base_stage = plan.stage.base_stage
        plan = None if base_stage is None else by_index[base_stage]
    return steps


def image_config(
    options: BuildOptions,
    plan: StagePlan,
    layers: Sequence[Layer],
    *,
    steps: Sequence[tuple[BuildStep, bool]],
) -> ImageConfig:
    """Return the config document of a finished stage.

    History has an entry for every instruction; those that added no layer say so, and the others
    fit the layers one to one (image-spec config.md "history").

    Args:
        options: of the build.
        plan: the target stage.
        layers: of the result, the base's first.
        steps: that made it, and for each whether it added a layer.
    """
    base = plan.base.config if plan.base else None
    created = _created(options.epoch)
    own = tuple(
        History(
            created=created,
            created_by=step.created_by,
            author=step.author,
            comment=COMMENT,
            empty_layer=not has_layer,
        )
        for step, has_layer in steps
    )
    platform = options.platform
    return ImageConfig(
        architecture=base.architecture if base else platform.architecture,
        os=base.os if base else platform.os,
        variant=base.variant if base else platform.variant,
        rootfs=RootFS("layers", tuple(layer.diff_id for layer in layers)),
        config=plan.last.config,
        history=(*(base.history if base else ()), *own),
        created=created,
        author=plan.last.author,
    )


def image_key(config: ImageConfig) -> str:
    """Return the cache key of a whole image: a digest of its config without the times."""
    document = config.to_json()
    document.pop("created", None)
    for entry in document.get("history", ()):
        entry.pop("created", None)
    text = json.dumps(["image", document], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _created(epoch: int | None) -> str:
    if epoch is None:
        return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    moment = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
