"""``--cache-to`` and ``--cache-from``: where a build's cache goes to and comes from.

| | to | from |
|---|---|---|
| a registry | ``REF`` or ``type=registry,ref=REF`` | ``type=registry,ref=REF`` |
| a directory | ``type=local,dest=DIR`` | ``type=local,src=DIR`` |
| an image here | | ``NAME``: only the steps of its layers hit |

``mode=min`` exports the image's own steps, ``mode=max`` those of all stages; ``mounts=true`` takes
the directories of ``RUN --mount=type=cache`` along. The spelling is BuildKit's, ``mounts`` ours.
"""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cutaway.cli.building.cache_directory import (
    is_cache_directory,
    read_cache_directory,
    write_cache_directory,
)
from cutaway.cli.command import Context
from cutaway.cli.flags import UsageError
from cutaway.cli.settings.credentials import auth_header
from cutaway.cli.units import human_size

_TRUTH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class CachePlace:
    """Where a cache is.

    Attributes:
        reference: in a registry; empty for a directory.
        directory: absolute.
        mode: ``min`` or ``max``.
        mounts: with the directories of cache mounts.
    """

    reference: str = ""
    directory: str = ""
    mode: str = "min"
    mounts: bool = False

    def __str__(self) -> str:
        return self.reference or self.directory


def parse_place(text: str, *, to: bool) -> CachePlace | None:
    """Read one ``--cache-to`` or ``--cache-from``; None for a plain image to take steps of.

    Raises:
        UsageError: another type, an unknown attribute, or one that is missing.
    """
    flag, path_key = ("--cache-to", "dest") if to else ("--cache-from", "src")
    if "=" not in text:
        return CachePlace(reference=text) if to else None
    fields = dict(part.partition("=")[::2] for part in text.split(","))
    kind = fields.pop("type", "")
    keys = {"registry": "ref", "local": path_key}
    place = fields.pop(keys.get(kind, ""), "")
    mode = fields.pop("mode", "min") if to else "min"
    mounts = _TRUTH.get(fields.pop("mounts", "false"))
    if not place or fields or mode not in {"min", "max"} or mounts is None:
        more = ",mode=min|max" if to else ""
        raise UsageError(
            f"invalid {flag} {text!r}: it is type=registry,ref=NAME or type=local,{path_key}=DIR, "
            f"and may have{more},mounts=true"
        )
    directory = os.path.realpath(place) if kind == "local" else ""
    return CachePlace("" if directory else place, directory, mode, mounts)


def place_of(word: str) -> CachePlace:
    """Read the word of ``build cache export|import``: a path looks like one, or is there."""
    if word.startswith(("/", ".", "~")) or os.path.isdir(word):
        return CachePlace(directory=os.path.realpath(os.path.expanduser(word)))
    return CachePlace(reference=word)


def import_cache(context: Context, place: CachePlace) -> dict[str, Any]:
    """Bring a cache to the engine; returns its report."""
    query = {"mounts": place.mounts or None}
    if place.reference:
        response = context.client.request(
            "POST", "/cutaway/build/cache/pull", query={"ref": place.reference, **query},
            headers=auth_header(place.reference, context.config_dir),
        )  # fmt: skip
    else:
        response = context.client.request(
            "POST", "/cutaway/build/cache/import", query={"origin": place.directory, **query},
            body=read_cache_directory(place.directory),
            headers={"Content-Type": "application/x-tar"},
        )  # fmt: skip
    report: dict[str, Any] = response.json()
    return report


def export_cache(context: Context, place: CachePlace, records: list[str] | None) -> None:
    """Write a cache: of the given records, or of all that the engine did itself."""
    response = context.client.request(
        "POST",
        "/cutaway/build/cache/export",
        query={"ref": place.reference or None},
        body={"Records": records, "Mounts": place.mounts},
        headers=auth_header(place.reference, context.config_dir) if place.reference else {},
    )
    if place.directory:
        write_cache_directory(response.chunks(), place.directory)
    else:
        response.json()


def import_sources(context: Context, texts: Iterable[str]) -> list[str]:
    """Bring what only this machine has; returns what the engine is to be told."""
    told = []
    for text in texts:
        place = parse_place(text, to=False)
        if place is None:
            told.append(text)
            continue
        if place.directory and not is_cache_directory(place.directory):
            print(f"WARNING: no build cache in {place.directory} yet", file=sys.stderr)
        elif place.directory or place.mounts:
            import_cache(context, place)
        told.append(
            f"type=local,src={place.directory}"
            if place.directory
            else f"type=registry,ref={place.reference}"
        )
    return told


def export_to(context: Context, places: Iterable[CachePlace], told: dict[str, Any]) -> None:
    """Write the caches of a build that has succeeded.

    Args:
        context: of the command.
        places: of ``--cache-to``.
        told: what the engine told of the records, by mode.
    """
    for place in places:
        export_cache(context, place, told[place.mode])
        print(f"Exported the cache of this build to {place}", file=sys.stderr)


def summary(report: dict[str, Any]) -> str:
    """Return a report as lines for people."""
    size = human_size(report["Size"])
    lines = [f"{report['Steps']} steps with {report['Layers']} layers ({size})"]
    lines += [f"cache mount {name}" for name in report["Mounts"]]
    lines += [f"cache mount {name}: not taken" for name in report["KeptMounts"]]
    return "\n".join(lines)
