"""What the API needs for builds and their cache. Rules: see ``backend``."""

from collections.abc import AsyncIterator
from typing import Protocol

from cutaway import model


class BuildBackend(Protocol):
    """Builds by the classic protocol, and their cache."""

    async def build(
        self, request: model.BuildRequest, context: model.ByteStream
    ) -> AsyncIterator[model.ProgressMessage]:
        """Build an image from a tar context, telling the progress in Docker's words."""
        ...

    async def prune(
        self, options: model.BuildPruneOptions, filters: model.Filters
    ) -> model.BuildPruneReport:
        """Make the cache smaller."""
        ...

    async def open_session(self, session: model.BuildSession) -> str:
        """Keep what a client lends to its next build; returns the session's id."""
        ...

    async def export_cache(self, selection: model.CacheSelection) -> model.ByteStream:
        """Return a part of the build cache as the tar of an OCI image layout.

        Raises:
            InvalidParameter: there is nothing to export.
        """
        ...

    async def push_cache(
        self,
        name: str,
        selection: model.CacheSelection,
        *,
        auth: model.AuthConfig | None,
        trust: model.RegistryTrust | None,
    ) -> model.CacheReport:
        """Send a part of the build cache to a registry."""
        ...

    async def import_cache(
        self, origin: str, body: model.ByteStream, *, mounts: bool
    ) -> model.CacheReport:
        """Take a build cache in from an archive, for builds that name its origin."""
        ...

    async def pull_cache(
        self,
        name: str,
        *,
        mounts: bool,
        auth: model.AuthConfig | None,
        trust: model.RegistryTrust | None,
    ) -> model.CacheReport:
        """Take a build cache in from a registry, for builds that name it."""
        ...

    async def cancel(self, build_id: str) -> None:
        """End a build."""
