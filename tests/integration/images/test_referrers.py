"""Referrers: asked for by the API or by the tag; the tag kept up where there is no API."""

import json

import pytest

from cutaway.errors import InvalidParameter
from cutaway.images.push import PushRequest, push
from cutaway.images.registry.referrers import fetch_referrers
from cutaway.images.registry.refusal import RegistryRefusal
from cutaway.images.registry.transport import RedirectRefused
from cutaway.oci import Digest, Reference
from support.hostile_registry import (
    CONFIG_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    QUICK,
    HostileRegistry,
    described,
    make_image,
)

SUBJECT = Digest("sha256:" + "5" * 64)
TAG = "sha256-" + "5" * 64


def referrers(*types: str) -> bytes:
    members = [described(t.encode(), MANIFEST_TYPE, artifactType=t) for t in types]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": members}).encode()


def name(registry: HostileRegistry) -> Reference:
    return Reference.parse(f"{registry.address}/app")


@pytest.fixture
def repository(registry, repository_of):
    return repository_of(name(registry), "pull,push")


def test_the_api_is_read_page_by_page(registry, repository):
    last = {"Content-Type": INDEX_TYPE}
    first = last | {"Link": '</v2/app/more>; rel="next"'}
    registry.on(
        "GET", f"/v2/app/referrers/{SUBJECT}", lambda e: e.reply(200, referrers("sbom"), first)
    )
    registry.on("GET", "/v2/app/more", lambda e: e.reply(200, referrers("sig"), last))

    assert len(fetch_referrers(repository, SUBJECT).manifests) == 2
    (found,) = fetch_referrers(repository, SUBJECT, "sig").manifests
    assert found.artifact_type == "sig"

    first["Link"] = '<http://10.0.0.1/v2/x>; rel="next"'
    with pytest.raises(RedirectRefused, match="refused a next page on another host"):
        fetch_referrers(repository, SUBJECT)


def test_without_the_api_the_tag_is_read(registry, repository):
    assert fetch_referrers(repository, SUBJECT).manifests == ()

    registry.put_manifest(referrers("sig"), INDEX_TYPE, tag=TAG)
    assert len(fetch_referrers(repository, SUBJECT).manifests) == 1

    registry.on("GET", r".*/referrers/.*", lambda e: e.reply(403))
    with pytest.raises(RegistryRefusal):
        fetch_referrers(repository, SUBJECT)
    registry.rules.clear()
    registry.put(make_image(), tag=TAG)
    with pytest.raises(InvalidParameter, match="expected an index"):
        fetch_referrers(repository, SUBJECT)


def test_the_tag_of_a_sha512_subject_fits_into_a_tag(registry, repository):
    registry.put_manifest(referrers("sig"), INDEX_TYPE, tag="sha512-" + "5" * 64)
    assert len(fetch_referrers(repository, Digest("sha512:" + "5" * 128)).manifests) == 1


@pytest.fixture
def signature(store, registry):
    """An image here that refers to another, tagged for the registry."""
    image = make_image(layers=1, salt="signature")
    image.manifest |= {
        "subject": {"mediaType": MANIFEST_TYPE, "digest": str(SUBJECT), "size": 5},
        "annotations": {"by": "me"},
    }
    registry.put(image)
    return store.pull(str(name(registry)))


def pushed(store, registry) -> list[str]:
    """Push it; return the references of the manifests that were put."""
    registry.seen.clear()
    push(store.images, PushRequest(name(registry).with_default_tag(), settings=QUICK))
    puts = [s.path for s in registry.seen if s.method == "PUT" and "/manifests/" in s.path]
    return [path.rpartition("/")[2] for path in puts]


def test_a_push_adds_to_the_tag_where_there_is_no_api(store, registry, repository, signature):
    registry.put_manifest(referrers("sbom"), INDEX_TYPE, tag=TAG)

    assert pushed(store, registry) == ["latest", TAG]
    assert pushed(store, registry) == ["latest"]  # it is in the list already

    sbom, found = fetch_referrers(repository, SUBJECT).manifests
    assert sbom.artifact_type == "sbom"
    assert (found.digest, found.size) == (signature.manifest.digest, signature.manifest.size)
    assert (found.artifact_type, found.annotations) == (CONFIG_TYPE, {"by": "me"})


def test_a_push_begins_the_list(store, registry, repository, signature):
    assert pushed(store, registry) == ["latest", TAG]
    assert len(fetch_referrers(repository, SUBJECT, CONFIG_TYPE).manifests) == 1


def test_a_registry_that_lists_referrers_itself_is_left_alone(store, registry, signature):
    subject = {"OCI-Subject": str(SUBJECT)}
    registry.on("PUT", r".*/manifests/.*", lambda e: e.reply(201, headers=subject))
    assert pushed(store, registry) == ["latest"]


def test_a_tag_that_is_no_list_is_not_overwritten(store, registry, signature):
    registry.put(make_image(), tag=TAG)
    with pytest.raises(InvalidParameter, match=f"referrers of {SUBJECT}: expected an index"):
        pushed(store, registry)
