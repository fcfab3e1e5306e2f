"""index.json: which manifests this machine has names for, in a form that other tools read.

One entry is one name of one image; an image without names has one entry without a name. The
standard annotation ``org.opencontainers.image.ref.name`` holds the full reference, so
``skopeo inspect oci:/var/lib/cutaway/images:docker.io/library/nginx:latest`` works; our own
annotations hold what Docker knows beyond that, and may all be absent.
"""

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cutaway import files
from cutaway.errors import CutawayError, InvalidParameter
from cutaway.oci import (
    INDEX_TYPES,
    Descriptor,
    Digest,
    Index,
    Manifest,
    MediaType,
    Reference,
    encode_document,
    parse_document,
    parse_manifest,
)

REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_ID = "dev.cutaway.image.id"
MANIFEST = "dev.cutaway.image.manifest"
PARENT = "dev.cutaway.image.parent"
TAGGED_AT = "dev.cutaway.image.tagged"

_INDEX_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of index.json.

    Attributes:
        manifest: without annotations.
        image_id: digest of the image config, Docker's image id.
        name: with a tag (``docker.io/library/nginx:latest``) or a digest; None: no name.
        tagged_at: RFC 3339; empty when another tool made the entry.
        parent: the image this was built on here, if it was.
        index: the whole index that the name stands for, of which ``manifest`` is this machine's
            part; other tools see the index. None: the name stands for one image.
    """

    manifest: Descriptor
    image_id: Digest
    name: Reference | None = None
    tagged_at: str = ""
    parent: Digest | None = None
    index: Descriptor | None = None

    def to_descriptor(self) -> Descriptor:
        """Return the entry as it stands in index.json."""
        annotations = {IMAGE_ID: str(self.image_id)}
        if self.name is not None:
            annotations[REF_NAME] = str(self.name)
        if self.tagged_at:
            annotations[TAGGED_AT] = self.tagged_at
        if self.parent is not None:
            annotations[PARENT] = str(self.parent)
        if self.index is None:
            return self.manifest.with_annotations(annotations)
        annotations[MANIFEST] = encode_document(self.manifest.to_json()).decode()
        return self.index.with_annotations(annotations)


class IndexFile:
    """Reads and writes index.json; reads again when another program has changed it."""

    def __init__(self, root: str, make_room: Callable[[], bool] = lambda: False) -> None:
        self.path = os.path.join(root, "index.json")
        self._make_room = make_room
        self._root = root
        self._entries: tuple[Entry, ...] = ()
        self._stamp: tuple[int, int, int] | None = None

    def load(self) -> tuple[Entry, ...]:
        """Return the entries; a missing file has none, a damaged one is set aside and replaced.

        The engine starts whatever is damaged: the version before the last write is used, or else
        the manifests found among the blobs, which have then lost their names.
        """
        stamp = self._stat()
        if stamp == self._stamp and stamp is not None:
            return self._entries
        if stamp is None:
            self._entries, self._stamp = (), None
            return ()
        try:
            self._entries = self._read(self.path)
        except (CutawayError, OSError):
            self._recover()
        self._stamp = self._stat()
        return self._entries

    def save(self, entries: Iterable[Entry]) -> None:
        """Replace index.json durably; the version before is kept beside it.

        Raises:
            OSError: ENOSPC and the like; nothing has changed then, in the file and in memory.
        """
        new = tuple(entries)
        index = Index(
            schema_version=2,
            media_type=MediaType.OCI_INDEX.value,
            manifests=tuple(entry.to_descriptor() for entry in new),
        )
        previous = self.path + ".previous"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(previous)
        with contextlib.suppress(FileNotFoundError):
            os.link(self.path, previous)
        self._write(encode_document(index.to_json()))
        self._entries, self._stamp = new, self._stat()

    def _write(self, data: bytes) -> None:
        while True:
            try:
                files.write_atomic(self.path, data, mode=0o644)
            except OSError as error:
                if error.errno == errno.ENOSPC and self._make_room():
                    continue
                raise
            return

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            stat = os.stat(self.path)
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def _read(self, path: str) -> tuple[Entry, ...]:
        with open(path, "rb") as file:
            document = parse_document(file.read(_INDEX_LIMIT), "index.json")
        index = Index.from_json(document, "index.json")
        found = (self._entry(descriptor) for descriptor in index.manifests)
        return tuple(entry for entry in found if entry is not None)

    def _entry(self, descriptor: Descriptor) -> Entry | None:
        annotations = descriptor.annotations
        image_id = self._image_id(descriptor)
        if image_id is None:
            return None
        name = None
        with contextlib.suppress(InvalidParameter):
            if annotations.get(REF_NAME):
                name = Reference.parse(annotations[REF_NAME]).with_default_tag()
        parent = annotations.get(PARENT)
        named = descriptor.with_annotations({})
        own = annotations.get(MANIFEST)
        manifest = named if own is None else _parse_descriptor(own)
        return Entry(
            manifest=manifest,
            image_id=image_id,
            name=name,
            tagged_at=annotations.get(TAGGED_AT, ""),
            parent=Digest.parse(parent) if parent else None,
            index=None if own is None else named,
        )

    def _image_id(self, descriptor: Descriptor) -> Digest | None:
        # Our own entries say it. For another tool's, the manifest does.
        if IMAGE_ID in descriptor.annotations:
            return Digest.parse(descriptor.annotations[IMAGE_ID])
        if descriptor.media_type in INDEX_TYPES:
            return None
        manifest = self._read_manifest(descriptor.digest)
        return manifest.config.digest if manifest is not None else None

    def _read_manifest(self, digest: Digest) -> Manifest | None:
        path = os.path.join(self._root, "blobs", digest.algorithm, digest.encoded)
        try:
            with open(path, "rb") as file:
                data = file.read(4 * 1024 * 1024)
            manifest = parse_manifest(data)
        except (OSError, CutawayError):
            return None
        return manifest if isinstance(manifest, Manifest) else None

    def _recover(self) -> None:
        os.rename(self.path, f"{self.path}.damaged-{time.time_ns()}")
        try:
            entries = self._read(self.path + ".previous")
        except (CutawayError, OSError):
            entries = tuple(self._scan())
        self.save(entries)

    def _scan(self) -> Iterable[Entry]:
        directory = os.path.join(self._root, "blobs", "sha256")
        for name in sorted(os.listdir(directory)):
            path = os.path.join(directory, name)
            size = os.stat(path).st_size
            if size > 1024 * 1024:
                continue
            digest = Digest(f"sha256:{name}")
            manifest = self._read_manifest(digest)
            config = manifest and os.path.join(directory, manifest.config.digest.encoded)
            if manifest is not None and config and os.path.exists(config):
                media_type = manifest.media_type or MediaType.OCI_MANIFEST.value
                yield Entry(Descriptor(media_type, digest, size), manifest.config.digest)


def _parse_descriptor(text: str) -> Descriptor:
    return Descriptor.from_json(parse_document(text.encode(), MANIFEST), MANIFEST)
