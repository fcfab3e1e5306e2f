"""TLS for ``-H tcp://…`` with docker's flags and file names, and for contexts with certificates."""

import os
import ssl

from cutaway.cli.flags import UsageError, Values
from cutaway.cli.settings.contexts import Endpoint


def make_tls_context(flags: Values, endpoint: Endpoint) -> ssl.SSLContext:
    """Build the client's context for an engine, from its context's files or from ``--tls*`` flags.

    The flags default to ``DOCKER_CERT_PATH``. With ``--tlsverify`` the engine's certificate must be
    signed by ``ca.pem``; with ``--tls`` alone it is not verified, as docker does.

    Raises:
        UsageError: a file is no certificate or key, or can't be read.
    """
    if endpoint.has_tls:
        ca, certificate, key = (
            os.path.join(endpoint.certificates, name) for name in ("ca.pem", "cert.pem", "key.pem")
        )
        authority = ca if os.path.exists(ca) else ""
        return tls_context(authority, certificate, key, verifies=not endpoint.skips_verify)
    verifies = bool(flags["tlsverify"] or os.environ.get("DOCKER_TLS_VERIFY"))
    ca = flags["tlscacert"] if verifies else ""
    return tls_context(ca, flags["tlscert"], flags["tlskey"], verifies=verifies)


def tls_context(ca: str, certificate: str, key: str, *, verifies: bool) -> ssl.SSLContext:
    """Build a client's context from files.

    Args:
        ca: who must have signed the engine's certificate; empty: an authority of this machine.
        certificate: this client's own, if the file exists.
        key: of that certificate.
        verifies: check the engine's certificate and name.

    Raises:
        UsageError: a file is no certificate or key, or can't be read.
    """
    context = ssl.create_default_context()
    if not verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    path = ca
    try:
        if ca:
            context = ssl.create_default_context(cafile=ca) if verifies else context
        path = certificate
        if os.path.exists(certificate) and os.path.exists(key):
            context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise UsageError(f"could not read {path}: {error.reason or error}") from None
    except OSError as error:
        raise UsageError(
            f"could not read {path}: {(error.strerror or str(error)).lower()}"
        ) from None
    return context
