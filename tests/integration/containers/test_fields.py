"""Every field of a container's creation is honoured or refused: none is ignored."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cutaway.client import ApiError
from integration.containers import test_field_effects
from integration.containers.fields import CASES, By, Refused, Seen, Told
from support.engine import EngineUnderTest
from support.waiting import eventually

DATA = json.loads((Path(__file__).parents[2] / "data" / "engine_api_1.56.json").read_text())
DESCRIBED = DATA["definitions"]
SUBNETS = {"Config": [{"Subnet": "10.66.0.0/24"}, {"Subnet": "fd66::/64"}]}


def test_every_field_of_the_description_has_a_case() -> None:
    for definition, cases in CASES.items():
        assert cases.keys() == set(DESCRIBED[definition]), definition


def of_kind(kind: type) -> list[Any]:
    return [
        pytest.param(definition, field, case, id=f"{definition}.{field}")
        for definition, cases in CASES.items()
        for field, case in cases.items()
        if isinstance(case, kind)
    ]


def test_every_test_that_a_case_names_exists() -> None:
    for _, _, case in (param.values for param in of_kind(By)):
        assert case.test in CASES or hasattr(test_field_effects, case.test), case


def fragment(definition: str, field: str, value: Any) -> dict[str, Any]:
    """Return the part of a body that gives a field its value."""
    if definition == "ContainerConfig":
        return {field: value}
    if definition == "HostConfig":
        return {"HostConfig": {field: value}}
    if definition == "Mount":
        return {"HostConfig": {"Mounts": [value]}}
    if definition == "EndpointIPAMConfig":
        return fragment("EndpointSettings", "IPAMConfig", {field: value})
    return {"NetworkingConfig": {"EndpointsConfig": {"fields": {field: value}}}}


def merged(body: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Join two bodies, member by member."""
    out = dict(body)
    for key, value in part.items():
        old = out.get(key)
        if isinstance(old, dict):
            out[key] = merged(old, value)
        elif isinstance(old, list):
            out[key] = [*old, *value]
        else:
            out[key] = value
    return out


class Boxes:
    """One running container for each group of cases, its output cut by case."""

    def __init__(self, engine: EngineUnderTest) -> None:
        self.engine = engine
        client = engine.client
        network = {"Name": "fields", "EnableIPv6": True, "IPAM": SUBNETS}
        client.post("/networks/create", network)
        other = {
            "Image": "busybox",
            "Cmd": ["sleep", "1000"],
            "StopSignal": "SIGKILL",
            "Volumes": {"/shared": {}},
        }
        client.post("/containers/create", other, name="other")
        client.post("/networks/fields/connect", {"Container": "other"})
        client.post("/containers/other/start")
        told = client.get("/containers/other/json")
        self.facts = {
            "$parent": engine.cgroup_parent,
            "$other": told["NetworkSettings"]["Networks"]["fields"]["IPAddress"],
            "$uts": re.escape(Path(f"/proc/{engine.process.pid}/ns/uts").readlink().name),
            "$user": re.escape(Path("/proc/self/ns/user").readlink().name),
        }
        self.output: dict[str, str] = {}
        self.inspected: dict[str, Any] = {}
        shown = [param.values for kind in (Seen, Told) for param in of_kind(kind)]
        for box in {case.box for _, _, case in shown}:
            self._fill(box, [entry for entry in shown if entry[2].box == box])

    def with_facts(self, value: Any) -> Any:
        """Put facts in the place of their names."""
        text = json.dumps(value)
        for name, fact in self.facts.items():
            text = text.replace(name, fact.replace("\\", "\\\\"))
        return json.loads(text)

    def _fill(self, box: str, entries: list[tuple[str, str, Seen | Told]]) -> None:
        body: dict[str, Any] = {"Image": "busybox", "StopSignal": "SIGKILL"}
        if box == "endpoint":
            body["HostConfig"] = {"NetworkMode": "fields"}
        script = ""
        for definition, field, case in entries:
            body = merged(body, fragment(definition, field, case.value))
            if isinstance(case, Seen):
                script += f"echo '== {definition}.{field}'; {{ {case.command}; }} 2>&1\n"
        body["Cmd"] = ["sh", "-c", f"{script}echo '== end'; exec sleep 1000"]
        name = box.replace(" ", "-")
        client = self.engine.client
        client.post("/containers/create", self.with_facts(body), name=name)
        client.post(f"/containers/{name}/start")
        eventually(lambda: "== end" in self.engine.docker("logs", name).stdout)
        output = self.engine.docker("logs", name).stdout.replace("\r\n", "\n")
        for section in output.split("== ")[1:]:
            case_name, _, text = section.partition("\n")
            self.output[case_name] = text.removesuffix("\n")
        self.inspected[box] = client.get(f"/containers/{name}/json")


@pytest.fixture(scope="module")
def boxes(module_engine: EngineUnderTest) -> Boxes:
    return Boxes(module_engine)


@pytest.mark.parametrize(("definition", "field", "case"), of_kind(Seen))
def test_it_is_seen_in_the_container(boxes: Boxes, definition: str, field: str, case: Seen) -> None:
    printed = boxes.output[f"{definition}.{field}"]
    assert re.fullmatch(boxes.with_facts(case.expected), printed, re.S)


@pytest.mark.parametrize(("definition", "field", "case"), of_kind(Told))
def test_inspect_tells_it(boxes: Boxes, definition: str, field: str, case: Told) -> None:
    found = boxes.inspected[case.box]
    for key in case.place.split("."):
        found = found[key]
    assert re.fullmatch(case.expected, str(found))


@pytest.mark.parametrize(("definition", "field", "case"), of_kind(Refused))
def test_it_is_refused(
    module_engine: EngineUnderTest, definition: str, field: str, case: Refused
) -> None:
    body = {"Image": "busybox", **case.also, **fragment(definition, field, case.value)}
    with pytest.raises(ApiError, match=case.sentence) as refused:
        module_engine.client.post("/containers/create", body)
    assert refused.value.status == case.status
