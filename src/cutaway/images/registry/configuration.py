"""registries.toml: mirrors and trust for any registry or prefix, read afresh for each pull.

    [[registry]]
    prefix = "ghcr.io/org"                     # a domain, or the beginning of a name
    mirrors = ["https://mirror.example"]       # asked in this order, then the registry itself

    [[registry]]
    prefix = "registry.corp:5000"
    insecure = true                            # no valid certificate, or plain HTTP

What the daemon's flags say about Docker Hub's mirrors and insecure registries holds besides.
"""

import tomllib
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from cutaway.errors import InvalidParameter
from cutaway.images.registry.settings import RegistrySettings

_KEYS = {"prefix", "mirrors", "insecure"}


def with_configuration(settings: RegistrySettings) -> RegistrySettings:
    """Return ``settings`` with what its configuration files say; missing files say nothing.

    Raises:
        InvalidParameter: a file is no TOML, or says something unknown; the message names it.
    """
    mirrors = dict(settings.mirrors_by_prefix)
    insecure = list(settings.insecure_registries)
    for path in settings.configuration_files:
        for number, entry in enumerate(_read_entries(path)):
            where = f"{path}: registry[{number}]"
            prefix = _checked(entry, "prefix", str, "", where=where).rstrip("/")
            if not prefix or "://" in prefix:
                raise InvalidParameter(f"{where}.prefix: expected a registry or a name")
            urls = _checked(entry, "mirrors", list, [], where=where)
            if urls:
                mirrors[prefix] = tuple(_checked_url(url, where) for url in urls)
            if _checked(entry, "insecure", bool, False, where=where):
                insecure.append(prefix.partition("/")[0])
    return replace(settings, mirrors_by_prefix=mirrors, insecure_registries=tuple(insecure))


def _read_entries(path: str) -> list[Any]:
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise InvalidParameter(f"{path}: {error}") from error
    unknown = sorted(set(document) - {"registry"})
    entries = document.get("registry", [])
    if unknown or not isinstance(entries, list):
        raise InvalidParameter(f"{path}: expected [[registry]] tables only, got {unknown}")
    return entries


def _checked(entry: Any, key: str, kind: type, default: Any, *, where: str) -> Any:
    if not isinstance(entry, dict):
        raise InvalidParameter(f"{where}: expected a table")
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise InvalidParameter(f"{where}: unknown key {unknown[0]!r}; known: {sorted(_KEYS)}")
    value = entry.get(key, default)
    if type(value) is not kind:
        raise InvalidParameter(f"{where}.{key}: expected a {kind.__name__}, got {value!r}")
    return value


def _checked_url(url: Any, where: str) -> str:
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.netloc:
        raise InvalidParameter(f"{where}.mirrors: expected http or https addresses, got {url!r}")
    return str(url)
