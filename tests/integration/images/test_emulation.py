"""Images for another processor: run by an emulator that binfmt_misc has, refused without one."""

import json

import pytest

from support.emulation import EMULATOR, emulated, uname_s390x
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


@pytest.mark.skipif(not EMULATOR.exists(), reason="no qemu-user-static")
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
