"""Every operation of the description is served, and each passes on what it was asked."""

import base64
import dataclasses
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutaway import model
from cutaway.api.router import Route, Router
from cutaway.api.routes.table import all_routes
from cutaway.api.version import NEWEST
from support.api_server import ApiServer, read_all
from support.fake_engine import IMAGE_ID

DATA = json.loads((Path(__file__).parents[2] / "data" / "engine_api_1.56.json").read_text())
OPERATIONS = [(op["method"], op["path"], op["query"]) for op in DATA["operations"]]
OF_SWARM = {"swarm", "nodes", "services", "tasks", "secrets", "configs"}
UNDESCRIBED_QUERY = {
    # Refused as a whole, or accepted without meaning here.
    "/session": set(),
    "/images/json": {"identity"},
}


@pytest.mark.parametrize(("method", "path", "query"), OPERATIONS)
def test_every_operation_has_a_route_that_knows_its_parameters(
    method: str, path: str, query: list[str]
) -> None:
    route, _ = Router(all_routes()).find(method, re.sub(r"\{\w+\}", "x", path), NEWEST)
    if route.group in {"Swarm", "Nodes", "Services", "Tasks", "Secrets", "Configs", "Plugins"}:
        return
    if path == "/volumes/{name}" and method == "PUT":
        return
    known = {param.name for param in route.query} | UNDESCRIBED_QUERY.get(path, set())
    assert set(query) - known == set()


@pytest.mark.parametrize(("method", "path", "query"), OPERATIONS)
def test_every_operation_answers_without_a_500(
    shared_api: ApiServer, method: str, path: str, query: list[str]
) -> None:
    reply = shared_api.request(method, re.sub(r"\{\w+\}", "absent", path))
    assert reply.status != 500
    assert (reply.status == 503) == (
        path.split("/")[1] in OF_SWARM
        and path not in ("/swarm/init", "/swarm/join")
        or (method, path) == ("PUT", "/volumes/{name}")
    )


def test_swarm_operations_answer_as_a_dockerd_outside_a_swarm(shared_api: ApiServer) -> None:
    assert shared_api.request("GET", "/services").message == (
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to '
        "connect this node to swarm and try again."
    )
    assert shared_api.request("POST", "/swarm/leave").message == (
        "This node is not part of a swarm"
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/containers/web/checkpoints"),
        ("GET", "/containers/web/checkpoints"),
        ("DELETE", "/containers/web/checkpoints/first"),
        ("POST", "/containers/web/start?checkpoint=first"),
    ],
)
def test_checkpoints_are_refused(shared_api: ApiServer, method: str, path: str) -> None:
    reply = shared_api.request(method, path)
    assert (reply.status, reply.message) == (
        501,
        "freezing a container into files needs CRIU, which cutaway does not use",
    )


def test_every_route_is_described(shared_api: ApiServer) -> None:
    described = shared_api.request("GET", "/openapi.json").json
    for route in all_routes():
        if route.path.endswith("/"):
            continue
        path = route.path.replace(":path", "")
        operation = described["paths"][path][route.method.lower()]
        assert operation["summary"]
        assert {p["name"] for p in operation["parameters"]} >= {p.name for p in route.query}
    names = [op["operationId"] for path in described["paths"].values() for op in path.values()]
    assert len(names) == len(set(names))
    assert "ContainerInspect" in described["components"]["schemas"]


@pytest.mark.parametrize("name", ["networks", "volumes", "builds"])
def test_a_group_that_is_not_there_answers_501(name: str) -> None:
    with ApiServer() as api:
        application = api.server._application
        without: dict[str, Any] = {name: None}
        application._backends = dataclasses.replace(application._backends, **without)
        target = {"networks": "/networks", "volumes": "/volumes", "builds": "/build/prune"}[name]
        method = "POST" if name == "builds" else "GET"
        assert api.request(method, target).status == 501


# -- containers -------------------------------------------------------------------------------


