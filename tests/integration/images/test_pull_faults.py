"""A registry that drops, stalls, refuses and redirects: resumed, retried, or given up in time."""

import threading
import time
from dataclasses import replace

import pytest

from cutaway.errors import CutawayError, Unavailable
from cutaway.images.cancellation import Cancelled
from cutaway.images.registry.settings import RegistrySettings
from cutaway.images.registry.transport import RedirectRefused, TransportFailure
from cutaway.oci import Digest
from support.hostile_registry import Exchange, make_image
from support.waiting import require_within

MANIFEST = r"/v2/app/manifests/latest"
BLOB = r"/v2/app/blobs/.*"
PIECE = 100_000


@pytest.fixture
def layer(registry):
    """Serve an image of one layer, and give the layer's digest and bytes."""
    image = make_image(size=500_000)
    registry.put(image)
    digest = image.manifest["layers"][0]["digest"]
    return digest, image.blobs[digest]


def drop_after(data: bytes, count: int, *, honour_range: bool = True):
    """Make a rule that sends ``count`` bytes from where the client asked, then hangs up."""

    def rule(exchange: Exchange) -> None:
        asked = exchange.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and honour_range else 0
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        left = len(data) - start
        exchange.reply(206 if start else 200, data[start : start + count], headers, length=left)

    return rule


def ranges(registry, digest) -> list[str]:
    return [s.headers.get("Range", "") for s in registry.requests(f"/v2/app/blobs/{digest}")]


# Drops


def test_a_dropped_layer_is_resumed_where_it_broke(store, registry, layer):
    digest, data = layer
    path = f"/v2/app/blobs/{digest}"
    registry.once("GET", path, drop_after(data, PIECE), drop_after(data, PIECE))

    store.pull(f"{registry.address}/app")

    assert ranges(registry, digest) == ["", f"bytes={PIECE}-", f"bytes={2 * PIECE}-"]
    assert store.partial() == []


def test_a_registry_that_ignores_range_is_read_from_the_beginning(store, registry, layer):
    digest, data = layer
    path = f"/v2/app/blobs/{digest}"
    registry.once("GET", path, drop_after(data, PIECE), lambda e: e.reply(200, data))

    store.pull(f"{registry.address}/app")

    assert len(ranges(registry, digest)) == 2


@pytest.mark.parametrize("status", [206, 416])
def test_a_registry_that_resumes_elsewhere_is_asked_from_the_beginning(
    store, registry, layer, status
):
    digest, data = layer
    wrong = {"Content-Range": f"bytes 5-{len(data) - 1}/{len(data)}"}
    registry.once(
        "GET",
        f"/v2/app/blobs/{digest}",
        drop_after(data, PIECE),
        lambda e: e.reply(status, data[5:] if status == 206 else b"", wrong),
    )

    store.pull(f"{registry.address}/app")

    assert ranges(registry, digest) == ["", f"bytes={PIECE}-", ""]


@pytest.mark.parametrize("honour_range", [True, False])
def test_a_registry_that_never_sends_the_end_is_given_up(store, registry, layer, honour_range):
    digest, data = layer
    count = 100 if honour_range else len(data) - 1
    registry.on(
        "GET", f"/v2/app/blobs/{digest}", drop_after(data, count, honour_range=honour_range)
    )

    started = time.monotonic()
    with pytest.raises(TransportFailure, match="unexpected EOF") as caught:
        store.pull(f"{registry.address}/app")

    require_within(10, started)
    assert any("gave up after" in note for note in caught.value.__notes__)
    assert store.partial() != []


def test_a_pull_after_an_interrupted_one_resumes(store, registry, layer):
    digest, data = layer
    registry.on("GET", f"/v2/app/blobs/{digest}", drop_after(data, 50_000, honour_range=False))
    with pytest.raises(TransportFailure):
        store.pull(f"{registry.address}/app")
    assert store.images.content.partial_size(Digest(digest)) == 50_000
    registry.rules.clear()
    registry.seen.clear()
    store.open()

    store.pull(f"{registry.address}/app")

    assert ranges(registry, digest) == ["bytes=50000-"]
    assert store.partial() == []


def test_a_partial_blob_that_was_damaged_is_fetched_anew(store, registry, layer):
    digest, _ = layer
    partial = store.root / "images" / "ingest" / digest.replace(":", "-")
    partial.write_bytes(b"x" * 70_000)

    store.pull(f"{registry.address}/app")

    assert ranges(registry, digest) == ["bytes=70000-", ""]


def test_a_partial_blob_longer_than_the_blob_is_fetched_anew(store, registry, layer):
    digest, data = layer
    partial = store.root / "images" / "ingest" / digest.replace(":", "-")
    partial.write_bytes(data + b"x")

    store.pull(f"{registry.address}/app")

    assert ranges(registry, digest) == [""]


