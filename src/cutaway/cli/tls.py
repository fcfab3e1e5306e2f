"""TLS for ``-H tcp://…`` with docker's flags and file names."""

import os
import ssl

from cutaway.cli.flags import Values


def make_tls_context(flags: Values, config_dir: str) -> ssl.SSLContext:
    """Build the client's context from ``--tls*`` flags and ``DOCKER_CERT_PATH``.

    With ``--tlsverify`` the engine's certificate must be signed by ``ca.pem``; with ``--tls`` alone
    it is not verified, as docker does.
    """
    directory = os.environ.get("DOCKER_CERT_PATH") or config_dir
    context = ssl.create_default_context()
    if flags["tlsverify"] or os.environ.get("DOCKER_TLS_VERIFY"):
        context.load_verify_locations(flags["tlscacert"] or os.path.join(directory, "ca.pem"))
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate = flags["tlscert"] or os.path.join(directory, "cert.pem")
    key = flags["tlskey"] or os.path.join(directory, "key.pem")
    if os.path.exists(certificate) and os.path.exists(key):
        context.load_cert_chain(certificate, key)
    return context
