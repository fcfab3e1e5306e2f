"""Fixtures: a busybox root file system, and bundles that must leave nothing behind."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.bundles import Bundle


@pytest.fixture(scope="session")
def busybox_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system of busybox and its names."""
    root = tmp_path_factory.mktemp("root") / "rootfs"
    for name in ("bin", "dev", "proc", "sys", "tmp", "etc", "root", "var/www", "usr/bin"):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    shutil.copy("/bin/busybox", root / "bin" / "busybox")
    names = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True)
    for name in names.stdout.split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    (root / "etc" / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/var/www:/bin/sh\n1000:x:77:77:trap:/:/\n"
    )
    (root / "etc" / "group").write_text("root:x:0:\nadm:x:4:www\nwww:x:33:\nstaff:x:50:\n")
    return root


_numbers = iter(range(1_000_000))


@pytest.fixture
def bundle(tmp_path: Path, busybox_root: Path) -> Iterator[Bundle]:
    """A fresh bundle; afterwards nothing of its container may be left."""
    made = Bundle(tmp_path, f"t{os.getpid()}-{next(_numbers)}")
    subprocess.run(["cp", "-a", str(busybox_root), str(made.rootfs)], check=True)
    yield made
    left = [
        f"/sys/fs/cgroup/{h}{made.cgroups_path}"
        for h in os.listdir("/sys/fs/cgroup")
        if os.path.exists(f"/sys/fs/cgroup/{h}{made.cgroups_path}")
    ]
    for path in left:
        os.rmdir(path)
    assert left == []
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


@pytest.fixture(scope="session", autouse=True)
def _remove_parent_cgroups() -> Iterator[None]:
    yield
    for name in os.listdir("/sys/fs/cgroup"):
        path = f"/sys/fs/cgroup/{name}/cutaway-test"
        if os.path.isdir(path) and len(os.listdir(path)) == len(
            [e for e in os.listdir(path) if not os.path.isdir(f"{path}/{e}")]
        ):
            os.rmdir(path)
