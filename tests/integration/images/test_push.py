"""Pushing: what the registry lacks, whole or in pieces, mounted or not at all, resumed."""

import json
from typing import Any

import pytest

from cutaway.errors import Forbidden, InvalidParameter, NotFound, Unavailable
from cutaway.images.cancellation import Cancelled
from cutaway.images.push import PushRequest, push
from cutaway.images.registry.credentials import Credentials
from cutaway.images.registry.settings import RegistrySettings
from cutaway.images.registry.transport import RedirectRefused, TransportFailure
from cutaway.oci import Descriptor, Digest, MediaType, Reference, encode_document
from support.hostile_registry import Exchange, digest_of, make_image, tar_of

QUICK = RegistrySettings(backoff_s=0.01, stall_timeout_s=2.0, certificate_dirs=())
UPLOADS = r"/v2/copy/blobs/uploads/.*"


@pytest.fixture
def pulled(store, registry):
    """Pull an image of three layers and tag it for another repository of the registry."""
    registry.put(make_image(layers=3, size=100_000))
    image = store.pull(f"{registry.address}/app")
    store.images.tag(image.id, Reference.parse(f"{registry.address}/copy:v1"))
    registry.seen.clear()
    return image


def send(store, registry, name: str = "copy:v1", **options: Any) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    reference = Reference.parse(f"{registry.address}/{name}")
    push(store.images, PushRequest(reference, progress=events.append, settings=QUICK, **options))
    return events


def lines(events) -> list[str]:
    return [e["status"] for e in events if "status" in e and "progress" not in e]


def methods(registry) -> list[str]:
    return [s.method for s in registry.requests(UPLOADS)]


def forget_blobs(registry, image) -> None:
    """Make the registry need everything again."""
    registry.blobs.clear()


def test_what_the_registry_has_is_not_sent(store, registry, pulled):
    events = send(store, registry)

    digest = pulled.repo_digests[0].digest
    assert lines(events) == [
        f"The push refers to repository [{registry.address}/copy]",
        *["Preparing"] * 3,
        *["Layer already exists"] * 3,
        f"v1: digest: {digest} size: {pulled.manifest.size}",
    ]
    assert events[-1]["aux"] == {"Tag": "v1", "Digest": digest, "Size": pulled.manifest.size}
    assert methods(registry) == []
    assert registry.manifests["copy/manifests/v1"][0] == store.images.content.read(
        pulled.manifest.digest
    )
    names = [n.familiar for n in store.images.get(pulled.id).repo_digests]
    assert names == [f"{registry.address}/app@{digest}", f"{registry.address}/copy@{digest}"]


@pytest.mark.parametrize("chunk_bytes", [0, 30_000])
def test_what_it_lacks_is_sent_whole_or_in_pieces(store, registry, pulled, chunk_bytes):
    before = dict(registry.blobs)
    forget_blobs(registry, pulled)

    events = send(store, registry, chunk_bytes=chunk_bytes)

    assert registry.blobs == before
    assert lines(events).count("Pushed") == 3
    assert ("PATCH" in methods(registry)) is (chunk_bytes > 0)
    total = {e["id"]: e["progressDetail"] for e in events if e.get("status") == "Pushing"}
    assert len(total) == 3
    assert all(d["current"] == d["total"] for d in total.values())


def test_a_blob_is_mounted_from_another_repository(store, registry, pulled):
    digests = [layer.digest for layer in pulled.layers] + [pulled.id]
    for digest in digests:
        registry.on("HEAD", f"/v2/copy/blobs/{digest}", lambda e: e.reply(404))
    registry.on("POST", UPLOADS, lambda e: e.reply(201))

    events = send(store, registry)

    assert lines(events).count("Mounted from app") == 3
    assert all("from=app" in s.path for s in registry.requests(UPLOADS))


def test_a_mount_that_is_declined_becomes_an_upload(store, registry, pulled):
    before = dict(registry.blobs)
    forget_blobs(registry, pulled)

    events = send(store, registry)

    assert lines(events).count("Pushed") == 3
    assert methods(registry).count("POST") == 4
    assert registry.blobs == before


def test_a_broken_upload_begins_anew(store, registry, pulled):
    before = dict(registry.blobs)
    forget_blobs(registry, pulled)
    registry.once("PUT", UPLOADS, Exchange.drop, lambda e: e.reply(503))

    send(store, registry)

    assert registry.blobs == before


def test_a_broken_piece_goes_on_where_the_registry_says(store, registry, pulled):
    before = dict(registry.blobs)
    forget_blobs(registry, pulled)
    registry.once("PATCH", UPLOADS, Exchange.serve, Exchange.drop, Exchange.serve, Exchange.drop)

    send(store, registry, chunk_bytes=20_000)

    assert registry.blobs == before
    assert "GET" in methods(registry)


