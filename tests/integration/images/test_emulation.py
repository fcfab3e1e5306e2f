"""Images for another processor: run by an emulator that binfmt_misc has, refused without one."""

import json
import os

import pytest

from support.emulation import emulated, uname_s390x
from support.hostile_registry import INDEX_TYPE, HostileRegistry, described, make_image
from support.netns import Namespace


@pytest.fixture(scope="module")
def app(module_engine):
    """Serve an index of an image for amd64 and one for s390x; return its name."""
    with HostileRegistry() as registry:
        registry.listen_in(Namespace.of(module_engine.host.pid))
        members = []
        for architecture in ("amd64", "s390x"):
            image = make_image(0, platform=architecture)
            image.config["config"] = {"Cmd": ["/uname"]}
            image.add_layer({"uname": uname_s390x()})
            registry.put(image, tag=architecture)
            platform = {"os": "linux", "architecture": architecture}
            members.append(described(image.encode(), image.media_type, platform=platform))
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": members}
        registry.put_manifest(json.dumps(index).encode(), INDEX_TYPE)
        yield f"{registry.address}/app"


def test_an_image_for_another_processor_runs_where_an_emulator_is_registered(engine, app) -> None:
    with emulated(engine.host):
        ran = engine.docker("run", "--rm", "--platform=linux/s390x", app)
        assert ran.stdout == "s390x"

        # Pulled whole, it is one name for both; the warning is docker's.
        engine.cutaway("pull", "-q", "--all-platforms", app)
        assert engine.docker("run", "--rm", "--platform=linux/s390x", app).stdout == "s390x"
        ran = engine.docker("run", "--rm", app.replace("/app", "/app:s390x"))
        assert ran.stdout == "s390x"
        assert (
            "WARNING: The requested image's platform (linux/s390x) does not match the detected "
            "host platform (linux/amd64"
        ) in ran.stderr


def test_without_an_emulator_the_error_says_what_to_install(engine, app) -> None:
    ran = engine.docker("run", "--rm", "--platform=linux/s390x", app, check=False)
    assert (ran.returncode, ran.stdout) == (125, "")
    assert "exec /uname: exec format error" in ran.stderr
    assert (
        "/uname is built for s390x, this machine is amd64 and has no emulator for it: install one "
        "that registers with binfmt_misc (Debian: qemu-user-static), or use the image for this "
        "machine's platform"
    ) in ran.stderr


# Other words that take a platform


@pytest.fixture
def whole(engine, app):
    """The image, here for both processors."""
    engine.cutaway("pull", "-q", "--all-platforms", app)
    yield app
    engine.docker("rmi", "-f", app)


def platform_of(engine, name: str, *words: str) -> str:
    return engine.docker("image", "inspect", "-f", "{{.Architecture}}", *words, name).stdout.strip()


def test_both_platforms_are_saved_loaded_inspected_and_pushed(engine, whole, tmp_path) -> None:
    both, one = str(tmp_path / "both.tar"), str(tmp_path / "one.tar")
    engine.docker("save", "-o", both, whole)
    engine.docker("save", "-o", one, "--platform=linux/s390x", whole)
    assert os.path.getsize(one) < os.path.getsize(both)
    ran = engine.docker("rmi", "--platform=linux/s390x", whole, check=False)
    assert "stands for an index: removing single platforms" in ran.stderr
    ran = engine.docker("save", "-o", one, "--platform=linux/arm64", whole, check=False)
    assert "does not match the specified platform (linux/arm64)" in ran.stderr

    engine.docker("rmi", whole)
    ran = engine.docker("load", "-i", both, "--platform=linux/ppc64le", check=False)
    text = "requested platform (linux/ppc64le) not found: image might be filtered out"
    assert (ran.returncode, text in ran.stderr) == (1, True)
    for archive, words in ((both, ["--platform=linux/s390x"]), (one, [])):
        engine.docker("load", "-q", "-i", archive, *words)
        assert platform_of(engine, whole) == "s390x"
        engine.docker("rmi", whole)
    engine.docker("load", "-q", "-i", both)
    assert platform_of(engine, whole) == "amd64"
    assert platform_of(engine, whole, "--platform=linux/s390x") == "s390x"
    assert engine.docker("history", "-q", "--platform=linux/s390x", whole).returncode == 0

    engine.docker("tag", whole, f"{whole}:copy")
    engine.docker("push", "-q", "--platform=linux/s390x", f"{whole}:copy")
    engine.docker("rmi", f"{whole}:copy", whole)
    engine.docker("pull", "-q", f"{whole}:copy")
    assert platform_of(engine, f"{whole}:copy") == "s390x"
    engine.docker("rmi", f"{whole}:copy")
