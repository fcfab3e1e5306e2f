"""Mounts and volumes that can't be: Docker's message, the object named, and nothing is left."""

import pytest

from support.engine import EngineUnderTest

IN_PROC = "cannot be mounted because it is"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("-v", "/tmp:/"), "invalid specification: destination can't be '/'"),
        (("-v", "/tmp:/a/.."), "invalid specification: destination can't be '/'"),
        (("--tmpfs", "/"), "invalid specification: destination can't be '/'"),
        (("-v", "/tmp:relative"), "mount path must be absolute"),
        (("-v", "/tmp:/proc"), f'"/proc" {IN_PROC} not of type proc'),
        (("-v", "/tmp:/proc/sys"), f'"/proc/sys" {IN_PROC} inside /proc'),
        (("--tmpfs", "/proc"), f'"/proc" {IN_PROC} not of type proc'),
        (
            ("--mount", "type=bind,src=/not/here,dst=/x"),
            'invalid mount config for type "bind": bind source path does not exist: /not/here',
        ),
        (("-v", "/a:/b:nonsense"), "nonsense"),
        (("-v", "/a:/b", "-v", "/c:/b"), "Duplicate mount point: /b"),
        (("-v", "data:/x", "--volume-driver", "nope"), 'plugin "nope" not found'),
        (
            ("--mount", "type=volume,src=data,dst=/x,volume-driver=nope"),
            'create data: error looking up volume plugin nope: plugin "nope" not found',
        ),
        (("--mount", "type=volume,src=data,dst=/x,volume-opt=foo=bar"), 'invalid option: "foo"'),
        (("--volumes-from", "nobody"), "No such container: nobody"),
        (("--tmpfs", "/t:evil"), "invalid tmpfs option"),
    ],
)
def test_a_mount_that_can_not_be(
    engine: EngineUnderTest, flags: tuple[str, ...], message: str
) -> None:
    before = engine.docker("volume", "ls", "-q").stdout
    refused = engine.docker("run", "--rm", *flags, "busybox", "true", check=False)
    assert refused.returncode == 125
    assert message in refused.stderr
    assert engine.docker("ps", "-aq").stdout == ""
    assert engine.docker("volume", "ls", "-q").stdout == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create", "-d", "nope", "data"), 'plugin "nope" not found'),
        (("create", "-o", "foo=bar", "data"), 'invalid option: "foo"'),
        (("create", "-o", "type=tmpfs", "data"), 'missing required option: "device"'),
        (("create", "-o", "device=/srv", "data"), 'missing required option: "type"'),
        (("create", "a/b"), '"a/b" includes invalid characters for a local volume name'),
        (("create", "../data"), "includes invalid characters for a local volume name"),
        (("create", "x"), "volume name is too short"),
        (("inspect", "nobody"), "get nobody: no such volume"),
        (("rm", "nobody"), "get nobody: no such volume"),
        (("ls", "--filter", "nonsense=1"), "nonsense"),
    ],
)
def test_a_volume_that_can_not_be(
    engine: EngineUnderTest, words: tuple[str, ...], message: str
) -> None:
    refused = engine.docker("volume", *words, check=False)
    assert refused.returncode != 0
    assert message in refused.stderr
    assert engine.docker("volume", "ls", "-q").stdout == ""


def test_a_volume_in_use_names_its_container(engine: EngineUnderTest) -> None:
    identifier = engine.docker("create", "-v", "data:/x", "busybox").stdout.strip()
    refused = engine.docker("volume", "rm", "data", check=False)
    assert f"remove data: volume is in use - [{identifier}]" in refused.stderr
    seen = engine.cutaway("volume", "users", "data").stdout.splitlines()
    assert seen[0].split() == ["CONTAINER", "ID", "NAME", "STATE", "TARGET", "MODE"]
    assert seen[1].split()[0] == identifier[:12]
    assert seen[1].split()[2:] == ["created", "/x", "rw"]
    assert "no such volume" in engine.cutaway("volume", "users", "nope", check=False).stderr
    engine.docker("rm", identifier)
    engine.docker("volume", "rm", "data")


def test_a_device_that_is_not_there_is_named_and_nothing_is_left(engine: EngineUnderTest) -> None:
    options = ("-o", "type=none", "-o", "o=bind", "-o", "device=/not/here")
    engine.docker("volume", "create", *options, "data")
    refused = engine.docker("run", "--rm", "-v", "data:/x", "busybox", "true", check=False)
    assert "error while mounting volume 'data'" in refused.stderr
    assert "/not/here" in refused.stderr
    assert engine.docker("ps", "-aq").stdout == ""
    engine.docker("volume", "rm", "data")
