"""What clients of each API version send works on a real engine, and they get the shapes they know.

The bodies and headers are those that docker-py and the docker command sent in their time: a body
with ``start``, no ``Content-Type`` on an empty POST, an attach without ``Upgrade``, null fields.
"""

import json
from typing import Any

import pytest

from conformance.differential.exchange import Answer, parse, send
from support.engine import EngineUnderTest

VERSIONS = [f"1.{minor}" for minor in range(24, 57)]

# docker-py 1.9 (API 1.24): every field of its time, null or false when nobody set it.
OLD_CREATE = {
    "Tty": False, "NetworkDisabled": False, "StopSignal": None, "Hostname": None, "User": None,
    "AttachStdin": False, "AttachStdout": True, "AttachStderr": True, "OpenStdin": False,
    "StdinOnce": False, "Env": ["A=1"], "Volumes": None, "Entrypoint": None, "WorkingDir": None,
    "Domainname": None, "VolumesFrom": None, "MacAddress": None, "ExposedPorts": None,
    "Image": "busybox", "Cmd": ["sh", "-c", "echo out; echo err >&2; exit 3"], "Memory": 0,
    "Labels": None, "NetworkingConfig": None,
    "HostConfig": {"NetworkMode": "default", "Memory": 67108864, "Binds": None, "Dns": None},
}  # fmt: skip


def call(
    engine: EngineUnderTest,
    method: str,
    path: str,
    body: Any = None,
    **headers: str,
) -> Answer:
    data = b"" if body is None else json.dumps(body).encode()
    fields = {"Host": "localhost", "Connection": "close", "User-Agent": "docker-py/1.9.0"}
    if method == "POST":
        fields["Content-Length"] = str(len(data))
    if data:
        fields["Content-Type"] = "application/json"
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    raw = send(engine.socket, f"{method} {path} HTTP/1.1\r\n{head}\r\n", data)
    return parse(raw, method)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_containers_life(engine: EngineUnderTest, version: str) -> None:
    v = f"/v{version}"
    created = call(engine, "POST", f"{v}/containers/create?name=old", OLD_CREATE)
    assert created.status == 201, created
    name = created.body["Id"][:12]
    assert call(engine, "POST", f"{v}/containers/{name}/start", {}).status == 204
    waited = call(engine, "POST", f"{v}/containers/{name}/wait")
    assert (waited.status, waited.body["StatusCode"]) == (200, 3)
    logs = call(engine, "GET", f"{v}/containers/{name}/logs?stdout=1&stderr=1&follow=0&tail=all")
    assert logs.status == 200
    assert b"out\n" in _payload(logs)
    shown = call(engine, "GET", f"{v}/containers/{name}/json").body
    assert shown["State"]["ExitCode"] == 3
    assert shown["HostConfig"]["Memory"] == 67108864
    assert shown["Config"]["Env"][0] == "A=1"
    assert ("IPAddress" in shown["NetworkSettings"]) == (_below(version, 52))
    listed = call(engine, "GET", f"{v}/containers/json?all=1&size=0&limit=-1&trunc_cmd=0").body
    assert [entry["Names"] for entry in listed] == [["/old"]]
    filters = '{"name":{"old":true}}'.replace('"', "%22").replace("{", "%7B").replace("}", "%7D")
    assert len(call(engine, "GET", f"{v}/containers/json?all=1&filters={filters}").body) == 1
    assert call(engine, "DELETE", f"{v}/containers/{name}?v=False&link=0&force=0").status == 204


@pytest.mark.parametrize("version", ["1.24", "1.30", "1.41", "1.42", "1.47", "1.51", "1.56"])
def test_an_exec_with_and_without_upgrade(engine: EngineUnderTest, version: str) -> None:
    v = f"/v{version}"
    body = {"Image": "busybox", "Cmd": ["sleep", "100"]}
    assert call(engine, "POST", f"{v}/containers/create?name=old", body).status == 201
    assert call(engine, "POST", f"{v}/containers/old/start").status == 204
    for headers in ({}, {"Upgrade": "tcp", "Connection": "Upgrade"}):
        wish = {"User": "", "Tty": False, "AttachStdin": False, "AttachStdout": True,
                "AttachStderr": True, "Cmd": ["echo", "hi"], "Container": "old"}  # fmt: skip
        made = call(engine, "POST", f"{v}/containers/old/exec", wish)
        assert made.status == 201
        started = call(
            engine, "POST", f"{v}/exec/{made.body['Id']}/start",
            {"Tty": False, "Detach": False}, **headers,
        )  # fmt: skip
        assert started.status == (101 if headers else 200)
        assert b"hi\n" in _payload(started)
        assert call(engine, "GET", f"{v}/exec/{made.body['Id']}/json").body["ExitCode"] == 0
    assert call(engine, "POST", f"{v}/containers/old/kill").status == 204


@pytest.mark.parametrize("version", VERSIONS)
def test_images_and_system_keep_their_old_shapes(engine: EngineUnderTest, version: str) -> None:
    v = f"/v{version}"
    image = call(engine, "GET", f"{v}/images/busybox/json").body
    for name in ("Container", "ContainerConfig"):
        assert (name in image) == _below(version, 45)
    assert ("VirtualSize" in image) == _below(version, 44)
    assert ("Parent" in image) == _below(version, 52)
    (listed,) = call(engine, "GET", f"{v}/images/json?only_ids=0&all=0").body
    assert ("VirtualSize" in listed) == _below(version, 44)
    for path in ("/version", "/info", "/networks", "/volumes", "/system/df", "/images/search"):
        answer = call(engine, "GET", v + path)
        assert answer.status == (400 if "search" in path else 200), (path, answer)
    ping = call(engine, "GET", f"{v}/_ping")
    assert (ping.body, ping.headers["api-version"]) == ("OK", "1.56")


def test_at_1_41_an_image_tells_which_container_it_was(engine: EngineUnderTest) -> None:
    body = {"Image": "busybox", "Cmd": ["true"]}
    created = call(engine, "POST", "/v1.41/containers/create", body).body["Id"]
    made = call(engine, "POST", f"/v1.41/commit?container={created}&repo=made", {}).body["Id"]
    image = call(engine, "GET", f"/v1.41/images/{made}/json").body
    base = call(engine, "GET", "/v1.41/images/busybox/json").body
    assert (image["Container"], image["Parent"]) == (created, base["Id"])
    assert image["ContainerConfig"]["Cmd"] == ["true"]
    assert call(engine, "DELETE", f"/v1.41/images/{made}").status == 200


def _below(version: str, minor: int) -> bool:
    return int(version.split(".")[1]) < minor


def _payload(answer: Answer) -> bytes:
    if isinstance(answer.body, list):
        return "".join(text for _, text in answer.body).encode("latin-1")
    return (answer.body or "").encode("latin-1")
