"""Platforms are spelled and matched as containerd does."""

import pytest

from cutaway.errors import InvalidParameter
from cutaway.oci import Platform


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("Linux/AMD64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
        ("macos/arm64", "darwin/arm64"),
        ("arm64", "linux/arm64"),
        ("aarch64", "linux/arm64"),
        ("windows", "windows/amd64"),
    ],
)
def test_a_platform_is_normalised(text, normal):
    assert str(Platform.parse(text)) == normal


@pytest.mark.parametrize("text", ["", "linux/", "linux//v7", "a/b/c/d", "linux/am d64", "nonsense"])
def test_what_is_no_platform_is_refused(text):
    with pytest.raises(InvalidParameter, match="invalid argument"):
        Platform.parse(text)


@pytest.mark.parametrize(
    ("machine", "platform"),
    [
        ("x86_64", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("armv7l", "linux/arm/v7"),
        ("armv6l", "linux/arm/v6"),
        ("riscv64", "linux/riscv64"),
    ],
)
def test_the_machine_names_of_uname_are_known(machine, platform):
    assert str(Platform.of_machine(machine)) == platform


@pytest.mark.parametrize(
    ("text", "runnable"),
    [
        ("linux/amd64", ["linux/amd64", "linux/386"]),
        ("linux/amd64/v3", ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"]),
        ("linux/arm/v6", ["linux/arm/v6", "linux/arm/v5"]),
        (
            "linux/arm64",
            ["linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"],
        ),
        ("linux/s390x", ["linux/s390x"]),
    ],
)
def test_a_machine_runs_its_predecessors_images_too(text, runnable):
    assert [str(p) for p in Platform.parse(text).runnable()] == runnable


def test_json_has_the_dotted_names():
    document = {
        "architecture": "amd64",
        "os": "windows",
        "os.version": "10.0",
        "os.features": ["win32k"],
    }

    assert Platform.from_json(document).to_json() == document
    assert Platform.from_json(document).matches(Platform("x86_64", "windows"))
    assert not Platform.from_json(document).matches(Platform("arm64", "windows"))
