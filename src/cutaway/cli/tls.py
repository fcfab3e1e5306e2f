"""TLS for ``-H tcp://…`` with docker's flags and file names."""

import os
import ssl

from cutaway.cli.flags import Values


def make_tls_context(flags: Values) -> ssl.SSLContext:
    """Build the client's context from ``--tls*`` flags, which default to ``DOCKER_CERT_PATH``.

    With ``--tlsverify`` the engine's certificate must be signed by ``ca.pem``; with ``--tls`` alone
    it is not verified, as docker does.
    """
    context = ssl.create_default_context()
    if flags["tlsverify"] or os.environ.get("DOCKER_TLS_VERIFY"):
        context.load_verify_locations(flags["tlscacert"])
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = flags["tlscert"], flags["tlskey"]
    if os.path.exists(certificate) and os.path.exists(key):
        context.load_cert_chain(certificate, key)
    return context
