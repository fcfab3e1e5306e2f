"""Manifests and indexes: what they say, and the ambiguous ones that are refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutaway.errors import InvalidParameter
from cutaway.oci import (
    Descriptor,
    Digest,
    Index,
    Manifest,
    MediaType,
    Platform,
    parse_image_config,
    parse_manifest,
)

SHA = "sha256:" + "1" * 64
CONFIG = {"mediaType": MediaType.OCI_CONFIG.value, "digest": SHA, "size": 2}
LAYER = {"mediaType": MediaType.OCI_LAYER_GZIP.value, "digest": SHA, "size": 3}
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": MediaType.OCI_MANIFEST.value,
    "config": CONFIG,
    "layers": [LAYER],
}


def member(platform: str, digest: str = "2") -> dict:
    value = Platform.parse(platform)
    described = {"architecture": value.architecture, "os": value.os}
    if value.variant:
        described["variant"] = value.variant
    return {
        "mediaType": MediaType.OCI_MANIFEST.value,
        "digest": "sha256:" + digest * 64,
        "size": 9,
        "platform": described,
    }


INDEX = {
    "schemaVersion": 2,
    "mediaType": MediaType.OCI_INDEX.value,
    "manifests": [member("linux/arm64", "3"), member("linux/amd64", "4")],
}


def encode(document: object) -> bytes:
    return json.dumps(document).encode()


def test_a_manifest_reads_and_writes_the_same_document():
    manifest = parse_manifest(encode(MANIFEST), MediaType.OCI_MANIFEST)

    assert isinstance(manifest, Manifest)
    assert manifest.config == Descriptor(MediaType.OCI_CONFIG.value, Digest(SHA), 2)
    assert manifest.to_json() == MANIFEST
    assert list(manifest.to_json()) == list(MANIFEST)


def test_an_index_reads_and_writes_the_same_document():
    index = parse_manifest(encode(INDEX))

    assert isinstance(index, Index)
    assert index.to_json() == INDEX


@pytest.mark.parametrize("document", [MANIFEST, INDEX])
def test_a_document_without_a_media_type_is_known_by_its_keys(document):
    bare = {k: v for k, v in document.items() if k != "mediaType"}

    assert parse_manifest(encode(bare)).to_json() == bare
    assert parse_manifest(encode(bare), "text/plain; charset=utf-8").to_json() == bare


@pytest.mark.parametrize(
    ("document", "content_type", "message"),
    [
        (MANIFEST | {"manifests": []}, "", "both an image manifest and an index"),
        (INDEX | {"layers": []}, "", "both an image manifest and an index"),
        (INDEX | {"Layers": []}, "", "both an image manifest and an index"),
        (INDEX | {"CONFIG": {}}, "", "both an image manifest and an index"),
        (MANIFEST | {"Manifests": []}, "", "both an image manifest and an index"),
        (MANIFEST, MediaType.OCI_INDEX.value, "differs from the announced type"),
        (MANIFEST, MediaType.DOCKER_MANIFEST.value, "differs from the announced type"),
        (MANIFEST | {"mediaType": MediaType.OCI_INDEX.value}, "", "does not fit its media type"),
        (INDEX | {"mediaType": MediaType.OCI_MANIFEST.value}, "", "does not fit its media type"),
        (MANIFEST | {"mediaType": "text/html"}, "", "unsupported manifest media type"),
        (MANIFEST | {"schemaVersion": 3}, "", "schemaVersion: expected 2, got 3"),
        (INDEX | {"schemaVersion": 3}, "", "schemaVersion: expected 2, got 3"),
        ({"schemaVersion": 1, "fsLayers": []}, "", "schema 1 are not supported"),
        (MANIFEST, MediaType.DOCKER_SCHEMA1_SIGNED.value, "schema 1 are not supported"),
        (MANIFEST | {"mediaType": [2]}, "", r"mediaType: expected a string, got \[2\]"),
        ([], "", "expected an object"),
        ({}, "", "schemaVersion: required"),
        (MANIFEST | {"layers": [LAYER] * 1001}, "", "1001 layers, more than the 1000 allowed"),
        (MANIFEST | {"config": CONFIG | {"size": -1}}, "", r"config.size: negative: -1"),
        (
            MANIFEST | {"layers": [LAYER | {"digest": "sha256:../../etc/passwd"}]},
            "",
            r"layers\[0\].digest: invalid checksum digest format",
        ),
    ],
)
def test_a_manifest_with_two_meanings_or_none_is_refused(document, content_type, message):
    with pytest.raises(InvalidParameter, match=message):
        parse_manifest(encode(document), content_type)


def test_an_index_chooses_by_platform_best_first():
    index = parse_manifest(
        encode(
            INDEX
            | {
                "manifests": [
                    member("linux/arm/v6", "5"),
                    member("linux/arm/v7", "6"),
                    member("linux/386", "7"),
                    member("linux/amd64", "8"),
                    member("linux/amd64", "9"),
                    {k: v for k, v in member("linux/amd64").items() if k != "platform"},
                ]
            }
        )
    )
    assert isinstance(index, Index)

    def chosen(text: str) -> str | None:
        found = index.select(Platform.parse(text))
        return found and found.digest.encoded[0]

    assert chosen("linux/amd64") == "8"
    assert chosen("linux/arm/v7") == "6"
    assert chosen("linux/arm/v8") == "6"
    assert chosen("linux/arm/v5") is None
    assert chosen("linux/s390x") is None
    exact = index.select_exactly(Platform.parse("linux/arm/v6"))
    assert exact is not None
    assert exact.digest.encoded[0] == "5"
    assert index.select_exactly(Platform.parse("linux/arm64")) is None


def test_descriptors_keep_urls_and_annotations():
    document = LAYER | {"urls": ["http://169.254.169.254/"], "annotations": {"a": "b"}}
    descriptor = Descriptor.from_json(document)

    assert descriptor.to_json() == document
    assert descriptor.with_annotations({}).annotations == {}


IMAGE_CONFIG = {
    "architecture": "arm",
    "os": "linux",
    "variant": "7",
    "created": "2024-01-01T00:00:00Z",
    "config": {
        "User": "1000",
        "ExposedPorts": {"80/tcp": {}},
        "Env": ["A=b"],
        "Entrypoint": [],
        "Cmd": ["sh"],
        "Volumes": {"/data": {}},
        "WorkingDir": "/w",
        "Labels": {"l": "v"},
        "StopSignal": "SIGQUIT",
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5, "Retries": 2},
        "OnBuild": ["RUN true"],
        "Shell": ["/bin/bash", "-c"],
        "ArgsEscaped": True,
    },
    "rootfs": {"type": "layers", "diff_ids": [SHA]},
    "history": [{"created_by": "x", "empty_layer": True}, {"created": "t", "comment": "c"}],
}


def test_an_image_config_keeps_every_field_of_dockers():
    config = parse_image_config(encode(IMAGE_CONFIG))

    assert config.to_json() == {
        **IMAGE_CONFIG,
    }
    assert config.config.entrypoint == ()
    assert str(config.platform) == "linux/arm/v7"


def test_an_empty_image_config_has_defaults():
    bare = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers"}}
    config = parse_image_config(encode(bare | {"config": None, "history": None}))

    assert config.config.entrypoint is None
    assert config.config.cmd is None
    assert config.rootfs.diff_ids == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rootfs": {"type": "magic"}}, "rootfs.type: expected 'layers', got 'magic'"),
        ({"rootfs": None}, "rootfs: required, but missing"),
        ({"config": {"Env": "A=b"}}, r"config.Env: expected an array, got 'A=b'"),
        ({"config": {"Env": [1]}}, r"config.Env\[0\]: expected a string, got 1"),
    ],
)
def test_a_wrong_image_config_is_refused_with_the_path(change, message):
    with pytest.raises(InvalidParameter, match=message):
        parse_image_config(encode(IMAGE_CONFIG | change))


KEYS = ["schemaVersion", "mediaType", "config", "layers", "manifests", "size", "digest", "rootfs"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_any_json_is_a_manifest_or_refused(document):
    for reader in (parse_manifest, parse_image_config):
        try:
            reader(encode(document))
        except InvalidParameter:
            continue


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_refused(data):
    for reader in (parse_manifest, parse_image_config):
        with pytest.raises(InvalidParameter):
            reader(data)
