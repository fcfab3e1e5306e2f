"""Which web pages and names may reach an API on TCP: none, and only its own.

A browser on the machine can send requests to 127.0.0.1 for any page it shows, and DNS rebinding
makes them same-origin. Browsers add ``Origin``; rebinding shows in ``Host``. With TLS the browser
itself refuses a certificate that is not the page's, so any ``Host`` will do. On a unix socket no
browser can knock, and clients send arbitrary hosts there, so nothing is checked.

Web socket libraries add an ``Origin`` as well: the address that they call. No page has that one,
for this engine shows none; and what says that it is a browser is refused all the same.

Source: the project's rules, 1.6 "DNS rebinding / CSRF on TCP API"; docs/adr/018.
"""

import ipaddress
from collections.abc import Collection, Mapping

from cutaway.errors import Forbidden

ANY_NAME = "*"


def check_origin(headers: Mapping[str, str], own_names: Collection[str]) -> None:
    """Refuse a request that a web page may have caused.

    Args:
        headers: names in lower case.
        own_names: host names, in lower case, under which this engine was configured to be reached;
            with ``ANY_NAME`` among them, all.

    Raises:
        Forbidden: it has a page's ``Origin``, or its ``Host`` is a foreign name.
    """
    if "origin" in headers and not _is_web_socket_to_its_origin(headers):
        raise Forbidden(
            "requests with an Origin header are refused: a web page may not use this API"
        )
    host = _host_name(headers.get("host", ""))
    if host == "localhost" or host in own_names or ANY_NAME in own_names:
        return
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise Forbidden(
            f'the Host "{host}" is not an address of this engine: use an IP address or localhost'
        ) from None


def _is_web_socket_to_its_origin(headers: Mapping[str, str]) -> bool:
    is_web_socket = headers.get("upgrade", "").lower() == "websocket"
    is_browser = headers.get("user-agent", "").startswith("Mozilla/")
    return (
        is_web_socket
        and not is_browser
        and headers["origin"].partition("://")[2] == headers.get("host")
    )


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0].lower() if host.count(":") == 1 else host.lower()
