"""A registry that lies: each lie is found, told, and leaves nothing behind."""

import json

import pytest

from cutaway.errors import CutawayError, InvalidParameter, NotFound
from cutaway.images.content import VerificationFailed
from cutaway.images.pull import PlatformMismatch
from cutaway.images.registry.refusal import ManifestNotFound, NoMatchingManifest, PullDenied
from cutaway.images.registry.transport import TransportFailure
from support.hostile_registry import (
    CONFIG_TYPE,
    INDEX_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    Exchange,
    described,
    digest_of,
    make_image,
    tar_of,
)

MANIFEST = r"/v2/app/manifests/latest"
BLOB = r"/v2/app/blobs/.*"


def test_the_truth_is_accepted(store, registry):
    digest = registry.put(make_image(layers=3))

    image = store.pull(f"{registry.address}/app")

    assert [n.familiar for n in image.names] == [f"{registry.address}/app:latest"]
    assert [n.familiar for n in image.repo_digests] == [f"{registry.address}/app@{digest}"]
    assert store.partial() == []
    assert store.images.is_unpacked(image)


# Digests and sizes


def test_a_layer_with_another_content_than_its_digest(refused, registry):
    image = make_image(size=5000)
    registry.put(image)
    layer = image.manifest["layers"][0]["digest"]
    data = registry.blobs[layer]
    registry.blobs[layer] = data[:-1] + bytes([data[-1] ^ 1])

    refused(VerificationFailed, f"failed for digest {layer}")


def test_a_layer_longer_than_its_descriptor_says(refused, registry):
    image = make_image()
    registry.put(image)
    registry.blobs[image.manifest["layers"][0]["digest"]] += b"more"

    refused(VerificationFailed, "the registry announces")


def test_a_layer_without_an_end(refused, registry):
    image = make_image()
    registry.put(image)
    registry.on("GET", BLOB, Exchange.reply_endlessly)

    refused(VerificationFailed, "is longer than the")
    assert registry.sent < 64 * 1024 * 1024


@pytest.mark.parametrize("difference", [-1, 1])
@pytest.mark.parametrize("part", ["layer", "config"])
def test_a_descriptor_with_a_wrong_size(refused, registry, part, difference):
    image = make_image()
    image.encode()
    target = image.manifest["layers"][0] if part == "layer" else image.manifest["config"]
    target["size"] += difference
    registry.put(image)

    refused(VerificationFailed, "the registry announces")


def test_a_descriptor_with_a_wrong_size_and_no_announced_length(refused, registry):
    image = make_image()
    image.encode()
    image.manifest["layers"][0]["size"] += 5
    registry.put(image)
    data = image.blobs[image.manifest["layers"][0]["digest"]]

    def chunked(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Transfer-Encoding", "chunked")
        exchange.end_headers()
        exchange.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))

    registry.on("GET", f"/v2/app/blobs/{digest_of(data)}", chunked)

    refused(VerificationFailed, r"has \d+ bytes, its descriptor says")


def test_a_layer_whose_content_is_not_what_the_config_promises(refused, registry):
    image = make_image(layers=2)
    image.config["rootfs"]["diff_ids"][1] = digest_of(b"something else")
    registry.put(image)

    refused(InvalidParameter, "wrong diff id calculated on extraction")


def test_a_header_that_lies_about_the_manifests_digest(refused, registry):
    registry.put(make_image())
    data, media_type = registry.manifests["app/manifests/latest"]
    lie = {"Content-Type": media_type, "Docker-Content-Digest": digest_of(b"other")}
    registry.on("GET", MANIFEST, lambda e: e.reply(200, data, lie))

    refused(VerificationFailed, "the registry's header says so")


def test_a_manifest_that_is_not_the_digest_asked_for(store, registry):
    wanted = registry.put(make_image(salt="a"))
    registry.put(make_image(salt="b"), tag="other")
    other = registry.manifests["app/manifests/other"]
    registry.manifests[f"app/manifests/{wanted}"] = other

    with pytest.raises(VerificationFailed, match=f"failed for digest {wanted}"):
        store.pull(f"{registry.address}/app@{wanted}")
    assert store.is_empty()


# Documents


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"<html>hello</html>", "text/html", "not a JSON document"),
        (b"", MANIFEST_TYPE, "not a JSON document"),
        (b"[" * 100_000, MANIFEST_TYPE, "nested too deeply"),
        (b'{"schemaVersion":' + b"9" * 5000 + b"}", MANIFEST_TYPE, "not a JSON document"),
        (b"\xff\xfe", MANIFEST_TYPE, "not a JSON document"),
        (b'{"schemaVersion":2,"schemaVersion":2}', MANIFEST_TYPE, "occurs twice"),
        (b"[]", MANIFEST_TYPE, "expected an object"),
        (b'{"schemaVersion":1,"fsLayers":[]}', MANIFEST_TYPE, "schema 1 are not supported"),
        (b'{"schemaVersion":2,"layers":[]}', MANIFEST_TYPE, "config: required"),
        (b'{"schemaVersion":2}', INDEX_TYPE, "manifests: required"),
    ],
)
def test_a_document_that_is_no_manifest(refused, registry, body, content_type, message):
    registry.put_manifest(body, content_type)

    refused(InvalidParameter, message)


