"""``type=nfs``: a real server of the kernel's, in the test's own network namespace, on loopback.

This needs a kernel with nfs and nfsd, as ``tests/machine/run`` has.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.engine import EngineUnderTest
from support.images import busybox_archive
from support.waiting import eventually

SERVER = "filer"


class NfsServer:
    """Exports a directory of an engine's to loopback, by version 4 alone."""

    def __init__(self, engine: EngineUnderTest) -> None:
        self.host = engine.host
        self.directory = engine.directory / "export"
        self.directory.mkdir(mode=0o777)
        self._mountd: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        run = self.host.run
        run("mount", "-t", "nfsd", "nfsd", "/proc/fs/nfsd")
        # For so long after its start a server waits for who may have lost it: the least there is.
        run("sh", "-c", "cd /proc/fs/nfsd; echo 10 | tee nfsv4leasetime > nfsv4gracetime")
        run("exportfs", "-o", "rw,no_root_squash,insecure,fsid=0", f"127.0.0.1:{self.directory}")
        words = ("rpc.mountd", "--foreground", "-N", "2", "-N", "3")
        self._mountd = self.host.popen(words, stderr=subprocess.DEVNULL)
        run("rpc.nfsd", "-N", "3", "--host", "127.0.0.1", "1")

    def stop(self) -> None:
        if self._mountd is not None:
            self.host.run("rpc.nfsd", "0")
            self.host.run("exportfs", "-u", f"127.0.0.1:{self.directory}")
            self._mountd.terminate()
            self._mountd.wait()


@pytest.fixture
def engine(archives: Path) -> Iterator[EngineUnderTest]:
    """An engine on a host that knows the server by its name."""
    if "nfsd\n" not in Path("/proc/filesystems").read_text():
        pytest.skip("probe: this kernel has no nfs and nfsd")
    made = EngineUnderTest()
    hosts = made.directory / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {SERVER}\n")
    made.host.run("mount", "--bind", str(hosts), "/etc/hosts")
    made.start()
    made.docker("load", "-q", "-i", str(busybox_archive(archives)))
    yield made
    made.close()


def test_a_volume_on_an_nfs_server(engine: EngineUnderTest) -> None:
    """One engine for all of it: on an emulated machine each takes its time."""
    server = NfsServer(engine)
    options = ("-o", "type=nfs", "-o", "device=:/", "-o")
    engine.docker("volume", "create", *options, f"o=addr={SERVER},vers=4.2,soft", "data")
    engine.docker("volume", "create", *options, "o=addr=nobody.invalid,vers=4.2", "astray")
    run = ("run", "--rm", "-v", "data:/data", "busybox", "sh", "-c")

    # Without a server, one sentence says so, and nothing is left.
    refused = engine.docker(*run, "true", check=False)
    assert refused.returncode == 125
    assert (
        "error while mounting volume 'data': failed to mount local volume: mount :/ (nfs): no "
        "server answers at 127.0.0.1: connection refused" in refused.stderr
    )
    refused = engine.docker("run", "--rm", "-v", "astray:/data", "busybox", "true", check=False)
    assert "network volume address: lookup nobody.invalid: " in refused.stderr
    assert not [m for m in engine.host.mounts() if "/volumes/" in m]

    server.start()
    try:
        said = engine.docker(*run, "mount | grep ' on /data '; echo kept > /data/file").stdout
        assert said.startswith(":/ on /data type nfs4 (rw,")
        assert (server.directory / "file").read_text() == "kept\n"
        eventually(lambda: not [m for m in engine.host.mounts() if "/volumes/" in m])

        # Two containers have one mount, which goes with the last of them.
        engine.docker("run", "-d", "--name", "one", "-v", "data:/data", "busybox", "sleep", "1000")
        assert engine.docker(*run, "cat /data/file").stdout == "kept\n"
        assert len([m for m in engine.host.mounts() if "/volumes/" in m]) == 1
        engine.docker("rm", "-f", "one")
        eventually(lambda: not [m for m in engine.host.mounts() if "/volumes/" in m])

        # The image's content goes into it when it is empty; rm leaves what the server has.
        (server.directory / "file").unlink()
        filled = engine.docker("run", "--rm", "-v", "data:/var", "busybox", "ls", "/var")
        assert filled.stdout == "www\n"
        engine.docker("volume", "rm", "data")
        assert (server.directory / "www").is_dir()

        engine.docker(
            "volume", "create", *options, f"o=addr={SERVER},vers=4.2", "-o", "device=:/no", "no"
        )
        refused = engine.docker("run", "--rm", "-v", "no:/data", "busybox", "true", check=False)
        assert "the server 127.0.0.1 does not give it to this host: no such file" in refused.stderr
    finally:
        server.stop()
