"""``cutaway file``: which layer a file comes from, what changed it, or what is mounted there."""

from collections.abc import Iterator

import pytest

from support.engine import EngineUnderTest

SCRIPTS = (
    "mkdir -p /d/e; echo 1 > /d/a; echo 1 > /d/gone; echo 1 > /d/e/f; ln -s d /l",
    "echo 2 > /d/a; rm /d/gone",
    "rm -r /d/e; mkdir /d/e; echo 3 > /d/e/g",
)


@pytest.fixture(scope="module")
def engine(module_engine: EngineUnderTest) -> Iterator[EngineUnderTest]:
    """An engine with an image of four layers, and a container of it that has changed some files."""
    image = "busybox"
    for script in SCRIPTS:
        module_engine.docker("run", "--name", "make", image, "sh", "-c", script)
        image = "layered"
        module_engine.docker("commit", "make", image)
        module_engine.docker("rm", "make")
    flags = ("-v", "data:/data", "-v", "/usr:/host/usr:ro", "--tmpfs", "/tmp")
    words = ("run", "-d", "--name", "web", *flags, "layered", "sleep", "1000")
    module_engine.docker(*words)
    change = "echo new >> /d/a; echo own > /d/own; rm /bin/wget; rm /d/e/g; echo 4 > /d/e/g"
    module_engine.docker("exec", "web", "sh", "-c", change)
    yield module_engine
    module_engine.remove_containers()


EXPECTED = {
    "/bin/busybox": ["layer 1 of 4"],
    "/": ["container's own layer: copied up", "(20", "): sh -c echo 2", "): sh -c mkdir -p /d/e"],
    "/d": ["): sh -c rm -r /d/e; mkdir /d/e", "): sh -c echo 2", "): sh -c mkdir -p /d/e"],
    "/d/e": ["container's own layer: copied up", "layer 4 of 4", "has it, hidden: sh -c mkdir"],
    "/d/a": [
        "container's own layer: copied up from the image, to be changed (20",
        "layer 3 of 4",
        "has it, hidden: sh -c echo 2 > /d/a; rm /d/gone",
        "layer 2 of 4",
    ],
    "/l/a": ["/d/a\n", "container's own layer: copied up"],
    "/d/own": ["container's own layer: created in the container (20"],
    "/bin/wget": ["container's own layer: deleted in the container (20", "layer 1 of 4"],
    "/d/e/g": ["container's own layer: replaced in the container (20", "layer 4 of 4"],
    "/d/gone": ["layer 3 of 4", "deletes it: sh -c echo 2 > /d/a; rm /d/gone", "layer 2 of 4"],
    "/d/e/f": ["layer 4 of 4", "deletes it: sh -c rm -r /d/e; mkdir /d/e", "layer 2 of 4"],
    "/data/x/y": ["mount: volume data at /data (rw)", "on the host: /", "/data/_data/x/y"],
    "/host/usr/bin": ["mount: bind /usr at /host/usr (ro)", "on the host: /usr/bin"],
    "/tmp/x": ["mount: tmpfs at /tmp (rw)"],
    "/etc/hosts": ["mounted by the engine in every container: /etc/hosts"],
    "/proc/self/status": ["mounted by the engine in every container: /proc"],
}


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_every_kind_of_origin(engine: EngineUnderTest, running: bool) -> None:
    engine.docker(*(("start",) if running else ("stop", "-t0")), "web")
    for path, expected in EXPECTED.items():
        said = engine.cutaway("file", f"web:{path}").stdout
        for part in expected:
            assert part in said, f"{path}:\n{said}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("web:/not/here",), "Could not find the file /not/here in container web"),
        (("web:/d/e/never",), "Could not find the file /d/e/never in container web"),
        (("nobody:/x",), "No such container: nobody"),
        (("web:x",), "say CONTAINER:/PATH"),
        (("web",), "say CONTAINER:/PATH"),
        (("--format", "table", "web:/d"), 'the only other format is "json"'),
    ],
)
def test_what_has_no_origin(engine: EngineUnderTest, words: tuple[str, ...], message: str) -> None:
    refused = engine.cutaway("file", *words, check=False)
    assert refused.returncode != 0
    assert message in refused.stderr


def test_json(engine: EngineUnderTest) -> None:
    said = engine.cutaway("file", "--format", "json", "web:/bin/busybox").stdout
    assert '"Kind": "layer"' in said
