"""``manifest create``, ``annotate`` and ``push``: several images of one name, one a platform.

A draft is a file of ours until it is pushed: each member's name, descriptor and platform. Pushing
makes sure that the target's repository has every member (it is there, or mounted from another
repository of the same registry, or sent from this machine) and then sends the index.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from cutaway import files
from cutaway.errors import Conflict, InvalidParameter, NotFound
from cutaway.images.registry.referrers import push_manifest
from cutaway.images.registry.repository import FetchedManifest, Repository
from cutaway.images.registry.upload import BlobUpload
from cutaway.images.store import ImageStore
from cutaway.oci import (
    CONFIG_TYPES,
    Descriptor,
    Digest,
    Index,
    JsonObject,
    Manifest,
    MediaType,
    Platform,
    Reference,
    encode_document,
    parse_image_config,
    parse_manifest,
)
from cutaway.oci.hashing import digest_of

Connect: TypeAlias = Callable[[Reference, str], Repository]


@dataclass(frozen=True, slots=True)
class Member(JsonObject):
    """One image of a draft: the name it was given by, and what the index will say of it."""

    name: str
    descriptor: Descriptor


@dataclass(frozen=True, slots=True)
class Draft(JsonObject):
    """A manifest list that was not pushed yet."""

    version: int
    name: str
    members: tuple[Member, ...] = ()

    def to_index(self) -> Index:
        """Return the index to push: Docker's manifest list if every member is Docker's."""
        descriptors = tuple(member.descriptor for member in self.members)
        is_docker = all(d.media_type == MediaType.DOCKER_MANIFEST for d in descriptors)
        media_type = MediaType.DOCKER_INDEX if is_docker else MediaType.OCI_INDEX
        return Index(schema_version=2, media_type=media_type.value, manifests=descriptors)


class ManifestLists:
    """The drafts of one image store.

    Args:
        store: whose images may be members.
        connect: gives a repository to talk to; the second argument is ``pull`` or ``pull,push``.
    """

    def __init__(self, store: ImageStore, connect: Connect) -> None:
        self._store = store
        self._connect = connect
        self._root = os.path.join(store.content.root, "manifest-lists")
        os.makedirs(self._root, mode=0o700, exist_ok=True)

    def create(
        self, target: Reference, members: Sequence[Reference], *, amend: bool = False
    ) -> Draft:
        """Begin a list, or with ``amend`` add to one.

        Raises:
            Conflict: the list exists and ``amend`` was not given.
            NotFound: a member is neither here nor in its registry.
            InvalidParameter: a member is a list itself, or no image.
        """
        target = target.with_default_tag()
        old = self._find(target)
        if old is not None and not amend:
            raise Conflict("refusing to amend an existing manifest list with no --amend flag")
        draft = old or Draft(1, str(target))
        for name in members:
            member = self._resolve(name.with_default_tag())
            others = tuple(m for m in draft.members if m.name != member.name)
            draft = replace(draft, members=(*others, member))
        self._save(draft)
        return draft

    def annotate(self, target: Reference, member: Reference, platform: Platform) -> Draft:
        """Say for which platform a member is.

        Raises:
            NotFound: no such draft, or no such member in it.
        """
        draft = self.inspect(target)
        wanted = str(member.with_default_tag())
        if wanted not in {m.name for m in draft.members}:
            raise NotFound(f"manifest for image {member.familiar} does not exist in {draft.name}")
        changed = tuple(
            replace(m, descriptor=replace(m.descriptor, platform=platform))
            if m.name == wanted
            else m
            for m in draft.members
        )
        draft = replace(draft, members=changed)
        self._save(draft)
        return draft

    def inspect(self, target: Reference) -> Draft:
        """Return a draft.

        Raises:
            NotFound: no such draft.
        """
        draft = self._find(target.with_default_tag())
        if draft is None:
            raise NotFound(f"No such manifest: {target.with_default_tag().familiar}")
        return draft

    def remove(self, target: Reference) -> None:
        """Forget a draft.

        Raises:
            NotFound: no such draft.
        """
        self.inspect(target)
        os.unlink(self._path(target.with_default_tag()))

    def push(self, target: Reference, *, purge: bool = False) -> Digest:
        """Send a list and whatever of its members the repository lacks.

        Args:
            target: its name; what follows the name is the tag to send it under.
            purge: forget the draft afterwards.

        Raises:
            NotFound: no such draft, or a member that is neither here nor in the same registry.
            RegistryRefusal, TransportFailure: the registry refused or can't be reached.
        """
        target = target.with_default_tag()
        draft = self.inspect(target)
        repository = self._connect(target, "pull,push")
        for member in draft.members:
            _MemberPush(self._store, self._connect, repository, target=target, member=member).run()
        index = draft.to_index()
        data = encode_document(index.to_json())
        push_manifest(repository, target.tag or "", data, index.media_type)
        if purge:
            self.remove(target)
        return digest_of(data)

    def _resolve(self, name: Reference) -> Member:
        image = self._store.find_name(name)
        if image is not None:
            return Member(str(name), replace(image.manifest, platform=image.config.platform))
        repository = self._connect(name, "pull")
        fetched = repository.fetch_manifest(name.digest or name.tag or "")
        if not isinstance(fetched.document, Manifest):
            raise InvalidParameter(f"{name.familiar} is a manifest list")
        platform = _remote_platform(repository, fetched.document)
        return Member(str(name), replace(fetched.descriptor, platform=platform))

    def _find(self, target: Reference) -> Draft | None:
        try:
            return Draft.from_json(files.read_json(self._path(target)))
        except FileNotFoundError:
            return None

    def _save(self, draft: Draft) -> None:
        files.write_json(self._path(Reference.parse(draft.name)), draft.to_json())

    def _path(self, target: Reference) -> str:
        # The name may be longer than a file's, and has slashes: its digest has neither.
        return os.path.join(self._root, digest_of(str(target).encode()).encoded + ".json")


class _MemberPush:
    """Makes one repository have one member of a list."""

    def __init__(
        self,
        store: ImageStore,
        connect: Connect,
        repository: Repository,
        *,
        target: Reference,
        member: Member,
    ) -> None:
        self._store = store
        self._connect = connect
        self._repository = repository
        self._target = target
        self._name = Reference.parse(member.name)
        self._descriptor = member.descriptor

    def run(self) -> None:
        digest = self._descriptor.digest
        if self._repository.has_manifest(digest):
            return
        manifest, data = self._manifest()
        is_near = self._name.domain == self._target.domain
        mount_from = (self._name.path,) if is_near else ()
        self._repository.may_mount_from(mount_from)
        for blob in (manifest.config, *manifest.layers):
            self._send(blob, mount_from)
        push_manifest(self._repository, digest, data, self._descriptor.media_type)

    def _manifest(self) -> tuple[Manifest, bytes]:
        digest = self._descriptor.digest
        if digest in self._store.content:
            data = self._store.content.read(digest)
            document = parse_manifest(data, self._descriptor.media_type)
        else:
            fetched: FetchedManifest = self._connect(self._name, "pull").fetch_manifest(digest)
            data, document = fetched.data, fetched.document
        if not isinstance(document, Manifest):
            raise InvalidParameter(f"{self._name.familiar} is a manifest list")
        return document, data

    def _send(self, blob: Descriptor, mount_from: tuple[str, ...]) -> None:
        if blob.digest in self._store.content:
            upload = BlobUpload(
                self._repository,
                self._store.content,
                blob,
                on_bytes=lambda offset: None,
                is_cancelled=lambda: False,
            )
            upload.run(mount_from)
            return
        if self._repository.blob_size(blob.digest) is not None:
            return
        if any(self._repository.mount(blob.digest, path) for path in mount_from):
            return
        raise NotFound(
            f"{self._name.familiar}: blob {blob.digest} is neither here nor in "
            f"{self._target.familiar_name}: pull the image first"
        )


def _remote_platform(repository: Repository, manifest: Manifest) -> Platform | None:
    if manifest.config.media_type not in CONFIG_TYPES:
        return None
    return parse_image_config(repository.read_blob(manifest.config)).platform
