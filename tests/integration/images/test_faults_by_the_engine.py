"""A registry that drops, refuses, redirects and stalls, in front of an engine and its clients."""

import re
import threading
import time
from base64 import b64encode

import pytest

from support.hostile_registry import Exchange, HostileRegistry, make_image
from support.netns import Namespace
from support.waiting import eventually, eventually_equal, require_within

BLOB = r"/v2/app/blobs/.*"


@pytest.fixture
def served(engine):
    """Serve an image of one layer where the engine is; give the registry and the layer's bytes."""
    with HostileRegistry() as registry:
        registry.listen_in(Namespace.of(engine.host.pid))
        image = make_image(size=500_000)
        registry.put(image)
        digest = image.manifest["layers"][0]["digest"]
        yield registry, digest, image.blobs[digest]
    engine.docker("rmi", f"{registry.address}/app", check=False)


def test_a_dropped_layer_is_resumed_and_explained(engine, served) -> None:
    registry, digest, data = served
    registry.once(
        "GET", f"/v2/app/blobs/{digest}", lambda e: e.reply(200, data[:200_000], length=len(data))
    )
    told = engine.cutaway("pull", "--explain", f"{registry.address}/app").stdout
    asked = [s.headers.get("Range", "") for s in registry.requests(f"/v2/app/blobs/{digest}")]
    assert asked == ["", "bytes=200000-"]
    address = f"http://{registry.address}"
    for line in (
        f"https://{registry.address} skipped for {address}",
        rf"GET {address}/v2/app/manifests/latest -> 200 \(\d+ ms\)",
        rf'Get "{address}/v2/app/blobs/{digest}": unexpected EOF: attempt 2 of 5 in \d.\d s',
        f"resuming {digest} at byte 200000",
        rf"GET {address}/v2/app/blobs/{digest} -> 206 \(\d+ ms\)",
    ):
        assert re.search(f"^{line}$", told, re.MULTILINE), told


def test_retry_after_is_obeyed(engine, served) -> None:
    registry, _, _ = served
    busy = Exchange.reply_error
    registry.once("GET", BLOB, lambda e: busy(e, 429, "TOOMANYREQUESTS", "slow", Retry_After="1"))
    started = time.monotonic()
    engine.docker("pull", "-q", f"{registry.address}/app")
    assert time.monotonic() - started >= 1


def test_a_registry_that_always_fails_ends_within_a_minute_with_the_reason(engine, served) -> None:
    registry, _, _ = served
    before, started = engine.image_files(), time.monotonic()
    registry.on("GET", BLOB, lambda e: e.reply(503))
    ran = engine.docker("pull", f"{registry.address}/app", check=False)
    require_within(60, started)
    assert ran.returncode == 1
    assert "received unexpected HTTP status: 503 Service Unavailable" in ran.stderr
    eventually_equal(engine.image_files, before)


@pytest.mark.parametrize("program", ["docker", "cutaway"])
def test_ctrl_c_ends_a_pull_within_a_second_on_both_sides(engine, served, program) -> None:
    registry, digest, _ = served
    gone = threading.Event()

    def wait_for_the_client_to_go(exchange: Exchange) -> None:
        exchange.connection.recv(1)
        gone.set()
        exchange.close_connection = True

    registry.on("GET", f"/v2/app/blobs/{digest}", wait_for_the_client_to_go)
    with engine.terminal("pull", f"{registry.address}/app", program=program) as terminal:
        eventually(lambda: registry.requests(f"/v2/app/blobs/{digest}"))
        terminal.send(b"\x03")
        pressed = time.monotonic()
        terminal.wait()
        require_within(1, pressed)
    eventually(gone.is_set)
    require_within(1, pressed)


# Credentials


BASIC = "Basic " + b64encode(b"alice:s3cret").decode()


@pytest.fixture
def guarded(engine, served):
    """Let only alice in, who has logged in."""
    registry, _, _ = served

    def check(exchange: Exchange) -> None:
        if exchange.headers.get("Authorization") == BASIC:
            exchange.serve()
        else:
            challenge = {"WWW_Authenticate": 'Basic realm="test"'}
            exchange.reply_error(401, "UNAUTHORIZED", "authentication required", **challenge)

    for method in ("GET", "HEAD", "POST", "PUT", "PATCH"):
        registry.on(method, ".*", check)
    login = ("login", "-u", "alice", "--password-stdin", registry.address)
    assert engine.docker(*login, input="wrong", check=False).returncode == 1
    engine.docker(*login, input="s3cret")
    yield registry
    engine.docker("logout", registry.address)


@pytest.mark.parametrize("program", ["docker", "cutaway"])
def test_what_docker_login_saved_is_used_and_not_shown_to_another_host(
    engine, served, guarded, program
) -> None:
    _, digest, data = served
    with HostileRegistry() as thief:
        thief.listen_in(Namespace.of(engine.host.pid))
        thief.blobs[digest] = data
        location = {"Location": f"{thief.url}/v2/app/blobs/{digest}"}
        guarded.on("GET", f"/v2/app/blobs/{digest}", lambda e: e.reply(307, headers=location))
        getattr(engine, program)("pull", f"{guarded.address}/app")
        (seen,) = thief.seen
        assert "Authorization" not in seen.headers
    asked = guarded.requests(f"/v2/app/blobs/{digest}")
    assert {seen.headers["Authorization"] for seen in asked} == {BASIC}


def test_a_push_without_rights_reads_as_dockers_and_leaves_nothing(engine, guarded) -> None:
    name = f"{guarded.address}/mine"
    engine.docker("tag", "busybox", name)
    before = engine.image_files()
    denied = "requested access to the resource is denied"
    guarded.on("POST", r"/v2/mine/.*", lambda e: e.reply_error(403, "DENIED", denied))
    ran = engine.docker("push", name, check=False)
    assert (ran.returncode, ran.stderr) == (1, f"denied: {denied}\n")
    eventually(lambda: engine.image_files() == before)

    engine.docker("logout", guarded.address)
    ran = engine.docker("push", name, check=False)
    assert ran.returncode == 1
    assert "no basic auth credentials" in ran.stderr
    engine.docker("rmi", name)
