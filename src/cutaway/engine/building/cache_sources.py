"""``--cache-from``: what a build names, and the claims that are behind the names."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from cutaway.build.portable.claims import StoredClaims
from cutaway.build.portable.registry import RegistryClaims
from cutaway.build.solve.claims import Claims
from cutaway.engine.building.cache import StoredCache
from cutaway.engine.images.transport import make_credentials
from cutaway.errors import CutawayError, InvalidParameter
from cutaway.images.content import ContentStore
from cutaway.images.registry.credentials import Credentials
from cutaway.images.registry.refusal import translate_pull, translate_push
from cutaway.images.registry.repository import Repository
from cutaway.images.registry.settings import RegistrySettings
from cutaway.images.registry.source import connect, open_transport
from cutaway.model import AuthConfig
from cutaway.oci import Reference


@dataclass(frozen=True, slots=True)
class CacheSources:
    """What ``--cache-from`` names.

    Attributes:
        images: their steps may hit, and no others that were done here.
        registries: references of caches there.
        directories: caches that were imported from these.
    """

    images: tuple[str, ...] = ()
    registries: tuple[Reference, ...] = ()
    directories: tuple[str, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "CacheSources":
        """Read image names, and BuildKit's ``type=registry,ref=…`` and ``type=local,src=…``.

        Raises:
            InvalidParameter: another type, an unknown attribute, or one that is missing.
        """
        images, registries, directories = [], [], []
        for text in texts:
            fields = dict(part.partition("=")[::2] for part in text.split(","))
            if "type" not in fields:
                images.append(text)
            elif fields.keys() == {"type", "ref"} and fields["type"] == "registry":
                registries.append(Reference.parse(fields["ref"]).with_default_tag())
            elif fields.keys() == {"type", "src"} and fields["type"] == "local":
                directories.append(fields["src"])
            else:
                raise InvalidParameter(
                    f"invalid cache source {text!r}: it is an image, type=registry,ref=NAME or "
                    "type=local,src=DIRECTORY"
                )
        return cls(tuple(images), tuple(registries), tuple(directories))


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """How one request speaks to a registry."""

    settings: RegistrySettings
    credentials: Credentials | None = None

    @contextmanager
    def repository(self, reference: Reference, *, push: bool = False) -> Iterator[Repository]:
        """Have a connection until the block ends; blocks.

        Raises:
            TransportFailure: nobody answers. NotFound, Unauthorized, …: in Docker's words.
        """
        actions = "pull,push" if push else "pull"
        translate = translate_push if push else partial(translate_pull, reference=reference)
        with open_transport(self.settings, translate=translate) as transport:
            yield connect(
                transport, self.credentials, reference, actions, is_cancelled=lambda: False
            )


class SourceReader:
    """Opens the caches that builds name.

    Args:
        records: has the claims that were imported.
        content: takes layers.
        settings: of registries.
    """

    def __init__(
        self, records: StoredCache, content: ContentStore, settings: RegistrySettings
    ) -> None:
        self._records = records
        self._content = content
        self._settings = settings

    def open(
        self,
        sources: CacheSources,
        auths: Mapping[str, AuthConfig],
        *,
        stack: ExitStack,
        warn: Callable[[str], None],
    ) -> tuple[Claims, ...]:
        """Return what a build may ask of the caches it names; blocks while registries answer.

        Args:
            sources: what it names.
            auths: credentials by registry host.
            stack: keeps the connections; closed after the build.
            warn: told in a sentence of each cache that can't be read: the build goes on without
                what is not on this machine.
        """
        found: list[Claims] = []
        for reference in sources.registries:
            origin = reference.familiar
            try:
                auth = make_credentials(auth_for(reference, auths))
                repository = stack.enter_context(
                    RegistryAccess(self._settings, auth).repository(reference)
                )
                found.append(RegistryClaims.read(origin, repository, reference, self._content))
            except CutawayError as error:
                warn(f"the cache {origin} can't be read: {error}")
                found.append(StoredClaims(origin, self._records, self._content))
        local = (StoredClaims(d, self._records, self._content) for d in sources.directories)
        return (*found, *local)


def auth_for(reference: Reference, auths: Mapping[str, AuthConfig]) -> AuthConfig | None:
    """Return the credentials of a reference's registry."""
    keys = [reference.domain, f"https://{reference.domain}", f"https://{reference.domain}/v1/"]
    if reference.domain == "docker.io":
        keys.append("https://index.docker.io/v1/")
    return next((auths[key] for key in keys if key in auths), None)
