"""``--cgroup-parent /a/b``: what was made for it goes with its last container, and nothing else.

dockerd and runc leave it there: measured.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cutaway.cgroups import probe_cgroup_layout
from support.engine import EngineUnderTest
from support.waiting import eventually


class Parent:
    """A cgroup in every hierarchy, that a test names and perhaps makes."""

    def __init__(self, path: str) -> None:
        self.path = path
        mountpoints = [h.mountpoint for h in probe_cgroup_layout().hierarchies]
        self.directories = [Path(f"{mountpoint}{path}") for mountpoint in mountpoints]

    def below(self) -> set[str]:
        """Return what there is of it, and below it, in any hierarchy."""
        # os.walk, not rglob: what vanishes while it looks is no error
        found = {place for top in self.directories for place, _, _ in os.walk(top)}
        return {place[place.index(self.path) :] for place in found}


@pytest.fixture
def parent(engine: EngineUnderTest) -> Iterator[Parent]:
    made = Parent(f"{engine.cgroup_parent}-given")
    yield made
    for directory in made.directories:
        if directory.is_dir():
            directory.rmdir()


def test_parents_that_were_made_go_with_the_last_container(
    engine: EngineUnderTest, parent: Parent
) -> None:
    flags = ("--cgroup-parent", f"{parent.path}/a", "busybox")
    engine.docker("run", "-d", "--name", "one", *flags, "sleep", "1000")
    engine.docker("run", "-d", "--name", "two", *flags, "sleep", "1000")
    engine.docker("rm", "-f", "one")
    assert {parent.path, f"{parent.path}/a"} <= parent.below()
    engine.kill()
    engine.start()
    engine.docker("rm", "-f", "two")
    eventually(lambda: parent.below() == set())


def test_parents_of_a_failed_start_go_too(engine: EngineUnderTest, parent: Parent) -> None:
    failed = engine.docker("run", "--rm", "--cgroup-parent", parent.path, "busybox", "/no",
                           check=False)  # fmt: skip
    assert failed.returncode == 127
    eventually(lambda: parent.below() == set())


def test_parents_that_were_there_stay(engine: EngineUnderTest, parent: Parent) -> None:
    for directory in parent.directories:
        directory.mkdir()
    flags = ("--cgroup-parent", f"{parent.path}/a/b")
    assert engine.docker("run", "--rm", *flags, "busybox", "echo", "ran").stdout == "ran\n"
    eventually(lambda: parent.below() == {parent.path})


def test_parents_of_a_container_that_restarts_are_still_known(
    engine: EngineUnderTest, parent: Parent
) -> None:
    def restarts() -> int:
        return int(engine.docker("inspect", "-f", "{{.RestartCount}}", "again").stdout)

    flags = ("--cgroup-parent", parent.path, "--restart", "always", "busybox")
    engine.docker("run", "-d", "--name", "again", *flags, "false")
    eventually(lambda: parent.below() == {parent.path})  # between two runs
    engine.docker("run", "--rm", "busybox", "true")
    before = restarts()
    eventually(lambda: restarts() > before + 1)
    engine.docker("rm", "-f", "again")
    eventually(lambda: parent.below() == set())
