"""The words for images that docker's command has not, in front of an engine and a registry."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.certificates import Authority
from support.cli import Cli
from support.engine import EngineUnderTest
from support.registry import ALICE, Registry


@pytest.fixture(scope="module")
def cutaway(module_engine: EngineUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The engine with two images that share a layer above busybox's."""
    cli = Cli("cutaway", module_engine)
    context = tmp_path_factory.mktemp("context")
    for tag, steps in {
        "1": 'RUN echo a >/a\nENV X=1\nRUN echo b >/b\nCMD ["sh"]\n',
        "2": "RUN echo a >/a\nRUN head -c 300000 /dev/urandom >/big\nRUN rm /big\n",
    }.items():
        (context / "Dockerfile").write_text(f"FROM busybox\n{steps}")
        cli("build", "-q", "-t", f"app:{tag}", str(context))
    return cli


@pytest.fixture(scope="module")
def registry(cutaway: Cli) -> Iterator[str]:
    """A registry on loopback with busybox for one platform; returns the repository's name."""
    registry = Registry(cutaway.engine.host)
    try:
        name = f"{registry.address}/b"
        cutaway("tag", "busybox", f"{name}:amd")
        cutaway("push", "-q", f"{name}:amd")
        yield name
    finally:
        registry.close()


def test_a_tag_that_moved_tells_from_what_to_what_and_by_what(cutaway: Cli) -> None:
    cutaway("tag", "app:1", "app:moving")
    cutaway("tag", "app:2", "app:moving")
    one, two = (cutaway("images", "-q", "--no-trunc", f"app:{n}").strip() for n in "12")
    cutaway("rmi", "app:moving")
    form = "{{.By}} {{.Old}} {{.New}}"
    said = cutaway("tag", "history", "--no-trunc", "--format", form, "app:moving").splitlines()
    assert said == [f"rmi {two} <none>", f"tag {one} {two}", f"tag <none> {one}"]


def test_the_tree_draws_each_layer_once_and_forks_where_images_part(cutaway: Cli) -> None:
    lines = [line.rstrip() for line in cutaway("image", "tree", "app").splitlines()]
    shared = [line for line in lines if "echo a" in line]
    assert len(shared) == 1
    assert shared[0].startswith("      2B ")
    forks = [line for line in lines if line.startswith(("├─", "└─"))]
    assert len(forks) == 2
    assert {line.partition("● ")[2] for line in lines if "●" in line} == {"app:1", "app:2"}
    assert max(map(len, lines)) <= 80


def test_the_difference_of_two_images_by_layer_and_file(cutaway: Cli) -> None:
    said = cutaway("image", "diff", "app:1", "app:2").splitlines()
    assert [line.split()[0] for line in said[1:6]] == ["=", "=", "-", "+", "+"]
    assert "  D  3  /b  (2B)" in said
    assert said[-1] == "0 added, 0 changed, 1 deleted"
    found = json.loads(cutaway("image", "diff", "--json", "app:1", "app:1"))
    assert {layer["Side"] for layer in found["Layers"]} == {"shared"}
    assert cutaway("image", "diff", "app:1", "app:1").endswith("The files are the same.\n")
    said = cutaway.fails("image", "diff", "app:1", "none")
    assert said == "Error response from daemon: No such image: none:latest\n"


def test_a_squash_tells_what_was_gained_and_what_was_lost(cutaway: Cli) -> None:
    said = cutaway("image", "squash", "--keep", "busybox", "-t", "app:flat", "app:2")
    assert "  layers  4 -> 2" in said
    assert "300kB that upper layers had deleted or replaced" in said
    assert "sharing with app:1: 2B are on the disk twice now" in said
    layers = json.loads(cutaway("inspect", "-f", "{{json .RootFS.Layers}}", "app:flat"))
    base = json.loads(cutaway("inspect", "-f", "{{json .RootFS.Layers}}", "busybox"))
    assert layers[:-1] == base
    assert cutaway("run", "--rm", "app:flat", "cat", "/a") == "a\n"
    cutaway("rmi", "app:flat")


@pytest.mark.parametrize("program", ["docker", "cutaway"])
def test_rmi_of_a_platform_is_for_that_platform_only(cutaway: Cli, program: str) -> None:
    cli = Cli(program, cutaway.engine)
    cli("tag", "busybox", "platform")
    own = cli("image", "inspect", "-f", "{{.Os}}/{{.Architecture}}", "platform").strip()
    assert (
        "image with reference platform was found but its platform "
        f"({own}) does not match the specified platform (linux/s390x)"
    ) in cli.fails("rmi", "--platform", "linux/s390x", "platform")
    several = ("--platform", own, "--platform", "linux/s390x")
    assert "multiple platforms are not supported" in cli.fails("rmi", *several, "platform")
    assert cli("rmi", "--platform", own, "platform") == "Untagged: platform:latest\n"


