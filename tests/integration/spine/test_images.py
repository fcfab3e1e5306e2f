"""Images through both clients: pull, push, tag, list, inspect, save, load, import, remove."""

import json
import re
import tarfile
from pathlib import Path

import pytest

from support.cli import Cli
from support.engine import EngineUnderTest
from support.registry import Registry


@pytest.fixture
def name(registry: Registry, engine: EngineUnderTest) -> str:
    """The name of busybox in the registry; not pulled yet."""
    full = f"{registry.address}/busybox:latest"
    engine.docker("rmi", "-f", full, check=False)
    return full


def test_pull_run_and_pull_again(cli: Cli, name: str) -> None:
    said = cli("pull", name)
    assert f"Status: Downloaded newer image for {name}" in said
    assert re.search(r"Digest: sha256:[0-9a-f]{64}\n", said)
    assert said.endswith(f"{name}\n")
    assert cli("run", "--rm", name, "echo", "from the registry") == "from the registry\n"
    assert f"Status: Image is up to date for {name}" in cli("pull", name)
    assert cli("pull", "-q", name) == f"{name}\n"


def test_run_pulls_what_is_missing(cli: Cli, name: str) -> None:
    done = cli.run("run", "--rm", name, "echo", "hi")
    assert done.stdout == "hi\n"
    assert f"Unable to find image '{name}' locally" in done.stderr
    assert f"Status: Downloaded newer image for {name}" in done.stderr


def test_pull_shows_progress_on_a_terminal(cli: Cli, name: str) -> None:
    with cli.terminal("pull", name) as pull:
        pull.expect(rb"latest: Pulling from busybox")
        pull.expect(rb"Status: (Downloaded newer image|Image is up to date)")
        assert pull.wait() == 0


def test_pull_by_digest(cli: Cli, name: str) -> None:
    digest = re.search(r"sha256:\w+", cli("pull", name)).group()  # type: ignore[union-attr]
    by_digest = f"{name.removesuffix(':latest')}@{digest}"
    assert by_digest in cli("pull", by_digest)
    assert cli("run", "--rm", by_digest, "true") == ""
    assert digest in cli("images", "--digests", "--format", "{{.Digest}}")
    cli("rmi", by_digest)
    cli("rmi", name)


def test_push_of_what_was_tagged(cli: Cli, registry: Registry) -> None:
    mine = f"{registry.address}/mine/{cli.program}:v1"
    cli("tag", "busybox", mine)
    said = cli("push", mine)
    assert re.search(r"v1: digest: sha256:[0-9a-f]{64} size: \d+", said)
    cli("rmi", mine)
    copy = cli.engine.host.run("skopeo", "inspect", "--tls-verify=false", f"docker://{mine}")
    assert json.loads(copy.stdout)["Architecture"] == "amd64"
    assert cli("run", "--rm", "--quiet", mine, "echo", "back") == "back\n"
    cli("rmi", mine)


def test_images_list_and_inspect(cli: Cli) -> None:
    identifier = cli("images", "-q", "--no-trunc", "busybox").strip()
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", identifier)
    assert cli("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", "busybox") == (
        f"busybox:latest {identifier[7:19]}\n"
    )
    document = json.loads(cli("inspect", "--type", "image", "busybox"))[0]
    assert document["Id"] == identifier
    assert document["Config"]["Cmd"] == ["sh"]
    assert len(document["RootFS"]["Layers"]) == 1
    assert json.loads(cli("image", "inspect", identifier[7:15]))[0]["Id"] == identifier
    assert "layer 0" in cli("history", "--no-trunc", "busybox")


def test_save_and_load_are_inverse(cli: Cli, tmp_path: Path) -> None:
    cli("tag", "busybox", "copy:one")
    identifier = cli("images", "-q", "--no-trunc", "copy:one")
    cli("save", "-o", str(tmp_path / "copy.tar"), "copy:one")
    cli("rmi", "copy:one")
    with tarfile.open(tmp_path / "copy.tar") as archive:
        names = archive.getnames()
    assert "manifest.json" in names
    assert "index.json" in names
    said = cli("load", "-i", str(tmp_path / "copy.tar"))
    assert said == "Loaded image: copy:one\n"
    assert cli("images", "-q", "--no-trunc", "copy:one") == identifier
    cli("rmi", "copy:one")


def test_skopeo_reads_what_was_saved(cli: Cli, tmp_path: Path) -> None:
    cli("save", "-o", str(tmp_path / "b.tar"), "busybox")
    seen = cli.engine.host.run("skopeo", "inspect", "--config", f"docker-archive:{tmp_path}/b.tar")
    assert json.loads(seen.stdout)["config"]["Cmd"] == ["sh"]


def test_import_of_a_plain_tar(cli: Cli, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "root.tar", "w") as archive:
        archive.add("/bin/busybox", "bin/sh")
    said = cli("import", "-c", 'CMD ["sh","-c","echo imported"]', str(tmp_path / "root.tar"), "i:1")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", said)
    assert cli("run", "--rm", "i:1") == "imported\n"
    cli("rmi", "i:1")


def test_commit_keeps_what_a_container_changed(cli: Cli) -> None:
    cli("run", "--name", "box", "busybox", "sh", "-c", "echo changed > /note")
    cli("commit", "-c", 'CMD ["cat","/note"]', "box", "changed:1")
    assert cli("run", "--rm", "changed:1") == "changed\n"
    cli("rm", "box")
    cli("rmi", "changed:1")


def test_rmi_of_what_is_used(cli: Cli) -> None:
    cli("create", "--name", "box", "busybox", "true")
    message = cli.fails("rmi", "busybox")
    assert "conflict: unable to" in message
    assert "is using its referenced image" in message
    assert cli("run", "--rm", "busybox", "echo", "still here") == "still here\n"


def test_image_layout_on_disk_is_readable_by_others(engine: EngineUnderTest) -> None:
    layout = engine.data_root / "images"
    names = json.loads((layout / "index.json").read_text())["manifests"]
    assert names
    name = names[0]["annotations"]["org.opencontainers.image.ref.name"]
    seen = engine.host.run("skopeo", "inspect", "--config", f"oci:{layout}:{name}")
    assert json.loads(seen.stdout)["os"] == "linux"
