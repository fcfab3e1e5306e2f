"""Where plugins are: from a name to an address.

Source: Docker's documentation, "Docker Plugin API", section "Plugin discovery".
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from cutaway.plugins.errors import PluginFailed, PluginNotFound

_SPEC_BYTES = 64 * 1024
_SCHEMES = ("unix", "tcp", "http", "https")
_DISCOVERY = "discovery"


@dataclass(frozen=True, slots=True)
class PluginDirectories:
    """Where to look, in this order.

    Attributes:
        sockets: holds ``NAME.sock`` or ``NAME/NAME.sock``.
        specs: hold ``NAME.spec`` (one URL) or ``NAME.json``, or either below ``NAME/``.
    """

    sockets: str = "/run/docker/plugins"
    specs: tuple[str, ...] = ("/etc/docker/plugins", "/usr/lib/docker/plugins")

    @property
    def all(self) -> tuple[str, ...]:
        """Every directory, as an error names them."""
        return (self.sockets, *self.specs)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginAddress:
    """How a plugin is reached.

    Attributes:
        name: the plugin's.
        scheme: ``unix``, ``tcp``, ``http`` or ``https``.
        place: the socket's path, or ``host:port``.
        ca_file: for https: who signed its certificate; empty: any certificate will do, as in
            Docker.
        cert_file: for https: the certificate to show it.
        key_file: of ``cert_file``.
        insecure: any certificate will do, though there is a ``ca_file``.
    """

    name: str
    scheme: str
    place: str
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    insecure: bool = False


class _TlsConfig(msgspec.Struct, rename="pascal"):
    ca_file: str = msgspec.field(default="", name="CAFile")
    cert_file: str = ""
    key_file: str = ""
    insecure_skip_verify: bool = False


class _Spec(msgspec.Struct, rename="pascal"):
    """What a ``.json`` file says."""

    addr: str
    name: str = ""
    tls_config: _TlsConfig = msgspec.field(default_factory=_TlsConfig, name="TLSConfig")


def find_plugin(name: str, directories: PluginDirectories) -> PluginAddress:
    """Return where a plugin listens; nobody is asked.

    Raises:
        PluginNotFound: no directory knows the name.
        PluginFailed: the file that tells its address is none.
    """
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise PluginNotFound(name, directories.all)
    for path in _places(directories.sockets, name, ".sock"):
        if _is_socket(path):
            return PluginAddress(name=name, scheme="unix", place=path)
    for directory in directories.specs:
        for suffix, read in ((".spec", _read_spec), (".json", _read_json)):
            for path in _places(directory, name, suffix):
                if os.path.exists(path):
                    return read(name, path)
    raise PluginNotFound(name, directories.all)


def _places(directory: str, name: str, suffix: str) -> Iterator[str]:
    yield os.path.join(directory, name + suffix)
    yield os.path.join(directory, name, name + suffix)


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _read(name: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_SPEC_BYTES)
    except OSError as error:
        raise PluginFailed(name, _DISCOVERY, f"{path}: {error.strerror}") from error


def _read_spec(name: str, path: str) -> PluginAddress:
    """Read a ``.spec`` file: one URL."""
    url = _read(name, path).decode("utf-8", "replace").strip()
    return _address(name, path, url, _TlsConfig())


def _read_json(name: str, path: str) -> PluginAddress:
    """Read a ``.json`` file: ``Addr`` and perhaps ``TLSConfig``."""
    try:
        spec = msgspec.json.decode(_read(name, path), type=_Spec)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PluginFailed(name, _DISCOVERY, f"{path}: {error}") from error
    return _address(name, path, spec.addr, spec.tls_config)


def _address(name: str, path: str, url: str, tls: _TlsConfig) -> PluginAddress:
    try:
        parts = urlsplit(url)
        is_complete = parts.scheme == "unix" or parts.port is not None
    except ValueError:
        is_complete = False
    place = parts.path if is_complete and parts.scheme == "unix" else parts.netloc
    if not is_complete or parts.scheme not in _SCHEMES or not place:
        raise PluginFailed(
            name,
            _DISCOVERY,
            f"{path} says {url!r}: expected unix:///PATH, tcp://HOST:PORT or https://HOST:PORT",
        )
    return PluginAddress(
        name=name,
        scheme=parts.scheme,
        place=place,
        ca_file=tls.ca_file,
        cert_file=tls.cert_file,
        key_file=tls.key_file,
        insecure=tls.insecure_skip_verify,
    )
