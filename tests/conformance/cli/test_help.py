"""docker's help for every command, and ours: the same commands, the same flags, the same text."""

import re
from functools import cache

import pytest

from cutaway.cli.find import find
from cutaway.cli.help import group_help
from cutaway.cli.index import GROUPS, INDEX
from support.engine import EngineUnderTest

# Groups and commands of docker that we don't have.
ABSENT = {
    "checkpoint": "freezing a container into files needs CRIU; the engine refuses it, too",
    "plugin": "managed plugins are images that dockerd runs; plug-ins on a socket need no command",
    "trust": "Notary v1 is being shut down; images are named by digest",
    "swarm": "the engine is in no swarm and can't join one",
    "context export": "an archive of one address",
    "context import": "an archive of one address",
    "context update": "`context rm` and `context create`",
}
ABSENT_FLAGS = {
    "container start": {"checkpoint", "checkpoint-dir"},  # see checkpoint
    "start": {"checkpoint", "checkpoint-dir"},
}
# Lines of docker's help that ours lacks or has otherwise.
OTHER_WORDS = {
    '("always", "|missing", "never")': "docker's slip: a stroke too many",
    "ca Trust certs": "contexts keep no certificates here",
    "cert Path to": "contexts keep no certificates here",
    "key Path to": "contexts keep no certificates here",
    "$ docker context create": "contexts keep no certificates here",
    "EXPERIMENTAL:": "our manifest commands are not experimental",
    "docker manifest": "a page about experiments, where we have a line",
    "manifest lists": "a page about experiments, where we have a line",
    "built for multiple architectures": "a page about experiments, where we have a line",
    "To see help for a subcommand": "a page about experiments, where we have a line",
    "DEPRECATED:": "our builder is not deprecated",
    "Install the buildx": "our builder is not deprecated",
    "https://docs.docker.com/go/buildx/": "our builder is not deprecated",
    "--checkpoint": "see ABSENT",
    "A self-sufficient runtime": "the program says what it is",
    "For more help on how to use Docker": "docker's web page",
    "Swarm Commands:": "see ABSENT",
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
    assert [name for name in ABSENT if name not in theirs] == []


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