def test_a_document_that_is_both_manifest_and_index(refused, registry):
    image = make_image()
    document = json.loads(image.encode()) | {"manifests": []}
    registry.blobs |= image.blobs
    registry.put_manifest(json.dumps(document).encode(), MANIFEST_TYPE)

    refused(InvalidParameter, "both an image manifest and an index")


def test_a_media_type_that_is_not_the_content_type(refused, registry):
    image = make_image()
    registry.blobs |= image.blobs
    registry.put_manifest(image.encode(), INDEX_TYPE)

    refused(InvalidParameter, "differs from the announced type")


@pytest.mark.parametrize("digest", ["sha256:../../../../etc/passwd", "md5:" + "0" * 32, "x", ""])
def test_a_digest_that_is_none(refused, registry, digest):
    image = make_image()
    image.manifest["layers"][0]["digest"] = digest
    registry.put(image)

    refused(InvalidParameter, r"layers\[0\].digest: ")
    assert not registry.requests(BLOB)


def test_a_manifest_of_64_mib_is_refused_at_once(refused, registry):
    registry.put_manifest(b" " * (64 * 1024 * 1024), MANIFEST_TYPE)

    refused(CutawayError, "longer than the 4194304 bytes allowed")


def test_a_manifest_without_an_end(refused, registry):
    registry.on("GET", MANIFEST, Exchange.reply_endlessly)

    refused(CutawayError, "longer than the 4194304 bytes allowed")
    assert registry.sent < 32 * 1024 * 1024


def test_a_config_that_claims_a_gigabyte_is_not_fetched(refused, registry):
    image = make_image()
    image.manifest["config"] = described(b"{}", CONFIG_TYPE) | {"size": 2**30}
    registry.put(image)

    refused(VerificationFailed, "larger than 4 MiB")
    assert not registry.requests(BLOB)


def test_more_layers_than_can_be_stacked(refused, registry):
    image = make_image()
    image.manifest["layers"] *= 1001
    registry.put(image)

    refused(InvalidParameter, "1001 layers, more than the 1000 allowed")


def test_another_number_of_layers_than_diff_ids(refused, registry):
    image = make_image(layers=2)
    image.config["rootfs"]["diff_ids"].pop()
    registry.put(image)

    refused(InvalidParameter, "invalid rootfs in image configuration")


def test_a_config_that_is_rubbish(refused, registry):
    image = make_image()
    image.manifest["config"] = described(b"[1]", CONFIG_TYPE)
    image.blobs[digest_of(b"[1]")] = b"[1]"
    registry.put(image)

    refused(InvalidParameter, "expected an object")


def test_what_is_no_container_image(refused, registry):
    image = make_image()
    image.manifest["config"] = described(b"{}", "application/vnd.cncf.helm.config.v1+json")
    registry.put(image)

    refused(InvalidParameter, "is no container image: .*helm.config")


def test_a_layer_of_an_unknown_type(refused, registry):
    image = make_image()
    image.manifest["layers"][0]["mediaType"] = "application/x-executable"
    registry.put(image)

    refused(InvalidParameter, "unsupported media type")


def test_a_layer_that_is_no_archive(refused, registry):
    image = make_image(layers=0)
    junk = b"junk" * 1000
    image.manifest["layers"] = [described(junk, LAYER_TYPE + "+gzip")]
    image.config["rootfs"]["diff_ids"] = [digest_of(junk)]
    image.blobs[digest_of(junk)] = junk
    registry.put(image)

    refused(InvalidParameter, ".")


# Indexes


def test_an_index_chooses_the_platform(store, registry):
    right, wrong = make_image(salt="amd64"), make_image(salt="arm", platform="arm64")
    members = []
    for image, architecture in ((wrong, "arm64"), (right, "amd64")):
        data = image.encode()
        registry.put(image, tag="member")
        platform = {"architecture": architecture, "os": "linux"}
        members.append(described(data, MANIFEST_TYPE, platform=platform))
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": members}).encode()
    digest = registry.put_manifest(index, INDEX_TYPE)

    image = store.pull(f"{registry.address}/app", platform="linux/amd64")
    assert image.config.config.labels["salt"] == "amd64"
    assert str(image.repo_digests[0].digest) == digest
    assert digest in store.blobs()

    other = store.pull(f"{registry.address}/app", platform="linux/arm64")
    assert other.config.config.labels["salt"] == "arm"

    with pytest.raises(NoMatchingManifest) as caught:
        store.pull(f"{registry.address}/app", platform="linux/s390x")
    assert str(caught.value) == (
        "no matching manifest for linux/s390x in the manifest list entries"
    )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"size": 5}, VerificationFailed, "its descriptor says 5"),
        ({"size": 2**40}, VerificationFailed, "larger than 4 MiB"),
        ({"mediaType": INDEX_TYPE}, VerificationFailed, "its descriptor says"),
        ({"digest": digest_of(b"none")}, ManifestNotFound, "not found: manifest unknown"),
    ],
)
def test_an_index_that_lies_about_its_manifest(refused, registry, change, error, message):
    image = make_image()
    platform = {"architecture": "amd64", "os": "linux"}
    member = described(image.encode(), MANIFEST_TYPE, platform=platform) | change
    registry.put(image, tag="member")
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [member]}
    registry.put_manifest(json.dumps(index).encode(), INDEX_TYPE)

    refused(error, message)


