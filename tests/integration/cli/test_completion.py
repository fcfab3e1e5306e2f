"""Completion in the shells themselves: the script is sourced, TAB is pressed, the line is read."""

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.engine import EngineUnderTest
from support.terminal import Terminal

READY = b"ready> "

START = {
    "bash": (
        ["env", "TERM=dumb", "bash", "--norc", "--noprofile", "-i"],
        "PS1='ready> '; source <(cutaway completion bash)\n",
    ),
    "zsh": (
        ["env", "TERM=dumb", "zsh", "-f", "-i"],
        "PS1='ready> '; unsetopt zle_bracketed_paste prompt_sp; autoload -U compinit; compinit -D; "
        "source <(cutaway completion zsh)\n",
    ),
}
COMMON = [
    ("cutaway contai\t", "cutaway container"),
    ("cutaway container sto\t", "cutaway container stop"),
    ("cutaway stop spi\t", "cutaway stop spinner"),
    ("cutaway start spi\t", "cutaway start spi"),  # it runs already
    ("cutaway start dor\t", "cutaway start dormant"),
    ("cutaway run --net\t", "cutaway run --network"),
    ("cutaway run --network brid\t", "cutaway run --network bridge"),
    ("cutaway run --network=brid\t", "cutaway run --network=bridge"),
    ("cutaway run -it localhost:5000/tea:gre\t", "cutaway run -it localhost:5000/tea:green"),
    ("cutaway run --rm busybox spi\t", "cutaway run --rm busybox spi"),
    ("cutaway volume rm plen\t", "cutaway volume rm plenty"),
    ("cutaway --debug rm dor\t", "cutaway --debug rm dormant"),
    ("cutaway cp dor\t/etc", "cutaway cp dormant:/etc"),
]


@pytest.fixture(scope="module")
def words(module_engine: EngineUnderTest) -> Iterator[EngineUnderTest]:
    """An engine with something of every kind, and a directory with the command under its name."""
    engine = module_engine
    engine.docker("run", "-d", "--name", "spinner", "busybox", "sleep", "1000")
    engine.docker("create", "--name", "dormant", "busybox")
    engine.docker("tag", "busybox", "localhost:5000/tea:green")
    engine.docker("volume", "create", "plenty")
    program = engine.directory / "bin" / "cutaway"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(engine.our_command)} "$@"\n')
    program.chmod(0o755)
    yield engine
    engine.remove_containers()


def environment(engine: EngineUnderTest) -> dict[str, str]:
    kept = engine.environment()
    return {**kept, "PATH": f"{engine.directory}/bin:{kept['PATH']}", "LC_ALL": "C.UTF-8"}


@pytest.fixture(scope="module", params=START)
def shell(request: pytest.FixtureRequest, words: EngineUnderTest) -> Iterator[Terminal]:
    command, script = START[request.param]
    with Terminal(words.host, *command, env=environment(words), columns=200) as terminal:
        terminal.send(script.encode())
        terminal.expect(rb"\n[^\n']*" + READY)
        yield terminal


@pytest.mark.parametrize(("typed", "line"), COMMON)
def test_tab_completes_the_word(shell: Terminal, typed: str, line: str) -> None:
    # Home, "echo '", End, "'", Enter: the shell itself says what the line has become.
    shell.send(typed.encode() + b"\x01echo '<\x05>'\r")
    said = shell.expect(rb"\r\n<([^\r\n]*?)/? ?>\r")[1].decode()
    shell.expect(READY)
    assert said == line


@pytest.mark.parametrize(
    ("line", "candidates"),
    [
        ("cutaway contai", ["container\tManage containers"]),
        ("cutaway network r", ["rm\tRemove one or more networks"]),
        ("cutaway rm dor", ["dormant\tbusybox, Created"]),
        ("cutaway ps --format=ta", ["--format=table"]),
        ("cutaway cp dor", ["dormant:\tbusybox, Created"]),
        ("cutaway build /etc/passw", ["/etc/passwd"]),
    ],
)
def test_fish_offers_words_with_their_descriptions(
    words: EngineUnderTest, line: str, candidates: list[str]
) -> None:
    script = f"cutaway completion fish | source; complete -C {shlex.quote(line)}"
    said = words.host.run("fish", "--no-config", "-c", script, env=environment(words)).stdout
    assert [c for c in said.splitlines() if "passwd-" not in c] == candidates


@pytest.mark.parametrize("shell_name", ["bash", "zsh"])
def test_the_script_is_well_formed(words: EngineUnderTest, shell_name: str) -> None:
    script = words.cutaway("completion", shell_name).stdout
    subprocess.run([shell_name, "-n"], input=script, text=True, check=True)


def test_no_engine_is_started_by_a_key_press(words: EngineUnderTest, tmp_path: Path) -> None:
    absent = f"unix://{tmp_path}/none.sock"
    done = words.cutaway("__complete", "-H", absent, "stop", "")
    assert (done.stdout, done.stderr) == ("words\n", "")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_shell_is_refused_with_the_known_ones(words: EngineUnderTest) -> None:
    done = words.cutaway("completion", "csh", check=False)
    assert done.returncode == 1
    assert done.stderr == 'no completion for "csh": choose one of bash, zsh, fish\n'
