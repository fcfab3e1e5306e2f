"""Certificates: whom to trust for a host, and why a certificate was not trusted."""

import contextlib
import os
import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any

from cutaway.errors import InvalidParameter, System
from cutaway.images.registry.settings import RegistrySettings

_OPENSSL_REASONS = {
    9: "certificate has expired or is not yet valid: it is not yet valid",
    10: "certificate has expired or is not yet valid: it has expired",
    18: "certificate signed by unknown authority: it is self-signed",
    19: "certificate signed by unknown authority: its chain ends in an unknown root",
    20: "certificate signed by unknown authority",
    21: "certificate signed by unknown authority",
    62: "certificate is valid for another name",
    64: "certificate is valid for another address",
}


class CertificateRefused(System):
    """A registry's certificate is not valid for it; the message shows the chain."""


def make_context(host: str, settings: RegistrySettings, *, verify: bool) -> ssl.SSLContext:
    """Build the TLS settings for one host, reading certificate files now.

    Args:
        host: with its port if it isn't 443; the directory's name in ``certs.d``.
        settings: directories and the command's own issuer.
        verify: the certificate must be valid.

    Raises:
        System: a file in ``certs.d`` is missing or unreadable.
        InvalidParameter: the command's issuer is no certificate.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.ca:
        try:
            context.load_verify_locations(cadata=settings.ca)
        except (ssl.SSLError, ValueError) as error:
            raise InvalidParameter(f"the CA given is no PEM certificate: {error}") from error
    for directory in settings.certificate_dirs:
        _load_directory(context, os.path.join(directory, host))
    return context


def explain_refusal(
    url: str, host: str, port: int, error: ssl.SSLCertVerificationError
) -> CertificateRefused:
    """Say why a certificate was refused: reason, chain, this machine's clock, two ways out.

    Connects once more, sends nothing, and shows what the server presents.
    """
    netloc = f"{host}:{port}" if port != 443 else host
    reason = _OPENSSL_REASONS.get(error.verify_code, error.verify_message)
    lines = [f'Get "{url}": tls: failed to verify certificate: x509: {reason}']
    lines += [f"  {line}" for line in _chain_lines(host, port)]
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    lines.append(f"  this machine's clock: {now} UTC")
    lines.append(
        f"Either trust its issuer: put it into /etc/docker/certs.d/{netloc}/ca.crt or give --ca; "
        f"or accept any certificate: --tls-verify=false, or --insecure-registry {netloc}"
    )
    return CertificateRefused("\n".join(lines))


def _load_issuer(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise System(f"could not load CA certificate {path}: {error}") from error


def _load_directory(context: ssl.SSLContext, directory: str) -> None:
    try:
        names = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise System(f"could not read {directory}: {error.strerror}") from error
    for name in names:
        path = os.path.join(directory, name)
        if name.endswith(".crt"):
            _load_issuer(context, path)
        elif name.endswith(".cert"):
            key = path.removesuffix(".cert") + ".key"
            if not os.path.exists(key):
                raise System(
                    f"missing key {key} for client certificate {path}. CA certificates must use "
                    "the extension .crt"
                )
            try:
                context.load_cert_chain(path, key)
            except (OSError, ssl.SSLError) as error:
                raise System(f"could not load client certificate {path}: {error}") from error
        elif name.endswith(".key") and path.removesuffix(".key") + ".cert" not in (
            os.path.join(directory, other) for other in names
        ):
            raise System(
                f"missing client certificate {path.removesuffix('.key')}.cert for key {path}"
            )


def _chain_lines(host: str, port: int) -> Iterable[str]:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    chain: list[Any] = []
    with (
        contextlib.suppress(OSError, AttributeError),
        socket.create_connection((host, port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname=host) as connection,
    ):
        # Public only from Python 3.13; the object beneath has had it since 3.10.
        sslobj: Any = connection._sslobj  # type: ignore[attr-defined]
        chain = [certificate.get_info() for certificate in sslobj.get_unverified_chain()]
    for number, info in enumerate(chain):
        yield f"certificate {number}: subject {_name(info, 'subject')}"
        yield f"  issuer {_name(info, 'issuer')}"
        yield f"  valid from {info.get('notBefore', '?')} to {info.get('notAfter', '?')}"
        names = ", ".join(str(value) for _, value in info.get("subjectAltName", ()))
        if names:
            yield f"  for {names}"


def _name(info: dict[str, Any], key: str) -> str:
    return ", ".join(f"{name}={value}" for rdn in info.get(key, ()) for name, value in rdn)
