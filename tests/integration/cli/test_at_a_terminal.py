"""What a person at a terminal sees: long work moves, stories fit, slips are named."""

import os
import shlex
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
    assert 'exec: "--read-only": executable file not found in $PATH' in said
    assert "options come before the image" in said


def test_a_flag_misspelt_is_guessed(cutaway: Cli) -> None:
    said = cutaway.fails("run", "--memroy", "5m", "busybox", code=125)
    assert said.startswith("unknown flag: --memroy\n\nDid you mean '--memory'?\n\nUsage:  ")


def test_the_seconds_of_a_step_of_a_build_move(cutaway: Cli, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo said; sleep 600\n")
    with cutaway.terminal("build", str(tmp_path)) as terminal:
        terminal.expect(rb"RUN echo said; sleep 600  0\.\ds  said\r\n")
        terminal.expect(rb"RUN echo said; sleep 600  2\.\ds  said\r\n")
        terminal.send(b"\x03")
        assert terminal.wait() == 130
    cutaway.engine.wait_until_clean()


def test_what_can_t_be_written_is_said_and_a_closed_stream_is_no_obstacle(cutaway: Cli) -> None:
    command = " ".join(map(shlex.quote, cutaway.engine.our_command))

    def shell(line: str) -> tuple[int, str, str]:
        done = cutaway.engine.host.run(
            "sh", "-c", line, check=False, env=cutaway.engine.environment()
        )
        return done.returncode, done.stdout, done.stderr

    full = (1, "", "write /dev/stdout: no space left on device\n")
    assert shell(f"{command} version >/dev/full") == full
    assert shell(f"{command} ps >&-") == (0, "", "")
    assert shell(f"{command} ps -q <&- 2>&-") == (0, "", "")
    assert shell(f"{command} run --rm busybox true <&- >&- 2>&-") == (0, "", "")
    assert shell(f"{command} nope >&- 2>&-") == (1, "", "")
    assert shell(f"{command} run --rm busybox seq 200000 | head -1") == (0, "1\n", "")


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
