"""Play the table against an engine, and compare two recordings."""

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from conformance.differential.calls import VERSION, Call
from conformance.differential.exchange import Answer, parse, send
from conformance.differential.normalise import Normaliser

Recording = list[tuple[Call, dict[str, Any]]]


def play(socket_path: str, directory: str, calls: list[Call]) -> Recording:
    """Send the calls in order; return each with its flat, normalised answer."""
    image = _exchange(socket_path, "GET", f"{VERSION}/images/busybox/json")
    names = {"busybox": image.body["Id"]}
    normaliser = Normaliser(directory, image.body["Id"])
    recording: Recording = []
    for call in calls:
        answer = _perform(socket_path, call, names)
        for name, field in call.keep.items():
            if isinstance(answer.body, dict) and field in answer.body:
                names[name] = answer.body[field]
        recording.append((call, normaliser.answer(answer)))
    return recording


def _perform(socket_path: str, call: Call, names: dict[str, str]) -> Answer:
    path = _named(call.path, names)
    path = path[1:] if path.startswith("!") else VERSION + path
    body, headers = call.body, dict(call.headers)
    if body is not None and not isinstance(body, bytes):
        body = _named(json.dumps(body), names).encode()
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    if call.raw_stream:
        headers |= {"Upgrade": "tcp", "Connection": "Upgrade"}
    return _exchange(socket_path, call.method, path, body or b"", headers)


def _named(text: str, names: dict[str, str]) -> str:
    return re.sub(r"\$([a-z]\w*)", lambda match: names.get(match[1], match[0]), text)


def _exchange(
    socket_path: str,
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> Answer:
    fields = {"Host": "docker", "Connection": "close", **(headers or {})}
    if body or method in {"POST", "PUT"}:
        fields["Content-Length"] = str(len(body))
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items())
    return parse(send(socket_path, head + "\r\n", body), method)


@dataclass(frozen=True)
class Difference:
    """One place where the answers differ; ``None`` stands for an absent field."""

    call: str
    place: str
    theirs: Any
    ours: Any

    def __str__(self) -> str:
        return f"{self.call}\n    {self.place}: dockerd {self.theirs} | cutaway {self.ours}"


def compare(theirs: Recording, ours: Recording) -> list[Difference]:
    """Compare two recordings of the same table, field by field."""
    found = []
    for (call, their), (_, our) in zip(theirs, ours, strict=True):
        if their["status"] != our["status"]:  # the rest of two such answers can't be compared
            found.append(Difference(call.name, "status", _told(their), _told(our)))
            continue
        for place in sorted(their.keys() | our.keys()):
            if their.get(place) != our.get(place):
                found.append(Difference(call.name, place, their.get(place), our.get(place)))
    return found


def _told(table: dict[str, Any]) -> str:
    said = table.get("body.message", table.get("body", "…"))
    return f"{table['status']} {said}"


@dataclass(frozen=True)
class Reason:
    """One entry of differences.toml: which differences it covers, and why they are right.

    Attributes:
        call: a shell pattern for the call's name.
        place: a shell pattern for the place in the answer; ``[`` is taken literally.
        theirs: a shell pattern for dockerd's value; any by default.
        ours: a shell pattern for our value; any by default.
    """

    call: str
    place: str
    reason: str
    theirs: str = "*"
    ours: str = "*"

    def covers(self, difference: Difference) -> bool:
        """Tell whether this entry explains the difference."""
        return (
            fnmatchcase(difference.call, _literal(self.call))
            and fnmatchcase(difference.place, _literal(self.place))
            and fnmatchcase(str(difference.theirs), _literal(self.theirs))
            and fnmatchcase(str(difference.ours), _literal(self.ours))
        )


def _literal(pattern: str) -> str:
    return pattern.replace("[", "[[]")
