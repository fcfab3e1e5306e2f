"""``docker commit``: a container's own layer becomes an image's.

Source: moby ``daemon/commit.go``.
"""

import dataclasses
import os
from datetime import UTC, datetime
from typing import Any

import msgspec

from cutaway.engine.container import Container
from cutaway.engine.containers.files import ENGINE_TARGETS
from cutaway.engine.core import Core
from cutaway.engine.lifecycle import Status
from cutaway.engine.running.holding import held_still
from cutaway.engine.spec.merge import command_line
from cutaway.errors import Conflict
from cutaway.images.archives.changes import apply_changes
from cutaway.images.assemble import assemble_image, this_platform
from cutaway.images.image import Image
from cutaway.images.layer_blob import LayerBlobWriter
from cutaway.images.trees.tree import diff_layer
from cutaway.model import CommitRequest, ContainerConfig
from cutaway.oci import ContainerDefaults, Digest, History, ImageConfig, Reference, RootFS

_READ_SIZE = 256 * 1024


async def commit(core: Core, container: Container, request: CommitRequest) -> str:
    """Make an image of a container; returns its id.

    Raises:
        Conflict: it is being removed. InvalidParameter: a change or the name is none.
    """
    if container.state.status in (Status.REMOVING, Status.DEAD):
        raise Conflict(f"You cannot commit container {container.id} which is being removed")
    reference = None
    if request.repo:
        text = f"{request.repo}:{request.tag}" if request.tag else request.repo
        reference = Reference.parse(text).with_default_tag()
    config = apply_changes(container_defaults(container, request.config), request.changes)
    async with held_still(core, [container] if request.pause else ()):
        image = await core.in_thread(
            _make_image, core, container, request, config=config, reference=reference
        )
    attributes = {"comment": request.comment, "imageID": str(image.id)}
    if reference is not None:
        attributes["imageRef"] = reference.familiar
    core.commit(container, told=[("commit", attributes)])
    return str(image.id)


def container_defaults(container: Container, override: ContainerConfig | None) -> ContainerDefaults:
    """Return what containers of the new image start from: this one's configuration."""
    config = override if override is not None else container.config
    base = ContainerDefaults.from_json(_document(container.config))
    if override is None:
        return base
    given: ContainerDefaults = ContainerDefaults.from_json(_document(config))
    changed = {
        field.name: value
        for field in dataclasses.fields(given)
        if (value := getattr(given, field.name)) not in (None, "", (), {})
    }
    return dataclasses.replace(base, **changed)


def _document(config: ContainerConfig) -> dict[str, Any]:
    """Return a configuration as the JSON object that an image holds."""
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(config))
    return document


def _make_image(
    core: Core,
    container: Container,
    request: CommitRequest,
    *,
    config: ContainerDefaults,
    reference: Reference | None,
) -> Image:
    parent = _parent(core, container)
    with core.images.lease():
        with (
            LayerBlobWriter(core.images.content) as layer,
            diff_layer(core.snapshots, container.id, stubs=ENGINE_TARGETS) as stream,
        ):
            while piece := os.read(stream.fd, _READ_SIZE):
                layer.write(piece)
            stream.finish()
            descriptor, diff_id = layer.commit()
        created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        platform = parent.platform if parent else this_platform()
        step = History(
            created=created,
            created_by=" ".join(command_line(container.config)),
            author=request.author,
            comment=request.comment,
        )
        document = _document(container.config)
        image = ImageConfig(
            architecture=platform.architecture,
            variant=platform.variant,
            os=platform.os,
            created=created,
            author=request.author,
            comment=request.comment,
            config=config,
            container=container.id,
            container_config=document,
            rootfs=RootFS("layers", (*(parent.config.rootfs.diff_ids if parent else ()), diff_id)),
            history=(*(parent.config.history if parent else ()), step),
        )
        return assemble_image(
            core.images,
            core.snapshots,
            image,
            (*(parent.layers if parent else ()), descriptor),
            names=(reference,) if reference else (),
            parent=parent.id if parent else None,
            by="commit",
        )


def _parent(core: Core, container: Container) -> Image | None:
    if not container.document.chain_id:
        return None
    return core.images.get(Digest(container.document.image_id))
