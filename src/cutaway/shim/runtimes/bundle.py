"""Reading a bundle: what the engine asks for."""

import json
from typing import Any

from cutaway.runtime import Extensions


def read_config(bundle: str) -> dict[str, Any]:
    """Return the bundle's config.json.

    Raises:
        FileNotFoundError, ValueError: the engine has not written one.
    """
    with open(f"{bundle}/config.json", "rb") as file:
        document = json.loads(file.read())
    if not isinstance(document, dict):
        raise ValueError(f"{bundle}/config.json is no JSON object")
    return document


def read_extensions(bundle: str) -> Extensions:
    """Return the bundle's ``rootfs.json``, or the defaults when there is none."""
    try:
        with open(f"{bundle}/rootfs.json", "rb") as file:
            return Extensions.from_json(json.loads(file.read()))
    except FileNotFoundError:
        return Extensions()
