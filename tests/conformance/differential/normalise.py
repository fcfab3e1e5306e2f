"""What two engines can never agree on (ids, times, roots, addresses drawn by lot) made equal.

The shape stays: an id must be an id of the same length, a time a time of the same form.
"""

import base64
import json
import re
from typing import Any

from conformance.differential.exchange import Answer

HEADERS = (
    "api-version",
    "builder-version",
    "cache-control",
    "connection",
    "content-type",
    "docker-experimental",
    "location",
    "ostype",
    "pragma",
    "swarm",
    "upgrade",
    "x-docker-container-path-stat",
)

_RULES = (
    (re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])"), "<id64>"),
    (re.compile(r"(?<![0-9a-f])(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{12}(?![0-9a-f])"), "<id12>"),
    (re.compile(r"(?!0001-)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"), "<time>"),
    (re.compile(r"(?!0001-)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+[+-]\d\d:\d\d"), "<local time>"),
    (re.compile(r"(?!0001-)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "<second>"),
    (re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}"), "<mac>"),
    (re.compile(r"Less than a second|\b\d+ seconds?\b"), "<some seconds>"),
    (re.compile(r"cutaway-test-[0-9a-f]{8}"), "<cgroup parent>"),
)
_NUMBERS = frozenset(
    {
        "Pid",
        "time",
        "timeNano",
        "Created",
        "NFd",
        "NGoroutines",
    }
)
"""Fields whose number says nothing; they must be numbers above 0 on both sides, or 0 on both."""

_MEASURED = re.compile(r"body\.(cpu_stats|memory_stats|networks)\.")
_DIGITS = re.compile(r"\d+(\.\d+)?")
_UNORDERED = frozenset({"MaskedPaths", "ReadonlyPaths", "Mounts", "DNSNames", "IPAM"})
"""Lists whose order says nothing."""


def _has_no_order(members: list[Any]) -> bool:
    """Networks, volumes and changes come in the order of a Go map."""
    first = members[0]
    return isinstance(first, dict) and ({"Name", "Driver"} <= first.keys() or "Kind" in first)


def _sort_key(member: Any) -> str:
    return (isinstance(member, dict) and (member.get("Name") or member.get("Path"))) or json.dumps(
        member
    )


class Normaliser:
    """Knows one engine's directory and the one image that is byte for byte the same in both."""

    def __init__(self, directory: str, image_id: str) -> None:
        self._fixed = {directory: "<directory>", image_id: "<image>"}

    def answer(self, answer: Answer) -> dict[str, Any]:
        """Return the answer as a flat table: place to value."""
        table: dict[str, Any] = {"status": answer.status}
        for name in HEADERS:
            if name in answer.headers:
                table[f"header {name}"] = self._header(name, answer.headers[name])
        self._flatten("body", answer.body, table)
        return table

    def _header(self, name: str, value: str) -> str:
        if name == "x-docker-container-path-stat":
            value = base64.b64decode(value).decode()
        return self.text(value)

    def text(self, text: str) -> str:
        """Replace what differs by nature inside a text."""
        for found, put in self._fixed.items():
            text = text.replace(found, put)
        for pattern, put in _RULES:
            text = pattern.sub(put, text)
        return text

    def _flatten(self, place: str, value: Any, table: dict[str, Any]) -> None:
        if isinstance(value, dict) and value:
            for key, member in value.items():
                self._flatten(f"{place}.{self.text(key)}", self._number(key, member), table)
        elif isinstance(value, list) and value:
            if place.rpartition(".")[2] in _UNORDERED or _has_no_order(value):
                value = sorted(value, key=lambda member: self.text(_sort_key(member)))
            for index, member in enumerate(value):
                self._flatten(f"{place}[{index}]", member, table)
        elif isinstance(value, int | float) and _MEASURED.match(place):
            table[place] = "<number>"
        elif isinstance(value, str):
            text = self.text(value)
            if place.startswith("body.Processes["):
                text = _DIGITS.sub("<number>", text)
            table[place] = json.dumps(text, ensure_ascii=False)
        else:
            table[place] = json.dumps(value)

    def _number(self, key: str, value: Any) -> Any:
        if key in _NUMBERS and isinstance(value, int | float) and value > 0:
            return f"<{type(value).__name__} {key}>"
        return value
