"""A volume as a value, and the document that says what it is."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cutaway.files import read_json

VOLUME_VERSION = 1
LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume as it is.

    Attributes:
        name: unique; 64 hex digits when anonymous.
        driver: ``local``, or a plugin's name.
        mountpoint: the host path of its content; of a plugin's volume, empty while that is secret.
        created_at: RFC 3339.
        labels: the user's.
        options: the driver's.
        scope: ``local``, or ``global`` when its plugin has the same volume on every host.
        anonymous: nobody gave it a name.
        project: of the file system's project quota that limits it; 0: none does.
        has_disk: it is limited by being a disk in a file.
        is_filling: an import or clone writes its first content: it is nobody's yet.
    """

    name: str
    driver: str
    mountpoint: str
    created_at: str
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    scope: str = "local"
    anonymous: bool = False
    project: int = 0
    has_disk: bool = False
    is_filling: bool = False


def read_volume(directory: str) -> Volume | None:
    """Return the volume whose directory this is; None if there is none."""
    try:
        document: dict[str, Any] = read_json(os.path.join(directory, "volume.json"))
    except (OSError, ValueError):
        return None
    document.pop("version", None)
    mountpoint = os.path.join(directory, "_data") if document["driver"] == LOCAL else ""
    return Volume(mountpoint=mountpoint, **document)