def test_create_passes_on_config_host_config_and_networks(api: ApiServer) -> None:
    body = {
        "Image": "busybox",
        "Cmd": ["sh"],
        "HostConfig": {"Memory": 7_000_000, "Binds": ["/a:/b"]},
        "NetworkingConfig": {"EndpointsConfig": {"front": {"Aliases": ["web"]}}},
    }
    target = "/containers/create?name=/web&platform=linux/arm64"
    reply = api.request("POST", target, body)
    assert (reply.status, reply.json["Warnings"]) == (201, [])
    request = api.engine.containers.all[reply.json["Id"]].request
    assert (request.name, request.platform) == ("web", "linux/arm64")
    assert request.config == model.ContainerConfig(image="busybox", cmd=("sh",))
    assert request.host_config == model.HostConfig(memory=7_000_000, binds=("/a:/b",))
    endpoints = request.networking_config.endpoints_config
    assert endpoints == {"front": model.EndpointSettings(aliases=("web",))}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "invalid JSON: got EOF while reading request body"),
        (b"{}", "config cannot be empty in order to create a container"),
        (b"null", "invalid JSON: got EOF while reading request body"),
        (b"[]", "invalid JSON: Expected `object`, got `array`"),
    ],
)
def test_create_of_nothing(shared_api: ApiServer, body: bytes, message: str) -> None:
    reply = shared_api.request(
        "POST", "/containers/create", body, {"Content-Type": "application/json"}
    )
    assert (reply.status, reply.message) == (400, message)


def test_errors_have_dockers_status_and_words(api: ApiServer) -> None:
    web = api.container()
    missing = api.request("POST", "/containers/create", {"Image": "missing"})
    assert (missing.status, missing.message) == (404, "No such image: missing:latest")
    taken = api.request("POST", "/containers/create?name=web", {"Image": "busybox"})
    assert taken.status == 409
    assert f'already in use by container "{web}"' in taken.message
    assert api.request("GET", "/containers/nope/json").message == "No such container: nope"
    assert api.request("POST", "/containers/web/start").status == 204
    again = api.request("POST", "/containers/web/start")
    assert (again.status, again.body) == (304, b"")
    assert api.request("DELETE", "/containers/web").status == 409
    assert api.request("DELETE", "/containers/web?force=1").status == 204


def test_names_in_paths_are_decoded_once(api: ApiServer) -> None:
    api.container("we.b")
    assert api.request("GET", "/containers/we%2Eb/json").status == 200
    assert api.request("GET", "/containers/we%252Eb/json").message == "No such container: we%2Eb"


def test_stop_passes_signal_and_timeout(api: ApiServer) -> None:
    api.container()
    api.request("POST", "/containers/web/start")
    assert api.request("POST", "/containers/web/stop?t=-1&signal=INT").status == 204
    api.request("POST", "/containers/web/start")
    assert api.request("POST", "/v1.41/containers/web/stop?t=5&signal=INT").status == 204
    story = api.engine.containers.find("web").story
    assert story == ["started", "stop INT -1", "started", "stop  5"]


def test_start_refuses_the_body_of_ancient_clients(api: ApiServer) -> None:
    api.container()
    reply = api.request("POST", "/containers/web/start", {"Binds": ["/:/host"]})
    assert reply.status == 400
    assert "removed in v1.24" in reply.message
    assert api.request("POST", "/containers/web/start", {}).status == 204


@pytest.mark.parametrize("query", ["", "h=1", "h=x&w=1", "h=-1&w=1", "h=1&w=4294967296"])
def test_resize_needs_two_numbers(api: ApiServer, query: str) -> None:
    api.container()
    reply = api.request("POST", f"/containers/web/resize?{query}")
    assert reply.status == 400
    assert "invalid resize" in reply.message


def test_list_filters(shared_api: ApiServer) -> None:
    target = '/containers/json?filters={"status":["running"]}'
    assert shared_api.request("GET", target).json == []
    reply = shared_api.request("GET", '/containers/json?filters={"colour":["red"]}')
    assert (reply.status, reply.message) == (400, "invalid filter 'colour'")


def test_update_takes_resources_and_restart_policy(api: ApiServer) -> None:
    api.container()
    body = {"Memory": 9_000_000, "RestartPolicy": {"Name": "always"}}
    assert api.request("POST", "/containers/web/update", body).status == 200
    assert api.engine.containers.last_update == model.UpdateConfig(
        memory=9_000_000, restart_policy=model.RestartPolicy(name="always")
    )


