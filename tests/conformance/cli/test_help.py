"""docker's help for every command, and ours: the same commands, the same flags, the same text."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from cutaway.cli.find import find
from cutaway.cli.help import group_help
from cutaway.cli.index import GROUPS, INDEX, REFUSED
from support.engine import EngineUnderTest

# Groups of docker that we don't have; each is refused with its reason.
ABSENT = REFUSED.keys() - {"buildx", "bake", "compose"}  # its plug-ins' are run where they are
ABSENT_FLAGS = {
    "container start": {"checkpoint", "checkpoint-dir"},  # see REFUSED
    "start": {"checkpoint", "checkpoint-dir"},
}
# Lines of docker's help that ours lacks or has otherwise.
OTHER_WORDS = {
    '("always", "|missing", "never")': "docker's slip: a stroke too many",
    "EXPERIMENTAL:": "our manifest commands are not experimental",
    "docker manifest": "a page about experiments, where we have a line",
    "manifest lists": "a page about experiments, where we have a line",
    "built for multiple architectures": "a page about experiments, where we have a line",
    "To see help for a subcommand": "a page about experiments, where we have a line",
    "DEPRECATED:": "our builder is not deprecated",
    "Install the buildx": "our builder is not deprecated",
    "https://docs.docker.com/go/buildx/": "our builder is not deprecated",
    "--cache-from strings": "ours takes what BuildKit takes, which has commas in it",
    "--checkpoint": "see REFUSED",
    "A self-sufficient runtime": "the program says what it is",
    "For more help on how to use Docker": "docker's web page",
    "Swarm Commands:": "see REFUSED",
}
EXPERIMENTAL_PARAGRAPH = re.compile(r"EXPERIMENTAL:\n(  .*\n)+\n?")


@pytest.fixture(scope="module")
def docker_help(module_engine: EngineUnderTest):  # type: ignore[no-untyped-def]
    """Return docker's help for a command, as it prints it in front of this engine."""

    @cache
    def ask(name: str) -> str:
        return module_engine.docker(*name.split(), "--help").stdout

    return ask


def members(text: str) -> list[str]:
    """Return the commands that a help text lists."""
    return re.findall(r"^  ([a-z][a-z-]*)\*? {2,}\S", text.partition("Global Options:")[0], re.M)


def flags(text: str) -> set[str]:
    return set(re.findall(r"^ {2,6}(?:-\w, )?--([a-z0-9-]+)", text, re.M))


def folded(text: str) -> list[str]:
    """Return the lines that say something, with single spaces."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def docker_commands(docker_help) -> list[str]:  # type: ignore[no-untyped-def]
    names = []
    for name in members(docker_help("")):
        text = docker_help(name)
        is_group = "\nCommands:\n" in text
        names += [name, *(f"{name} {inner}" for inner in members(text) if is_group)]
    return names


def absent(name: str) -> bool:
    return name in ABSENT or name.partition(" ")[0] in ABSENT


def test_every_command_of_docker_is_here_or_listed_with_a_reason(docker_help) -> None:  # type: ignore[no-untyped-def]
    theirs = docker_commands(docker_help)
    missing = [n for n in theirs if n not in INDEX and n not in GROUPS and not absent(n)]
    assert missing == []


def test_every_word_that_docker_begins_with_is_here_or_refused() -> None:
    # In front of no engine: in front of one that is in no swarm, docker hides the swarm's commands.
    command = ["docker", "-H", "unix:///nonexistent.sock", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = set(members(text)) - {"buildx", "compose"}  # plug-ins, if installed
    assert words - {*INDEX, *GROUPS} == ABSENT


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_command_that_is_not_here_says_why(name: str, module_engine: EngineUnderTest) -> None:
    done = module_engine.cutaway(name, "ls", "--quiet", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"cutaway {name}: {REFUSED[name]}\n"


def test_a_plug_in_of_dockers_runs_in_front_of_the_same_engine(
    module_engine: EngineUnderTest, tmp_path: Path
) -> None:
    program = tmp_path / "cli-plugins" / "docker-compose"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$DOCKER_HOST $@"\nexit 7\n')
    program.chmod(0o755)
    words = ("--config", str(tmp_path), "compose", "up", "-d")
    done = module_engine.cutaway(*words, check=False)
    host = module_engine.environment()["DOCKER_HOST"]
    assert (done.returncode, done.stdout) == (7, f"{host} {' '.join(words)}\n")


def test_help_is_dockers_word_for_word_but_for_what_we_add(docker_help) -> None:  # type: ignore[no-untyped-def]
    found = {}
    for name in docker_commands(docker_help):
        if absent(name):
            continue
        command = find(name.split())
        ours = command[0].help(name) if name in INDEX and command else group_help(name)
        theirs = EXPERIMENTAL_PARAGRAPH.sub("", docker_help(name))
        assert flags(theirs) - flags(ours) == ABSENT_FLAGS.get(name, set()), name
        known = set(folded(ours.replace("cutaway", "docker")))
        other = [
            line
            for line in folded(theirs)
            if line not in known
            and not absent(f"{name} {line.split()[0]}")
            and not any(words in line for words in OTHER_WORDS)
        ]
        if other:
            found[name] = other
    assert found == {}
