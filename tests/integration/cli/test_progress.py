"""Long work moves on a terminal, and is silent elsewhere."""

import os
from pathlib import Path

import pytest

from support.cli import Cli
from support.engine import EngineUnderTest
from support.images import busybox_layer


@pytest.fixture
def cutaway(engine: EngineUnderTest) -> Cli:
    return Cli("cutaway", engine)


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """An archive that comes as slowly as the test wants."""
    path = tmp_path / "archive.tar"
    os.mkfifo(path)
    return path


def test_an_import_that_takes_long_says_so_on_a_terminal(cutaway: Cli, fifo: Path) -> None:
    with cutaway.terminal("import", str(fifo), "slow:1") as terminal:
        with open(fifo, "wb") as archive:
            terminal.expect(rb"\rImporting \S+  [|/\\-]  1s\x1b\[K")  # nothing was sent yet
            archive.write(busybox_layer()[:100_000])
            archive.flush()
            terminal.expect(rb"\rImporting \S+  100kB  \ds\x1b\[K")
            archive.write(busybox_layer()[100_000:])
        terminal.expect(rb"\r\x1b\[Ksha256:[0-9a-f]{64}\r\n")  # the line is wiped away
        assert terminal.wait() == 0
    cutaway("rmi", "slow:1")


def test_the_same_is_silent_without_a_terminal(cutaway: Cli, tmp_path: Path) -> None:
    archive = tmp_path / "layer.tar"
    archive.write_bytes(busybox_layer())
    done = cutaway.run("import", str(archive), "fast:1")
    assert done.stdout.startswith("sha256:")
    assert done.stderr == ""
    done = cutaway.run("save", "-o", str(tmp_path / "saved.tar"), "fast:1")
    assert (done.stdout, done.stderr) == ("", "")
    cutaway("rmi", "fast:1")


def test_layers_have_bars_that_fit_the_terminal(cutaway: Cli, tmp_path: Path) -> None:
    saved = str(tmp_path / "saved.tar")
    cutaway("save", "-o", saved, "busybox")
    with cutaway.terminal("load", "-i", saved, columns=80) as terminal:
        assert terminal.wait() == 0
    lines = terminal.seen.replace(b"\r", b"\n").split(b"\n")
    assert any(b"Loaded image: busybox:latest" in line for line in lines)
    assert all(len(line) <= 90 for line in lines)  # a few bytes of each move the cursor