def test_commit(api: ApiServer) -> None:
    api.container()
    target = "/commit?container=web&repo=r&tag=t&changes=CMD%20x%0AENV%20A=1&pause=0"
    reply = api.request("POST", target, {"Hostname": "h"})
    assert (reply.status, reply.json) == (201, {"Id": IMAGE_ID})
    assert api.engine.containers.last_commit == model.CommitRequest(
        container="web",
        repo="r",
        tag="t",
        changes=("CMD x", "ENV A=1"),
        pause=False,
        config=model.ContainerConfig(hostname="h"),
    )
    assert api.request("POST", "/commit").status == 400


def test_logs_stream_with_the_media_type_of_the_version(api: ApiServer) -> None:
    api.container()
    multiplexed = api.request("GET", "/containers/web/logs?stdout=1")
    assert multiplexed.headers["content-type"] == "application/vnd.docker.multiplexed-stream"
    assert multiplexed.body.startswith(b"\x01\0\0\0\0\0\0\x07line 0\n")
    assert multiplexed.whole
    old = api.request("GET", "/v1.41/containers/web/logs?stdout=1")
    assert old.headers["content-type"] == "application/vnd.docker.raw-stream"
    reply = api.request("GET", "/containers/web/logs")
    assert reply.message == "Bad parameters: you must choose at least one stream"
    api.container("pty", Tty=True)
    raw = api.request("GET", "/containers/pty/logs?stderr=1")
    assert raw.headers["content-type"] == "application/vnd.docker.raw-stream"
    assert raw.body == b"line 0\nline 1\nline 2\n"


def test_stats_stream_or_one(api: ApiServer) -> None:
    api.container()
    assert len(api.request("GET", "/containers/web/stats").body.splitlines()) == 2
    one = api.request("GET", "/containers/web/stats?stream=0&one-shot=1")
    assert one.json["name"] == "/web"
    assert api.request("GET", "/containers/web/stats?one-shot=1").status == 400


def test_archive_tells_what_it_is_in_a_header(api: ApiServer) -> None:
    api.container()
    for method in ("HEAD", "GET"):
        reply = api.request(method, "/containers/web/archive?path=/etc/hosts")
        stat = json.loads(base64.b64decode(reply.headers["x-docker-container-path-stat"]))
        assert stat["name"] == "hosts"
        assert stat.keys() == {"name", "size", "mode", "mtime", "linkTarget"}
    assert reply.body == b"x" * 70000
    assert api.request("GET", "/containers/web/archive?path=/absent").status == 404
    assert api.request("HEAD", "/containers/web/archive?path=/absent").body == b""
    assert api.request("GET", "/containers/web/archive").status == 400


def test_wait_answers_after_the_end(api: ApiServer) -> None:
    api.container()
    assert api.request("POST", "/containers/web/wait").json == {"StatusCode": 0}
    bad = api.request("POST", "/containers/web/wait?condition=whenever")
    assert (bad.status, bad.message) == (400, 'invalid condition: "whenever"')
    assert api.request("POST", "/containers/nope/wait").status == 404


def test_wait_that_fails_after_its_headers_says_so_in_its_body(api: ApiServer) -> None:
    api.container("unlucky")
    reply = api.request("POST", "/containers/unlucky/wait?condition=removed")
    assert reply.status == 200
    message = "the engine lost sight of it"
    assert reply.json == {"StatusCode": -1, "Error": {"Message": message}}


def test_a_waiting_client_gets_its_headers_at_once_and_the_template_ends_it(
    api: ApiServer,
) -> None:
    api.container()
    api.request("POST", "/containers/web/start")
    with api.connect() as sock:
        sock.sendall(b"POST /containers/web/wait HTTP/1.1\r\nHost: d\r\n\r\n")
        head = sock.recv(4096)
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert head.endswith(b"\r\n\r\n")
        pending = wait_for(lambda: api.engine.containers.find("web").pending)[0]
        assert pending.fd is not None
        # What the shim does when the engine has died:
        os.write(pending.fd, pending.template % 137)
        body = sock.recv(4096)
    assert body == b'13\r\n{"StatusCode":137}\n\r\n0\r\n\r\n'
    assert len(body.split(b"\r\n")[1]) == 0x13


def test_plan_and_story_are_ours(api: ApiServer) -> None:
    api.container()
    assert api.request("POST", "/cutaway/plan", {"Image": "b"}).json == {"Steps": ["b"]}
    assert api.request("GET", "/cutaway/containers/web/story").json == []


