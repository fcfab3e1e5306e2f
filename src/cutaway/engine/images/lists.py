"""``manifest``: lists of images, drafted here and pushed; and manifests as a registry has them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from cutaway.engine.core import Core
from cutaway.engine.images.registries import registry_settings
from cutaway.engine.images.transport import make_credentials
from cutaway.errors import NotFound
from cutaway.images.manifest_list import Connect, Draft, ManifestLists
from cutaway.images.registry.refusal import RegistryRefusal, translate_pull, translate_push
from cutaway.images.registry.repository import Repository
from cutaway.images.registry.source import connect, open_transport
from cutaway.model import (
    AuthConfig,
    ManifestAnnotation,
    ManifestDraft,
    ManifestMember,
    ManifestPushed,
    ManifestView,
    RegistryTrust,
)
from cutaway.oci import Index, Platform, Reference

T = TypeVar("T")
_UNKNOWN = Platform(architecture="", os="")


class ManifestService:
    """Fits the API's ``ManifestBackend``.

    Args:
        core: the engine.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(
        self, draft: ManifestDraft, *, auth: AuthConfig | None, trust: RegistryTrust | None
    ) -> ManifestView:
        """Begin a list of images, or add to one."""
        target = Reference.parse(draft.name)
        members = [Reference.parse(name) for name in draft.members]

        def work(lists: ManifestLists) -> ManifestView:
            return _describe(lists.create(target, members, amend=draft.amend))

        return await self._with_lists(target, auth, trust, work)

    async def annotate(self, annotation: ManifestAnnotation) -> ManifestView:
        """Say for which platform a member is; what is not said stays."""
        target = Reference.parse(annotation.name)
        member = Reference.parse(annotation.member)

        def work(lists: ManifestLists) -> ManifestView:
            wanted = str(member.with_default_tag())
            found = [m for m in lists.inspect(target).members if m.name == wanted]
            platform = (found[0].descriptor.platform if found else None) or _UNKNOWN
            said: dict[str, Any] = {
                "architecture": annotation.architecture,
                "os": annotation.os,
                "os_version": annotation.os_version,
                "os_features": annotation.os_features,
                "variant": annotation.variant,
            }
            changes = {key: value for key, value in said.items() if value}
            platform = replace(platform, **changes)
            return _describe(lists.annotate(target, member, platform))

        return await self._with_lists(target, None, None, work)

    async def push(
        self, name: str, *, purge: bool, auth: AuthConfig | None, trust: RegistryTrust | None
    ) -> ManifestPushed:
        """Send a list, and the members that its repository lacks."""
        target = Reference.parse(name)

        def work(lists: ManifestLists) -> ManifestPushed:
            try:
                return ManifestPushed(digest=str(lists.push(target, purge=purge)))
            except RegistryRefusal as refusal:
                raise translate_push(refusal) from refusal

        return await self._with_lists(target, auth, trust, work)

    async def remove(self, name: str) -> None:
        """Forget a list that was drafted here."""
        target = Reference.parse(name)
        await self._with_lists(target, None, None, lambda lists: lists.remove(target))

    async def inspect(
        self, name: str, *, verbose: bool, auth: AuthConfig | None, trust: RegistryTrust | None
    ) -> ManifestView:
        """Look at a list that was drafted here, else at what the registry has of that name."""
        target = Reference.parse(name).with_default_tag()

        def look() -> ManifestView:
            with self._connecting(target, auth, trust) as connecting:
                lists = ManifestLists(self._core.images, connecting)
                try:
                    return _describe(lists.inspect(target))
                except NotFound:
                    return _remote(connecting(target, "pull"), target, verbose=verbose)

        return await self._core.in_thread(look)

    async def _with_lists(
        self,
        target: Reference,
        auth: AuthConfig | None,
        trust: RegistryTrust | None,
        work: Callable[[ManifestLists], T],
    ) -> T:
        def run() -> T:
            with self._connecting(target, auth, trust) as connecting:
                return work(ManifestLists(self._core.images, connecting))

        return await self._core.in_thread(run)

    @contextmanager
    def _connecting(
        self, target: Reference, auth: AuthConfig | None, trust: RegistryTrust | None
    ) -> Iterator[Connect]:
        """Give a way to talk to repositories; credentials go to the target's registry only."""
        settings = registry_settings(self._core.settings, trust)
        credentials = make_credentials(auth)
        translate = partial(translate_pull, reference=target)
        with open_transport(settings, translate=translate) as transport:

            def connecting(reference: Reference, actions: str) -> Repository:
                mine = credentials if reference.domain == target.domain else None
                return connect(transport, mine, reference, actions, is_cancelled=lambda: False)

            yield connecting


def _describe(draft: Draft) -> ManifestView:
    members = tuple(
        ManifestMember(ref=m.name, descriptor=m.descriptor.to_json()) for m in draft.members
    )
    return ManifestView(name=draft.name, document=draft.to_index().to_json(), members=members)


def _remote(repository: Repository, target: Reference, *, verbose: bool) -> ManifestView:
    fetched = repository.fetch_manifest(target.digest or target.tag or "")
    document = json.loads(fetched.data)
    members: list[ManifestMember] = []
    if not isinstance(fetched.document, Index):
        descriptor = fetched.descriptor.to_json()
        members.append(ManifestMember(ref=str(target), descriptor=descriptor, manifest=document))
    elif verbose:
        for listed in fetched.document.manifests:
            member = repository.fetch_manifest(listed.digest, listed.media_type)
            members.append(
                ManifestMember(
                    ref=f"{target}@{listed.digest}",
                    descriptor=listed.to_json(),
                    manifest=json.loads(member.data),
                )
            )
    return ManifestView(name=str(target), document=document, members=tuple(members))