def test_an_index_in_an_index(refused, registry):
    inner = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}).encode()
    registry.put_manifest(inner, INDEX_TYPE, tag="inner")
    platform = {"architecture": "amd64", "os": "linux"}
    outer = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": [described(inner, INDEX_TYPE, platform=platform)],
    }
    registry.put_manifest(json.dumps(outer).encode(), INDEX_TYPE)

    refused(InvalidParameter, "is an index in an index")


def test_the_only_image_is_for_another_platform(store, registry):
    registry.put(make_image(platform="arm64"))

    with pytest.raises(PlatformMismatch) as caught:
        store.pull(f"{registry.address}/app", platform="linux/amd64")
    assert str(caught.value) == (
        f"image with reference {registry.address}/app:latest was found but its platform "
        "(linux/arm64) does not match the specified platform (linux/amd64)"
    )
    assert store.pull(f"{registry.address}/app").config.architecture == "arm64"


# Kinds of layers, and urls


@pytest.mark.parametrize("compression", ["gzip", "zstd", ""])
def test_layers_in_every_compression(store, registry, compression):
    image = make_image(layers=0)
    image.add_layer({"hello": b"hello"}, compression)
    registry.put(image)

    pulled = store.pull(f"{registry.address}/app")

    top = store.snapshots.directory(pulled.chain_id)
    with open(f"{top}/hello", "rb") as file:
        assert file.read() == b"hello"


def test_the_same_layer_twice_is_fetched_once(store, registry):
    image = make_image(layers=1)
    image.manifest["layers"] *= 2
    image.config["rootfs"]["diff_ids"] *= 2
    registry.put(image)

    pulled = store.pull(f"{registry.address}/app")

    assert len(pulled.chain_ids) == 2
    assert len(registry.requests(f"/v2/app/blobs/{image.manifest['layers'][0]['digest']}")) == 1


def test_urls_of_descriptors_are_not_followed(refused, registry, make_registry):
    elsewhere = make_registry()
    tar = tar_of({"f": b"x"})
    elsewhere.blobs[digest_of(tar)] = tar
    image = make_image(layers=0)
    url = f"{elsewhere.url}/v2/app/blobs/{digest_of(tar)}"
    foreign = LAYER_TYPE.replace("layer.v1", "layer.nondistributable.v1")
    image.manifest["layers"] = [described(tar, foreign, urls=[url])]
    image.config["rootfs"]["diff_ids"] = [digest_of(tar)]
    registry.put(image)

    refused(CutawayError, "blob unknown")
    assert elsewhere.seen == []


# Errors in Docker's words


@pytest.mark.parametrize(
    ("status", "code", "message", "error", "text"),
    [
        (
            404, "MANIFEST_UNKNOWN", "manifest unknown", ManifestNotFound,
            "manifest for {}/app:latest not found: manifest unknown: manifest unknown",
        ),
        (
            404, "NAME_UNKNOWN", "repository name not known to registry", ManifestNotFound,
            "repository {}/app not found: name unknown: repository name not known to registry",
        ),
        (
            403, "DENIED", "requested access to the resource is denied", PullDenied,
            "pull access denied for {}/app, repository does not exist or may require "
            "'docker login': denied: requested access to the resource is denied",
        ),
    ],
)  # fmt: skip
def test_refusals_read_as_dockers(store, registry, status, code, message, error, text):
    registry.on("GET", MANIFEST, lambda e: e.reply_error(status, code, message))

    with pytest.raises(error) as caught:
        store.pull(f"{registry.address}/app")

    assert str(caught.value) == text.format(registry.address)
    assert isinstance(caught.value, NotFound)
    assert store.is_empty()


def test_an_answer_that_is_not_http(refused, registry):
    def rubbish(exchange: Exchange) -> None:
        exchange.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        exchange.drop()

    registry.on("GET", "/v2/", rubbish)

    refused(TransportFailure, "malformed HTTP response")


def test_nobody_listens(store, registry):
    registry.close()

    with pytest.raises(TransportFailure) as caught:
        store.pull(f"{registry.address}/app")

    assert str(caught.value) == (
        f'Get "http://{registry.address}/v2/": dial tcp {registry.address}: connect: '
        "connection refused"
    )
    assert store.is_empty()


def test_a_name_without_an_address(store):
    with pytest.raises(TransportFailure) as caught:
        store.pull("registry.invalid/app")

    assert str(caught.value) == (
        'Get "https://registry.invalid/v2/": dial tcp: lookup registry.invalid: no such host'
    )


def test_a_metadata_service_is_not_asked(store):
    with pytest.raises(InvalidParameter, match="is a link-local address: refused"):
        store.pull("169.254.169.254/app")