def test_a_registry_that_takes_no_large_bodies_gets_pieces(store, registry, pulled):
    before = dict(registry.blobs)
    forget_blobs(registry, pulled)

    def too_large(exchange: Exchange) -> None:
        if exchange.body:
            exchange.reply(413)
        else:
            exchange.serve()

    registry.on("PUT", UPLOADS, too_large)

    send(store, registry)

    assert registry.blobs == before


def test_refusals_are_the_registrys_words(store, registry, pulled):
    forget_blobs(registry, pulled)
    registry.on(
        "POST",
        UPLOADS,
        lambda e: e.reply_error(403, "DENIED", "requested access to the resource is denied"),
    )
    with pytest.raises(Forbidden, match="^denied: requested access to the resource is denied$"):
        send(store, registry)

    registry.on("POST", UPLOADS, lambda e: e.reply(500))
    with pytest.raises(Unavailable, match="500 Internal Server Error"):
        send(store, registry)

    registry.on("POST", UPLOADS, lambda e: e.reply(202))
    with pytest.raises(RedirectRefused, match="refused to upload to the location ''"):
        send(store, registry)


def test_an_upload_elsewhere_gets_no_credentials(store, registry, pulled, make_registry):
    forget_blobs(registry, pulled)
    thief = make_registry()
    thief.on("PUT", r"/.*", lambda e: e.reply(201))
    token = Credentials(registry_token="tok")
    registry.on(
        "POST", UPLOADS, lambda e: e.reply(202, headers={"Location": f"{thief.url}/upload?x=y"})
    )

    send(store, registry, credentials=token)

    assert len(thief.seen) == 4
    assert all("Authorization" not in seen.headers for seen in thief.seen)
    assert all("Authorization" in s.headers for s in registry.requests(UPLOADS))


def test_every_tag_of_a_repository_is_pushed_on_request(store, registry, pulled):
    store.images.tag(pulled.id, Reference.parse(f"{registry.address}/copy:v2"))

    events = send(store, registry, "copy", all_tags=True)

    assert [e["aux"]["Tag"] for e in events if "aux" in e] == ["v1", "v2"]
    assert lines(events).count(f"The push refers to repository [{registry.address}/copy]") == 1


def test_what_is_not_here_can_not_be_pushed(store, registry, pulled):
    with pytest.raises(NotFound) as caught:
        send(store, registry, "none")
    assert str(caught.value) == (
        f"An image does not exist locally with the tag: {registry.address}/none"
    )
    with pytest.raises(NotFound, match=f"^tag does not exist: {registry.address}/copy:v9$"):
        send(store, registry, "copy:v9")
    with pytest.raises(InvalidParameter, match="cannot push a digest reference"):
        send(store, registry, "copy@sha256:" + "0" * 64)


def test_a_cancelled_push_ends(store, registry, pulled):
    forget_blobs(registry, pulled)
    with pytest.raises(Cancelled):
        send(store, registry, is_cancelled=lambda: True)


def test_nobody_listens(store, registry, pulled):
    registry.close()
    with pytest.raises(TransportFailure, match="connection refused"):
        send(store, registry)


def test_uncompressed_layers_are_compressed_the_same_way_each_time(store, registry):
    tar = tar_of({"hello": b"hello" * 1000})
    content = store.images.content
    with store.images.lease():
        config = encode_document(
            {
                "architecture": "amd64",
                "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": [digest_of(tar)]},
            }
        )
        manifest = encode_document(
            {
                "schemaVersion": 2,
                "mediaType": MediaType.DOCKER_MANIFEST.value,
                "config": {
                    "mediaType": MediaType.DOCKER_CONFIG.value,
                    "digest": content.write_blob(config),
                    "size": len(config),
                },
                "layers": [
                    {
                        "mediaType": MediaType.DOCKER_LAYER.value,
                        "digest": content.write_blob(tar),
                        "size": len(tar),
                    }
                ],
            }
        )
        described = Descriptor(
            MediaType.DOCKER_MANIFEST.value, content.write_blob(manifest), len(manifest)
        )
        store.images.register(described, [Reference.parse(f"{registry.address}/app:raw")])

    events = send(store, registry, "app:raw")

    sent = json.loads(registry.manifests["app/manifests/raw"][0])
    (layer,) = sent["layers"]
    assert layer["mediaType"] == MediaType.DOCKER_LAYER_GZIP.value
    assert layer["size"] == len(registry.blobs[layer["digest"]]) < len(tar)
    assert Digest(layer["digest"]) not in content
    assert "Pushed" in lines(events)
    assert "Layer already exists" in lines(send(store, registry, "app:raw"))
    again = store.pull(f"{registry.address}/app:raw")
    assert store.images.is_unpacked(again)
