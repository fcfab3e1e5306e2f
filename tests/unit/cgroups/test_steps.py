"""Cgroups are made as the kernel wants them, whoever else makes them at that moment."""

from pathlib import Path

from cutaway.cgroups.steps import CreateCgroup


def test_a_cpuset_whose_parent_has_nothing_yet_gives_both_what_the_root_has(tmp_path: Path) -> None:
    """Another container has made the parent and not filled it yet: no process could enter."""
    for directory, cpus in ((".", "0-1\n"), ("parent", "\n"), ("parent/child", "\n")):
        (tmp_path / directory).mkdir(exist_ok=True)
        (tmp_path / directory / "cpuset.cpus").write_text(cpus)
        (tmp_path / directory / "cpuset.mems").write_text("0\n")
    (tmp_path / "parent/child/cgroup.procs").write_text("")
    step = CreateCgroup(
        why="default",
        mountpoint=str(tmp_path),
        path="/parent/child",
        controllers=("cpuset",),
    )
    step.apply(None)
    assert (tmp_path / "parent/cpuset.cpus").read_text().strip() == "0-1"
    assert (tmp_path / "parent/child/cpuset.cpus").read_text().strip() == "0-1"