# -- execs ------------------------------------------------------------------------------------


def test_exec_is_created_inspected_and_resized(api: ApiServer) -> None:
    api.container()
    body = {"Cmd": ["ls"], "ConsoleSize": [24, 80], "Tty": True}
    reply = api.request("POST", "/containers/web/exec", body)
    assert reply.status == 201
    exec_id = reply.json["Id"]
    assert api.engine.execs.all[exec_id].console_size == (24, 80)
    assert api.request("GET", f"/exec/{exec_id}/json").json["ExitCode"] == 4
    assert api.request("POST", f"/exec/{exec_id}/resize?h=1&w=2").status == 200
    assert api.request("POST", f"/exec/{exec_id}/start", {"Detach": True}).status == 200
    assert api.engine.execs.story == ["resize 1x2", "start True False None"]
    nothing = api.request("POST", "/containers/web/exec", {})
    assert (nothing.status, nothing.message) == (400, "No exec command specified")
    assert api.request("GET", "/exec/nope/json").message == "No such exec instance: nope"


# -- images -----------------------------------------------------------------------------------


def wait_for(find: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 5
    while not (found := find()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return found


def auth_header(**fields: str) -> dict[str, str]:
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()}


@pytest.mark.parametrize(
    ("query", "image", "tag"),
    [
        ("fromImage=busybox&tag=1", "busybox", "1"),
        ("fromImage=busybox:2", "busybox", "2"),
        ("fromImage=h:5000/busybox", "h:5000/busybox", ""),
        (f"fromImage=b@{IMAGE_ID}", "b", IMAGE_ID),
        (f"fromImage=b&tag={IMAGE_ID}", "b", IMAGE_ID),
    ],
)
def test_pull(api: ApiServer, query: str, image: str, tag: str) -> None:
    reply = api.request(
        "POST",
        f"/images/create?{query}&platform=linux/amd64",
        headers=auth_header(username="me", password="p", serveraddress="r"),
    )
    assert reply.status == 200
    lines = [json.loads(line) for line in reply.body.split(b"\r\n") if line]
    assert lines[0]["status"] == f"Pulling from {image}"
    assert lines[1]["progressDetail"] == {"current": 1}
    assert api.engine.images.last_pull == model.PullOptions(
        image=image,
        tag=tag,
        platform="linux/amd64",
        auth=model.AuthConfig(username="me", password="p", server_address="r"),
    )


def test_a_pull_that_fails_half_way_says_so_in_its_last_line(api: ApiServer) -> None:
    reply = api.request("POST", "/images/create?fromImage=broken&tag=1")
    last = json.loads(reply.body.split(b"\r\n")[-2])
    assert last["error"] == last["errorDetail"]["message"] == "the registry went away"
    assert reply.whole


def test_a_pull_that_is_refused_has_its_status(api: ApiServer) -> None:
    assert api.request("POST", "/images/create?fromImage=private").status == 401
    assert api.request("POST", "/images/create").status == 400


@pytest.mark.parametrize("header", ["", "!!!", "bnVsbA==", "W10=", "e30="])
def test_unreadable_credentials_are_no_credentials(api: ApiServer, header: str) -> None:
    api.request("POST", "/images/create?fromImage=b", headers={"X-Registry-Auth": header})
    assert api.engine.images.last_pull is not None
    assert api.engine.images.last_pull.auth is None


def test_names_of_images_hold_slashes(api: ApiServer) -> None:
    assert api.request("GET", "/images/h:5000/a/b:c/json").json["RepoTags"] == ["h:5000/a/b:c"]
    api.request("POST", "/images/h:5000/a/b/push?tag=c", headers=auth_header(username="x"))
    assert api.engine.images.last_push is not None
    assert api.engine.images.last_push.image == "h:5000/a/b"
    assert api.request("DELETE", "/images/a/b").json[0] == {"Untagged": "a/b"}
    assert api.request("GET", "/distribution/a/b/json").status == 200


def test_save_load_import(api: ApiServer) -> None:
    assert api.request("GET", "/images/get?names=a&names=b").body == b"tar of a,b"
    assert api.request("GET", "/images/x/y/get").body == b"tar of x/y"
    assert api.request("GET", "/images/get").status == 400
    assert api.request("GET", "/images/missing/get").status == 404
    api.request("POST", "/images/load?quiet=1", b"tarball")
    assert api.engine.images.loaded == b"tarball"
    api.request("POST", "/images/create?fromSrc=-&repo=r&changes=CMD%20x", b"root")
    assert api.engine.images.imported == model.ImportOptions(repo="r", changes=("CMD x",))
    assert api.engine.images.loaded == b"root"


def test_from_host(api: ApiServer) -> None:
    body = {"Name": "tools", "Programs": ["ls"]}
    assert api.request("POST", "/cutaway/images/from-host", body).status == 200
    assert api.engine.images.from_host_asked == ("tools", ("ls",))


def test_image_filters_are_checked(shared_api: ApiServer) -> None:
    for target in ("/images/json", "/images/prune"):
        method = "POST" if "prune" in target else "GET"
        reply = shared_api.request(method, target + '?filters={"dangling":["perhaps"]}')
        assert (reply.status, reply.message) == (400, "invalid filter 'dangling=[perhaps]'")


# -- system, networks, volumes, builds --------------------------------------------------------


def test_version_names_the_api_versions(shared_api: ApiServer) -> None:
    found = shared_api.request("GET", "/version").json
    assert (found["ApiVersion"], found["MinAPIVersion"]) == ("1.56", "1.24")
    assert found["Components"][0]["Details"]["ApiVersion"] == "1.56"


def test_events_take_times_and_filters(api: ApiServer) -> None:
    target = '/events?since=1.5&until=3&filters={"type":["container"],"label":["a=b"]}'
    assert api.request("GET", target).json["Action"] == "start"
    assert api.engine.system.last_events == model.EventsOptions(
        since_ns=1_500_000_000,
        until_ns=3_000_000_000,
        filters={"type": ("container",), "label": ("a=b",)},
    )
    assert api.request("GET", "/events?since=5&until=3").status == 400


def test_login(shared_api: ApiServer) -> None:
    good = {"username": "u", "password": "right", "serveraddress": "r"}
    assert shared_api.request("POST", "/auth", good).json["Status"] == "Login Succeeded"
    assert shared_api.request("POST", "/auth", {**good, "password": "wrong"}).status == 401


def test_disk_usage_by_version(shared_api: ApiServer) -> None:
    new = shared_api.request("GET", "/system/df?type=image&verbose=1").json
    assert new.keys() == {"ImageUsage"}
    usage = new["ImageUsage"]
    assert (usage["TotalCount"], usage["ActiveCount"], usage["TotalSize"]) == (1, 1, 10)
    assert usage["Reclaimable"] == 4
    assert len(usage["Items"]) == 1
    old = shared_api.request("GET", "/v1.41/system/df").json
    assert (old["LayersSize"], old["BuilderSize"], old["Images"][0]["VirtualSize"]) == (10, 0, 10)
    assert shared_api.request("GET", "/system/df?type=cats").status == 400


def test_networks(api: ApiServer) -> None:
    calls = api.engine.networks.calls
    body = {"Name": "front", "EnableIPv6": True, "IPAM": {"Config": [{"Subnet": "10.9.0.0/16"}]}}
    assert api.request("POST", "/networks/create", body).status == 201
    assert calls[-1].enable_ipv6 is True
    assert calls[-1].ipam.config == (model.IPAMConfig(subnet="10.9.0.0/16"),)
    connect = {"Container": "web", "EndpointConfig": {"IPAMConfig": {"IPv4Address": "10.9.0.5"}}}
    assert api.request("POST", "/networks/front/connect", connect).status == 200
    assert calls[-1].endpoint_config.ipam_config.ipv4_address == "10.9.0.5"
    assert api.request("POST", "/networks/front/disconnect", {"Container": "web"}).status == 200
    assert api.request("GET", "/networks/nope").message == "network nope not found"
    assert len(api.request("GET", "/networks/").json) == 1
    assert "Containers" in api.request("GET", "/v1.27/networks").json[0]


def test_volumes(api: ApiServer) -> None:
    created = api.request("POST", "/volumes/create", {"Name": "data"})
    assert (created.status, created.json["Name"]) == (201, "data")
    assert api.request("GET", "/volumes/x").message == "get x: no such volume"
    assert api.request("DELETE", "/volumes/v?force=1").status == 204
    api.request("POST", "/v1.41/volumes/prune")
    assert api.engine.volumes.last_prune == {"all": ("true",)}
    api.request("POST", "/volumes/prune")
    assert api.engine.volumes.last_prune == {}


def test_build_reads_all_its_parameters(api: ApiServer) -> None:
    config = base64.urlsafe_b64encode(b'{"r":{"username":"u"}}').decode()
    target = (
        "/build?t=a&t=b:1&dockerfile=D&nocache=1&rm=0&memory=9&shmsize=4"
        '&buildargs={"A":"1","B":null}&labels={"l":"v"}&cachefrom=["c"]&target=last'
        '&extrahosts=h:1.2.3.4,i:2.3.4.5&ulimits=[{"Name":"nofile","Soft":1,"Hard":2}]'
    )
    reply = api.request("POST", target, b"context", {"X-Registry-Config": config})
    assert reply.status == 200
    assert b"Step 1/1" in reply.body
    assert api.engine.builds.context == b"context"
    assert api.engine.builds.last == model.BuildRequest(
        tags=("a", "b:1"),
        dockerfile="D",
        no_cache=True,
        remove=False,
        memory=9,
        shm_size=4,
        build_args={"A": "1", "B": None},
        labels={"l": "v"},
        cache_from=("c",),
        target="last",
        extra_hosts=("h:1.2.3.4", "i:2.3.4.5"),
        ulimits=(model.Ulimit(name="nofile", soft=1, hard=2),),
        auth_configs={"r": model.AuthConfig(username="u")},
    )
    assert api.request("POST", "/build?buildargs=x").status == 400
    assert api.request("POST", "/build?memory=x").status == 400


def test_buildkit_is_refused_with_the_way_out(shared_api: ApiServer) -> None:
    reply = shared_api.request("POST", "/session", headers={"Upgrade": "h2c"})
    assert reply.status == 501
    assert "DOCKER_BUILDKIT=0" in reply.message


# -- whatever is asked ------------------------------------------------------------------------

VALUES = st.sampled_from(
    ["", "0", "1", "true", "x", "-1", "1.5", "9" * 30, "{}", "[]", '{"a":["b"]}', '{"a":1}', "null",
     '{"label":["a=b"]}', '{"until":{"x":true}}', "linux/arm64", '{"os":1}', "%", "é", "\x00", "/",
     '{"os":"linux","architecture":"arm64"}', "sha256:" + "0" * 64]
)  # fmt: skip
BODIES = st.sampled_from([b"", b"{}", b"null", b"[]", b"1", b'"x"', b"{", b"\xff", b'{"Cmd":1}'])


@settings(max_examples=400)
@given(route=st.sampled_from(all_routes()), data=st.data())
def test_no_query_and_no_body_is_a_500(
    shared_api: ApiServer, route: Route, data: st.DataObject
) -> None:
    name = data.draw(VALUES.map(lambda text: quote(text, safe="")))
    path = re.sub(r"\{\w+(:path)?\}", name or "x", route.path)
    values = {param.name: data.draw(VALUES) for param in route.query}
    body = data.draw(BODIES) if route.method in ("POST", "PUT") else None
    version = data.draw(st.sampled_from(["", "/v1.24", "/v1.41", "/v1.50"]))
    headers = {"Content-Type": "application/json"}
    reply = shared_api.request(route.method, f"{version}{path}?{urlencode(values)}", body, headers)
    assert reply.status != 500, (reply.body, values, body)
    assert reply.whole or route.method == "HEAD"


def test_a_handed_over_wait_can_be_answered_after_the_engine_has_ended() -> None:
    with ApiServer() as api:
        api.container()
        api.request("POST", "/containers/web/start")
        sock = api.connect()
        sock.sendall(b"POST /containers/web/wait HTTP/1.1\r\nHost: d\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200 OK")
        pending = wait_for(lambda: api.engine.containers.find("web").pending)[0]
        started = time.monotonic()
    assert time.monotonic() - started < 0.9  # less than the grace that other requests get
    os.write(pending.fd, pending.template % 7)
    os.close(pending.fd)
    with sock:
        assert read_all(sock) == b'13\r\n{"StatusCode":  7}\n\r\n0\r\n\r\n'
