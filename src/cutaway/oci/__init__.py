"""The Open Container Initiative's documents as values: images, references, runtime bundles.

The problem: images and containers are described by JSON documents that come from strangers; a
field of the wrong type, a digest with a slash in it or a document with two meanings must be found
at the door, not in the middle of a mount.

The model: every document is a frozen dataclass whose annotations are its schema (``codec.py``);
``from_json`` gives a typed value or an ``InvalidParameter`` that names the path. Nothing here does
any input or output.

Words: a *descriptor* points to content by media type, *digest* and size. A *manifest* lists an
image's *config* and *layers*; an *index* lists manifests by *platform*. A *diff id* is the digest
of an uncompressed layer, a *chain id* that of a stack of layers (``hashing.py``). A *reference* is
a name of an image: domain, path, tag, digest.

Read ``digest.py``, ``descriptor.py``, ``manifest.py``, ``image_config.py``, ``reference.py``,
then the package ``runtime_spec``: what a container is, for the runtime.

Docker's counterpart: opencontainers/image-spec and runtime-spec ``specs-go``,
distribution/reference, containerd/platforms.
"""

from cutaway.oci.codec import JsonObject, encode_document, parse_document
from cutaway.oci.descriptor import (
    CONFIG_TYPES,
    FOREIGN_LAYER_TYPES,
    INDEX_TYPES,
    LAYER_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    MediaType,
)
from cutaway.oci.digest import Digest
from cutaway.oci.image_config import (
    ContainerDefaults,
    HealthConfig,
    History,
    ImageConfig,
    RootFS,
    parse_image_config,
)
from cutaway.oci.manifest import Index, Manifest, parse_manifest
from cutaway.oci.platform import Platform
from cutaway.oci.reference import Reference

__all__ = [
    "CONFIG_TYPES",
    "FOREIGN_LAYER_TYPES",
    "INDEX_TYPES",
    "LAYER_TYPES",
    "MANIFEST_TYPES",
    "ContainerDefaults",
    "Descriptor",
    "Digest",
    "HealthConfig",
    "History",
    "ImageConfig",
    "Index",
    "JsonObject",
    "Manifest",
    "MediaType",
    "Platform",
    "Reference",
    "RootFS",
    "encode_document",
    "parse_document",
    "parse_image_config",
    "parse_manifest",
]
