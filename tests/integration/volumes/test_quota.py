"""``-o size=`` on a file system that counts projects: what ext4 and xfs do with it.

This needs a kernel with project quotas, as ``tests/machine/run`` has.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.engine import EngineUnderTest
from support.images import busybox_archive
from support.waiting import eventually

MAKE = {
    "ext4": ("mkfs.ext4", "-q", "-O", "quota,project"),
    "xfs": ("mkfs.xfs", "-q"),
}
DISK_BYTES = 400 << 20  # xfs takes no less than 300 MB
QUOTA = """
import os, sys
from cutaway.linux import storage
print(*storage.project_quota(os.open(sys.argv[1], os.O_RDONLY), int(sys.argv[2])))
"""


class Quotas:
    """An engine whose data is on a file system that was mounted with ``prjquota``.

    Attributes:
        volumes: its volumes' directories, as they are seen from outside its mount namespace.
    """

    def __init__(self, fstype: str, archives: Path) -> None:
        self.engine = engine = EngineUnderTest()
        self.volumes = Path(f"/proc/{engine.host.pid}/root{engine.data_root}/volumes")
        self.fstype = fstype
        self._mount()
        engine.start()
        engine.docker("load", "-q", "-i", str(busybox_archive(archives)))

    def _mount(self) -> None:
        disk = self.engine.directory / "disk"
        with disk.open("wb") as file:
            file.truncate(DISK_BYTES)
        subprocess.run([*MAKE[self.fstype], str(disk)], check=True)
        self.engine.data_root.mkdir()
        words = ("mount", "-o", "loop,prjquota", str(disk), str(self.engine.data_root))
        done = self.engine.host.run(*words, check=False)
        if done.returncode:
            self.engine.close()
            pytest.skip(f"probe: no project quotas of {self.fstype}: {done.stderr.strip()}")

    def project(self, name: str) -> int:
        """Return the number of a volume's project."""
        return int(json.loads((self.volumes / name / "volume.json").read_text())["project"])

    def of(self, project: int) -> tuple[int, int]:
        """Return a project's limit and use, in bytes."""
        words = (sys.executable, "-c", QUOTA, str(self.engine.data_root), str(project))
        limit_bytes, used_bytes = self.engine.host.run(*words).stdout.split()
        return int(limit_bytes), int(used_bytes)

    def run(self, script: str, *flags: str, volume: str = "data:/data") -> str:
        """Run a shell in a container that has the volume; return what it said."""
        words = ("run", "--rm", "-v", volume, *flags, "busybox", "sh", "-c", f"exec 2>&1; {script}")
        return self.engine.docker(*words, check=False).stdout


@pytest.fixture(params=MAKE)
def quotas(request: pytest.FixtureRequest, archives: Path) -> Iterator[Quotas]:
    made = Quotas(request.param, archives)
    yield made
    made.engine.close()


def test_a_size_by_project_quota(quotas: Quotas) -> None:
    """One engine for all of it: on an emulated machine each takes its time."""
    engine = quotas.engine
    engine.docker("volume", "create", "-o", "size=16m", "data")
    project = quotas.project("data")
    assert quotas.of(project)[0] == 16 << 20
    assert not (quotas.volumes / "data/disk.ext4").exists()

    # A write beyond the size fails, whoever writes; df shows the size; there is room again after.
    said = quotas.run("dd if=/dev/zero of=/data/big bs=1M count=20; stat -c %s /data/big")
    assert "Disk quota exceeded" in said or "No space left on device" in said
    assert 12 << 20 <= int(said.rsplit(maxsplit=1)[1]) <= 16 << 20
    said = quotas.run("rm /data/big; mkdir -m 777 /data/x; df -P -k /data | tail -1")
    assert int(said.split()[1]) == 16 << 10
    said = quotas.run("dd if=/dev/zero of=/data/x/big bs=1M count=20", "--user", "1000")
    assert "Disk quota exceeded" in said or "No space left on device" in said
    assert 12 << 20 <= quotas.of(project)[1] <= 16 << 20

    # A volume of its own: the same name in another has its own limit; content of images fits in.
    engine.docker("volume", "create", "-o", "size=3m", "small")
    assert quotas.project("small") != project
    said = quotas.run("ls /var; mv /var/www /var/w; df -P -k /var | tail -1", volume="small:/var")
    assert said.startswith("www\n")
    assert int(said.split()[2]) == 3 << 10

    # What an image has and the volume has no room for is an error, and nothing of it is there.
    engine.docker("run", "--name", "fat", "busybox", "dd", "if=/dev/zero", "of=/etc/fat", "bs=4M",
                  "count=1")  # fmt: skip
    engine.docker("commit", "fat", "fat")
    engine.docker("volume", "create", "-o", "size=2m", "tiny")
    refused = engine.docker("run", "--rm", "-v", "tiny:/etc", "fat", "true", check=False)
    assert refused.returncode == 125
    assert "quota" in refused.stderr.lower() or "No space left" in refused.stderr
    assert quotas.run("ls -A /data", volume="tiny:/data") == ""
    engine.docker("rm", "fat")

    # rm gives the project back, also when the engine dies in it, or while a volume is made.
    engine.docker("volume", "rm", "data")
    assert quotas.of(project) == (0, 0)
    left = {name: quotas.project(name) for name in ("small", "tiny")}
    engine.kill()
    (quotas.volumes / "small").rename(quotas.volumes / ".small.new")
    (quotas.volumes / "tiny").rename(quotas.volumes / ".trash/tiny.0123")
    engine.start()
    eventually(lambda: [quotas.of(number) for number in left.values()] == [(0, 0), (0, 0)])
    assert engine.docker("volume", "ls", "-q").stdout == ""
