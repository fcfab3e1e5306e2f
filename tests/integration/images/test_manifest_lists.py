"""Lists of one image for several platforms; tags and referrers of a repository."""

import json
from typing import Any

import pytest

from cutaway.errors import Conflict, InvalidParameter, NotFound
from cutaway.images.manifest_list import ManifestLists
from cutaway.images.pull import PullRequest, list_remote_tags
from cutaway.images.registry.refusal import RegistryRefusal
from cutaway.images.registry.settings import RegistrySettings
from cutaway.images.registry.transport import RedirectRefused
from cutaway.oci import Platform, Reference
from support.hostile_registry import (
    INDEX_TYPE,
    HostileRegistry,
    digest_of,
    make_image,
)

QUICK = RegistrySettings(backoff_s=0.01, stall_timeout_s=2.0, certificate_dirs=())


@pytest.fixture
def lists(store, repository_of) -> ManifestLists:
    return ManifestLists(store.images, repository_of)


def name(registry: HostileRegistry, text: str) -> Reference:
    return Reference.parse(f"{registry.address}/{text}")


def sent(registry: HostileRegistry, path: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(registry.manifests[path][0])
    return document


def test_a_list_of_remote_images_of_one_repository(store, registry, lists):
    amd = registry.put(make_image(salt="a"), tag="amd64")
    arm = registry.put(make_image(salt="b", platform="arm"), tag="arm")

    draft = lists.create(name(registry, "app"), [name(registry, "app:amd64")])
    assert [str(m.descriptor.platform) for m in draft.members] == ["linux/amd64"]
    with pytest.raises(Conflict, match="no --amend flag"):
        lists.create(name(registry, "app"), [name(registry, "app:arm")])
    lists.create(name(registry, "app"), [name(registry, "app:arm")], amend=True)
    lists.annotate(name(registry, "app"), name(registry, "app:arm"), Platform.parse("linux/arm/v6"))

    digest = lists.push(name(registry, "app"), purge=True)

    index = sent(registry, "app/manifests/latest")
    assert index["mediaType"] == INDEX_TYPE
    assert [(m["digest"], m["platform"]) for m in index["manifests"]] == [
        (amd, {"architecture": "amd64", "os": "linux"}),
        (arm, {"architecture": "arm", "os": "linux", "variant": "v6"}),
    ]
    assert digest == digest_of(registry.manifests["app/manifests/latest"][0])
    with pytest.raises(NotFound, match=f"^No such manifest: {registry.address}/app:latest$"):
        lists.inspect(name(registry, "app"))
    pulled = store.pull(f"{registry.address}/app", platform="linux/arm/v7")
    assert pulled.config.config.labels["salt"] == "b"


def test_members_from_this_machine_are_sent(store, registry, lists, make_registry):
    registry.put(make_image(salt="a", layers=2), name="one")
    store.pull(f"{registry.address}/one")
    target = make_registry()

    lists.create(name(target, "both:1"), [name(registry, "one")])
    lists.push(name(target, "both:1"))

    (member,) = sent(target, "both/manifests/1")["manifests"]
    assert f"both/manifests/{member['digest']}" in target.manifests
    assert len(target.blobs) == 3
    assert lists.inspect(name(target, "both:1")).members
    lists.remove(name(target, "both:1"))


def test_members_of_another_repository_are_mounted(registry, lists):
    member = registry.put(make_image(salt="a"), name="one")
    registry.on("HEAD", r"/v2/both/.*", lambda e: e.reply(404))
    lists.create(name(registry, "both"), [name(registry, "one")])

    with pytest.raises(NotFound, match="is neither here nor in .*: pull the image first"):
        lists.push(name(registry, "both"))

    registry.on("POST", r"/v2/both/blobs/uploads/.*from=one.*", lambda e: e.reply(201))
    lists.push(name(registry, "both"))
    assert f"both/manifests/{member}" in registry.manifests


def test_what_can_be_no_member(registry, lists):
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}).encode()
    registry.put_manifest(index, INDEX_TYPE, tag="list")
    with pytest.raises(InvalidParameter, match="app:list is a manifest list"):
        lists.create(name(registry, "both"), [name(registry, "app:list")])
    with pytest.raises(RegistryRefusal, match="manifest unknown"):
        lists.create(name(registry, "both"), [name(registry, "app:none")])
    registry.put(make_image())
    lists.create(name(registry, "both"), [name(registry, "app")])
    with pytest.raises(NotFound, match="manifest for image .*other does not exist in"):
        lists.annotate(
            name(registry, "both"), name(registry, "other"), Platform.parse("linux/amd64")
        )


def test_all_pages_of_tags_are_read(registry):
    pages = {"": ["a", "b"], "b": ["c", 5], "c": None}

    def rule(exchange):
        last = exchange.path.rpartition("last=")[2] if "last=" in exchange.path else ""
        tags = pages[last]
        headers = {}
        if last != "c":
            target = {"": "b", "b": "c"}[last]
            headers["Link"] = f'</v2/app/tags/list?last={target}>; rel="next"'
        exchange.reply(200, json.dumps({"name": "app", "tags": tags}).encode(), headers)

    registry.on("GET", r"/v2/app/tags/list.*", rule)

    assert list_remote_tags(PullRequest(name(registry, "app"), settings=QUICK)) == ["a", "b", "c"]


def test_a_next_page_elsewhere_is_refused(registry):
    link = {"Link": '<http://10.0.0.1/v2/x>; rel="next"'}
    registry.on("GET", r"/v2/app/tags/list.*", lambda e: e.reply(200, b'{"tags":["a"]}', link))

    with pytest.raises(RedirectRefused, match="refused a next page on another host"):
        list_remote_tags(PullRequest(name(registry, "app"), settings=QUICK))


def test_tags_of_nothing(registry):
    registry.on("GET", r".*/tags/list.*", lambda e: e.reply_error(404, "NAME_UNKNOWN", "unknown"))
    with pytest.raises(NotFound, match="repository .*/app not found: name unknown"):
        list_remote_tags(PullRequest(name(registry, "app"), settings=QUICK))


def test_a_tags_digest_is_asked_without_its_manifest(registry, repository_of):
    digest = registry.put(make_image())
    repository = repository_of(name(registry, "app"), "pull")

    assert repository.resolve_digest("latest") == digest
    registry.on("HEAD", r".*", lambda e: e.reply(200))
    assert repository.resolve_digest("latest") is None