def test_a_damaged_blob_is_found_named_and_healed_by_a_pull(cutaway: Cli, registry: str) -> None:
    name = f"{registry}:amd"
    assert cutaway("system", "check").endswith("All of it is what its digest says.\n")
    manifest = json.loads(cutaway("manifest", "inspect", "-v", name))["OCIManifest"]
    digest = manifest["layers"][0]["digest"]
    blob = cutaway.engine.data_root / "images" / "blobs" / digest.replace(":", "/")
    data = blob.read_bytes()
    blob.chmod(0o600)
    blob.write_bytes(data[:-1] + b"!")
    done = cutaway.run("system", "check", code=1)
    assert f"DAMAGED  {digest}" in done.stdout
    assert f"cutaway pull {name}" in done.stdout or "cutaway pull busybox" in done.stdout
    cutaway("pull", "-q", name)
    assert cutaway("system", "check").endswith("All of it is what its digest says.\n")


def test_a_manifest_list_is_made_looked_at_pushed_and_forgotten(
    cutaway: Cli, registry: str
) -> None:
    listed, member = f"{registry}:list", f"{registry}:amd"
    assert cutaway("manifest", "create", listed, member) == f"Created manifest list {listed}\n"
    said = cutaway.fails("manifest", "create", listed, member)
    assert "refusing to amend an existing manifest list with no --amend flag" in said
    cutaway("manifest", "annotate", "--arch", "arm64", "--variant", "v8", listed, member)
    draft = json.loads(cutaway("manifest", "inspect", listed))
    platform = {"architecture": "arm64", "os": "linux", "variant": "v8"}
    assert [m["platform"] for m in draft["manifests"]] == [platform]
    digest = cutaway("manifest", "push", "--purge", listed).strip()
    assert cutaway.fails("manifest", "rm", listed) == f"No such manifest: {listed}\n"
    # Now it is what the registry has.
    remote = json.loads(cutaway("manifest", "inspect", listed))
    assert remote == draft
    assert json.loads(cutaway("manifest", "inspect", f"{registry}@{digest}")) == draft
    verbose = json.loads(cutaway("manifest", "inspect", "-v", listed))
    assert verbose["Descriptor"]["platform"] == platform
    assert verbose["OCIManifest"]["layers"]
    said = cutaway.fails("manifest", "inspect", f"{registry}:none")
    assert "manifest unknown" in said
    assert cutaway("manifest", "referrers", member) == "TYPE      DIGEST    SIZE\n"


def test_pull_explain_says_each_request_and_decision(cutaway: Cli, registry: str) -> None:
    said = cutaway("pull", "--explain", f"{registry}:amd")
    assert f"GET http://{registry.partition('/')[0]}/v2/b/manifests/amd -> 200" in said
    quiet = cutaway("pull", f"{registry}:amd")
    assert "GET" not in quiet


@pytest.fixture
def address(cutaway: Cli) -> Iterator[str]:
    """An address of the engine's host that is not loopback's, which needs no certificate."""
    host, address = cutaway.engine.host, "192.0.2.1"
    host.run("ip", "address", "add", f"{address}/32", "dev", "lo")
    yield address
    host.run("ip", "address", "del", f"{address}/32", "dev", "lo")


def test_a_certificate_is_trusted_for_one_command(
    cutaway: Cli, address: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    certificate = authority.issue("server", "serverAuth", address=address)
    registry = Registry(cutaway.engine.host, 5443, ip=address, certificate=certificate)
    name = f"{registry.address}/b:1"
    try:
        cutaway("tag", "busybox", name)
        said = cutaway.fails("push", name)
        assert "certificate signed by unknown authority" in said
        assert "--tls-verify=false" in said
        cutaway("push", "-q", "--ca", authority.certificate, name)
        assert "unknown authority" in cutaway.fails("pull", name)
        assert cutaway("pull", "-q", "--tls-verify=false", name) == f"{name}\n"
        assert cutaway("pull", "-q", "--ca", authority.certificate, name) == f"{name}\n"
        assert cutaway.fails("pull", "--ca", "/none", name).startswith("open /none: no such file")
    finally:
        registry.close()
        cutaway("rmi", "-f", name)


def test_login_push_and_pull_past_an_expired_certificate_with_a_password(
    cutaway: Cli, address: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    expired = authority.issue("server", "serverAuth", address=address, days=-1)
    registry = Registry(cutaway.engine.host, 5443, ip=address, certificate=expired, password=ALICE)
    name = f"{registry.address}/b:1"
    login = ("login", "-u", "alice", "--password-stdin", registry.address)
    lax = ("-q", "--tls-verify=false", name)
    try:
        cutaway("tag", "busybox", name)
        for words in (("push", name), login):
            trust = ("--ca", authority.certificate)
            said = cutaway.run(*words, *trust, code=1, stdin="s3cret").stderr
            assert "certificate has expired or is not yet valid: it has expired" in said
            assert "subject commonName=server" in said
            assert "--tls-verify=false" in said
        assert "no basic auth credentials" in cutaway.fails("push", *lax)
        cutaway.run(*login, "--tls-verify=false", code=1, stdin="wrong")
        cutaway(*login, "--tls-verify=false", stdin="s3cret")
        cutaway("push", *lax)
        image = cutaway("inspect", "-f", "{{.Id}}", name)
        cutaway("rmi", name)
        cutaway("pull", *lax)
        assert cutaway("inspect", "-f", "{{.Id}}", name) == image
    finally:
        registry.close()
        cutaway("logout", registry.address)
        cutaway("rmi", "-f", name)


def test_search_names_the_registry_that_has_none(cutaway: Cli, registry: str) -> None:
    said = cutaway.fails("search", registry)
    assert "has no search" in said
