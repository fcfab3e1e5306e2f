"""``config.json``: what the user settled once for all commands, in docker's own file and keys.

Registry credentials in it are ``credentials``'s, the context in force is ``contexts``'s.

Source: docker/cli ``cli/config/configfile/file.go``, ``cli/command/utils.go``.
"""

import json
import os
from typing import Any

from cutaway.errors import InvalidParameter
from cutaway.files import write_atomic

# From a key of "proxies" to the variable that programs look at, in either case.
_PROXY_VARIABLES = {
    "httpProxy": "HTTP_PROXY",
    "httpsProxy": "HTTPS_PROXY",
    "noProxy": "NO_PROXY",
    "ftpProxy": "FTP_PROXY",
    "allProxy": "ALL_PROXY",
}


def load_config(config_dir: str) -> dict[str, Any]:
    """Read ``config.json``; an absent one is empty.

    Raises:
        InvalidParameter: the file is there and is not a JSON object.
    """
    path = os.path.join(config_dir, "config.json")
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, OSError) as error:
        raise InvalidParameter(f"{path} can't be read: {error}") from None
    if not isinstance(document, dict):
        raise InvalidParameter(f"{path} is not a JSON object")
    return document


def save_config(config_dir: str, document: dict[str, Any]) -> None:
    """Replace ``config.json``, readable by its owner only."""
    os.makedirs(config_dir, mode=0o700, exist_ok=True)
    data = json.dumps(document, indent="\t").encode() + b"\n"
    write_atomic(os.path.join(config_dir, "config.json"), data)


def request_headers(config: dict[str, Any]) -> dict[str, str]:
    """Return the headers that every request carries: ``HttpHeaders``."""
    return {name: str(value) for name, value in (config.get("HttpHeaders") or {}).items()}


def proxy_variables(config: dict[str, Any], host: str, given: set[str]) -> dict[str, str]:
    """Return the proxy variables that containers and builds of an engine get.

    Args:
        config: ``proxies`` in it goes by the engine's address, ``default`` is for all others.
        host: the engine's address.
        given: names of variables that the command line sets itself.
    """
    proxies = config.get("proxies") or {}
    chosen = proxies.get(host) or proxies.get("default") or {}
    variables = {}
    for key, name in _PROXY_VARIABLES.items():
        for spelling in (name, name.lower()):
            if chosen.get(key) and spelling not in given:
                variables[spelling] = chosen[key]
    return variables


def prune_filters(config: dict[str, Any], given: list[str]) -> list[str]:
    """Add ``pruneFilters`` to those given, but for labels whose opposite was given."""
    opposite = {"label": "label!", "label!": "label"}
    kept = []
    for text in config.get("pruneFilters") or []:
        name, equals, value = text.partition("=")
        if equals and f"{opposite.get(name)}={value}" not in given:
            kept.append(text)
    return [*given, *kept]