def test_a_complete_partial_blob_needs_no_request(store, registry, layer):
    digest, data = layer
    partial = store.root / "images" / "ingest" / digest.replace(":", "-")
    partial.write_bytes(data)

    store.pull(f"{registry.address}/app")

    assert ranges(registry, digest) == []


def test_a_manifest_that_breaks_off_is_asked_for_again(store, registry, layer):
    data, media_type = registry.manifests["app/manifests/latest"]
    half = data[: len(data) // 2]
    registry.once(
        "GET", MANIFEST, lambda e: e.reply(200, half, {"Content-Type": media_type}, len(data))
    )

    store.pull(f"{registry.address}/app")


# Stalls


@pytest.mark.parametrize("what", ["/v2/", MANIFEST, BLOB])
def test_a_registry_that_says_nothing_is_given_up_in_time(store, registry, layer, what):
    settings = RegistrySettings(
        stall_timeout_s=0.3, backoff_s=0.01, max_attempts=3, certificate_dirs=()
    )
    registry.on("GET", what, Exchange.wait)

    started = time.monotonic()
    with pytest.raises(TransportFailure, match="did not answer in time"):
        store.pull(f"{registry.address}/app", settings=settings)
    require_within(8, started)


def test_headers_sent_byte_by_byte_are_given_up(store, registry, layer):
    settings = RegistrySettings(
        stall_timeout_s=0.5, backoff_s=0.01, max_attempts=2, certificate_dirs=()
    )

    def trickle(exchange: Exchange) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000:
            exchange.wfile.write(bytes([byte]))
            exchange.wfile.flush()
            time.sleep(0.1)

    registry.on("GET", MANIFEST, trickle)

    started = time.monotonic()
    with pytest.raises(TransportFailure):
        store.pull(f"{registry.address}/app", settings=settings)
    require_within(5, started)


def test_a_body_of_sixteen_bytes_a_second_is_a_stall_and_resumed(store, registry, layer):
    digest, data = layer
    settings = RegistrySettings(stall_timeout_s=0.6, backoff_s=0.01, certificate_dirs=())

    def trickle(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Content-Length", str(len(data)))
        exchange.end_headers()
        for start in range(0, len(data), 4):
            exchange.wfile.write(data[start : start + 4])
            time.sleep(0.25)

    registry.once("GET", f"/v2/app/blobs/{digest}", trickle)

    store.pull(f"{registry.address}/app", settings=settings)

    first, second = ranges(registry, digest)
    assert (first, second[:6]) == ("", "bytes=")


@pytest.mark.parametrize("what", ["/v2/", MANIFEST, BLOB])
def test_a_cancelled_pull_ends_within_a_second(store, registry, layer, what):
    cancelled = threading.Event()
    registry.on("GET", what, Exchange.wait)
    timer = threading.Timer(0.5, cancelled.set)
    timer.start()

    started = time.monotonic()
    with pytest.raises(Cancelled, match="^context canceled$"):
        store.pull(
            f"{registry.address}/app",
            settings=RegistrySettings(certificate_dirs=()),
            is_cancelled=cancelled.is_set,
        )
    require_within(1.5, started)
    timer.join()


def test_a_pull_cancelled_in_the_middle_keeps_what_arrived(store, registry, layer):
    digest, data = layer
    cancelled = threading.Event()

    def half(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Content-Length", str(len(data)))
        exchange.end_headers()
        exchange.wfile.write(data[:PIECE])
        exchange.wfile.flush()
        cancelled.set()
        exchange.wait()

    registry.once("GET", f"/v2/app/blobs/{digest}", half)
    with pytest.raises(Cancelled):
        store.pull(f"{registry.address}/app", is_cancelled=cancelled.is_set)

    store.pull(f"{registry.address}/app")

    first, second = ranges(registry, digest)
    assert first == ""
    assert 0 < int(second.removeprefix("bytes=").rstrip("-")) <= PIECE


# Errors that pass, and those that don't


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize("what", ["/v2/", MANIFEST, BLOB])
def test_an_error_that_passes_is_retried(store, registry, layer, what, status):
    def fail(exchange: Exchange) -> None:
        exchange.reply(status, b"<html>busy</html>")

    registry.once("GET", what, fail, fail)

    store.pull(f"{registry.address}/app")


@pytest.mark.parametrize("what", ["/v2/", MANIFEST, BLOB])
def test_a_registry_that_always_fails_is_given_up_with_the_reason(store, registry, layer, what):
    registry.on("GET", what, lambda e: e.reply(500))

    with pytest.raises(Unavailable) as caught:
        store.pull(f"{registry.address}/app")

    assert str(caught.value) == "received unexpected HTTP status: 500 Internal Server Error"
    assert len(registry.requests(what)) <= 6


def test_retry_after_is_obeyed(store, registry, layer):
    def busy(exchange: Exchange) -> None:
        exchange.reply_error(429, "TOOMANYREQUESTS", "slow down", Retry_After="1")

    registry.once("GET", MANIFEST, busy)

    started = time.monotonic()
    store.pull(f"{registry.address}/app")
    assert time.monotonic() - started >= 1
    require_within(4, started)


def test_a_registry_that_asks_to_wait_for_an_hour_is_given_up_at_once(store, registry, layer):
    registry.on(
        "GET",
        MANIFEST,
        lambda e: e.reply_error(429, "TOOMANYREQUESTS", "pull rate limit", Retry_After="3600"),
    )

    started = time.monotonic()
    with pytest.raises(Unavailable, match="^toomanyrequests: pull rate limit$"):
        store.pull(f"{registry.address}/app")
    require_within(2, started)


def test_the_first_failing_layer_stops_the_others(store, registry):
    image = make_image(layers=4, size=50_000)
    registry.put(image)
    for number, descriptor in enumerate(image.manifest["layers"]):
        rule = Exchange.wait if number else (lambda e: e.reply_error(404, "BLOB_UNKNOWN", "gone"))
        registry.on("GET", f"/v2/app/blobs/{descriptor['digest']}", rule)

    started = time.monotonic()
    with pytest.raises(CutawayError, match="blob unknown: gone"):
        store.pull(f"{registry.address}/app", settings=RegistrySettings(certificate_dirs=()))
    require_within(3, started)
    assert store.is_empty()


# Redirects


def test_a_redirected_blob_is_fetched_there(store, registry, layer, make_registry):
    digest, data = layer
    mirror = make_registry()
    mirror.blobs[digest] = data
    target = f"{mirror.url}/v2/app/blobs/{digest}"
    registry.on(
        "GET", f"/v2/app/blobs/{digest}", lambda e: e.reply(307, headers={"Location": target})
    )

    store.pull(f"{registry.address}/app")

    assert len(mirror.seen) == 1


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("file:///etc/passwd", "refused a redirect to file: address"),
        ("ftp://127.0.0.1/x", "refused a redirect to ftp: address"),
        ("http://169.254.169.254/latest/meta-data", "link-local address 169.254.169.254"),
        ("http://[fe80::1]/x", "link-local address fe80::1"),
        ("", None),
    ],
)
def test_a_redirect_that_leads_astray_is_refused_at_once(store, registry, layer, location, message):
    registry.on("GET", BLOB, lambda e: e.reply(302, headers={"Location": location}))

    started = time.monotonic()
    with pytest.raises(CutawayError, match=message):
        store.pull(f"{registry.address}/app")
    require_within(2, started)
    assert store.is_empty()


def test_a_redirect_loop_is_refused_at_once(store, registry, layer):
    registry.on(
        "GET", MANIFEST, lambda e: e.reply(302, headers={"Location": "/v2/app/manifests/latest"})
    )

    with pytest.raises(RedirectRefused, match="stopped after 10 redirects"):
        store.pull(f"{registry.address}/app")
    assert len(registry.requests(MANIFEST)) == 11


# Mirrors


def test_a_mirror_is_asked_first_and_the_registry_when_it_fails(store, registry, make_registry):
    good, dead, broken = make_registry(), make_registry(), make_registry()
    image = make_image(layers=2)
    for each in (registry, good, broken):
        each.put(image)
    broken.on("GET", BLOB, lambda e: e.reply(404))
    dead.close()

    def settings(*mirrors):
        by_prefix = {f"{registry.address}/app": tuple(m.url for m in mirrors)}
        return replace(
            RegistrySettings(backoff_s=0.01, certificate_dirs=()), mirrors_by_prefix=by_prefix
        )

    store.pull(f"{registry.address}/app", settings=settings(dead, good))
    assert registry.seen == []
    assert len(good.requests(BLOB)) == 3
    assert any("skipped" in line for line in store.explained)

    store.images.remove(f"{registry.address}/app")
    store.pull(f"{registry.address}/app", settings=settings(broken))
    assert len(broken.requests(MANIFEST)) == 1
    assert len(registry.requests(BLOB)) == 3


def test_a_mirror_that_lies_is_passed_over(store, registry, make_registry):
    liar = make_registry()
    registry.put(make_image(salt="true"))
    liar.put_manifest(b"{}", "application/json")
    settings = RegistrySettings(
        mirrors_by_prefix={registry.address: (liar.url,)}, certificate_dirs=()
    )

    image = store.pull(f"{registry.address}/app", settings=settings)

    assert image.config.config.labels["salt"] == "true"
