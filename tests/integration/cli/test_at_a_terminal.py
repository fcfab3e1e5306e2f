"""What a person at a terminal sees: long work moves, stories fit, slips are named."""

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


def test_an_option_behind_the_image_is_named(cutaway: Cli) -> None:
    said = cutaway.fails("run", "--rm", "busybox", "--read-only", "true", code=127)
    assert "'--read-only' stands behind the image busybox" in said
    assert "put options before the image" in said


def test_the_api_socket_comes_with_the_users_credentials(cutaway: Cli) -> None:
    script = "test -S /var/run/docker.sock && cat $DOCKER_CONFIG/config.json"
    said = cutaway("run", "--rm", "--use-api-socket", "busybox", "sh", "-c", script)
    assert said == '{"auths": {}}'


def test_a_story_fits_a_terminal_and_has_no_colours_elsewhere(cutaway: Cli) -> None:
    name = cutaway("run", "-d", "busybox", "sleep", "1000").strip()[:12]
    assert "\x1b" not in cutaway("story", name)
    with cutaway.terminal("story", name, columns=80) as terminal:
        assert terminal.wait() == 0
    text = terminal.seen.decode().replace("\x1b[2m", "").replace("\x1b[0m", "")
    assert max(map(len, text.splitlines())) <= 80
