"""Trying credentials: what ``docker login`` asks the engine."""

from urllib.parse import urlsplit

from cutaway.errors import CutawayError, Unauthorized
from cutaway.images.registry.authorizer import Authorizer
from cutaway.images.registry.credentials import Credentials
from cutaway.images.registry.patience import Patience
from cutaway.images.registry.refusal import RegistryRefusal, describe_status
from cutaway.images.registry.settings import (
    DOCKER_HUB,
    Endpoint,
    RegistrySettings,
    endpoints_of,
)
from cutaway.images.registry.transport import Transport, TransportFailure
from cutaway.oci.reference import DEFAULT_DOMAIN

_HUB_NAMES = frozenset({"", "index.docker.io", "docker.io", DOCKER_HUB})
_ANSWER_LIMIT = 64 * 1024


def login(credentials: Credentials, settings: RegistrySettings) -> None:
    """Try credentials at their ``server_address``.

    Raises:
        Unauthorized: they are wrong, in Docker's words.
        TransportFailure: the registry can't be reached.
    """
    domain = domain_of(credentials.server_address)
    transport = Transport(settings)
    failure: CutawayError | None = None
    try:
        for endpoint in endpoints_of(f"{domain}/login", transport.settings, for_push=True):
            try:
                _try_endpoint(transport, endpoint, credentials)
                return
            except TransportFailure as error:
                failure = error
    finally:
        transport.close()
    raise failure or Unauthorized(f"no endpoint for {domain}")


def domain_of(server_address: str) -> str:
    """Return the reference domain of what clients call a server: a host, or a URL.

    ``https://index.docker.io/v1/``, which clients still send, is Docker Hub.
    """
    text = server_address.strip()
    netloc = urlsplit(text).netloc if "://" in text else text.partition("/")[0]
    return DEFAULT_DOMAIN if netloc in _HUB_NAMES else netloc


def _try_endpoint(transport: Transport, endpoint: Endpoint, credentials: Credentials) -> None:
    patience = Patience(transport.settings, lambda: False)
    authorizer = Authorizer(transport, endpoint, credentials)
    url = f"{endpoint.url}/v2/"
    response = transport.send("GET", url, endpoint=endpoint, headers={})
    response.read(_ANSWER_LIMIT)
    status = response.status
    if status == 401:
        authorizer.learn(response)
        try:
            header = authorizer.authorization((), patience)
        except RegistryRefusal as refusal:
            raise Unauthorized(f'Get "{url}": {refusal}') from refusal
        headers = {"Authorization": header}
        response = transport.send("GET", url, endpoint=endpoint, headers=headers)
        response.read(_ANSWER_LIMIT)
        status = response.status
    if status != 200:
        raise Unauthorized(f"login attempt to {url} failed with status: {describe_status(status)}")
