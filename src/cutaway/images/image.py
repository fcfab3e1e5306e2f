"""An image of this machine, as the rest of the engine sees it."""

from dataclasses import dataclass

from cutaway.errors import NotFound, System
from cutaway.oci import Descriptor, Digest, ImageConfig, Platform, Reference


class NoSuchImage(NotFound):
    """No image has this name or id; the text is matched by Docker's clients."""

    def __init__(self, name: str) -> None:
        super().__init__(f"No such image: {name}")
        self.name = name


class ImageDamaged(System):
    """The image's manifest or config can't be read any more."""

    def __init__(self, image_id: Digest, damage: str) -> None:
        super().__init__(
            f"image {image_id.short} is damaged: {damage}; pull it again, or remove it"
        )
        self.image_id = image_id


@dataclass(frozen=True, slots=True)
class Image:
    """A value: what was true when it was read from the store.

    Attributes:
        id: digest of the image config.
        manifest: descriptor of its manifest, without annotations.
        config: the image config; of a damaged image an empty one.
        layers: descriptors of its layers, lowest first.
        chain_ids: one for each layer; the last names its snapshot.
        names: references with tags, in the order in which they were given.
        repo_digests: references with digests: what a registry calls it.
        tagged_at: RFC 3339, when a name was last given; empty if unknown.
        parent: the image it was built on here.
        damage: why it can't be used; empty for a sound one.
        index: the whole index it was pulled with, for all platforms; None: it alone.
    """

    id: Digest
    manifest: Descriptor
    config: ImageConfig
    layers: tuple[Descriptor, ...] = ()
    chain_ids: tuple[Digest, ...] = ()
    names: tuple[Reference, ...] = ()
    repo_digests: tuple[Reference, ...] = ()
    tagged_at: str = ""
    parent: Digest | None = None
    damage: str = ""
    index: Descriptor | None = None

    @property
    def chain_id(self) -> Digest | None:
        """The snapshot to prepare a container on; None for an image without layers."""
        return self.chain_ids[-1] if self.chain_ids else None

    @property
    def is_dangling(self) -> bool:
        """It has no tag."""
        return not self.names

    @property
    def created(self) -> str:
        """RFC 3339, as the image config says; empty if it doesn't."""
        return self.config.created

    @property
    def platform(self) -> Platform:
        """What it runs on, normalised."""
        return self.config.platform

    @property
    def download_bytes(self) -> int:
        """Size of its layers as stored and sent, compressed mostly."""
        return sum(layer.size for layer in self.layers)
