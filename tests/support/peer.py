"""The newest dockerd that Debian has, unpacked without installing it: the engine to beat.

Debian's unstable suite has dockerd 28.5 and containerd 2.1, which run on Debian 12 as they are.
"""

import os
import shutil
import subprocess
from pathlib import Path

from support.engine import EngineUnderTest
from support.host import TestHost

CACHE = Path(os.environ.get("CUTAWAY_TEST_CACHE", Path.home() / ".cache" / "cutaway-tests"))
PACKAGES = ("docker.io", "containerd", "docker-compose", "docker-buildx")


def unpack(package: str, suite: str = "sid") -> Path:
    """Unpack a Debian package of another suite below CACHE, once.

    Uses this machine's own mirror and keys; nothing is installed.
    """
    target = CACHE / suite / package
    if target.exists():
        return target
    state = CACHE / suite / ".apt"
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (state / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    options = _apt_options(state, suite)
    if not any((state / "lists").glob("*Packages*")):
        subprocess.run(["apt-get", *options, "-qq", "update"], check=True, capture_output=True)
    for old in state.glob(f"{package}_*.deb"):
        old.unlink()
    subprocess.run(
        ["apt-get", *options, "-qq", "download", package],
        check=True, cwd=state, capture_output=True,
    )  # fmt: skip
    (archive,) = state.glob(f"{package}_*.deb")
    temporary = target.with_suffix(f".{os.getpid()}")
    subprocess.run(["dpkg-deb", "-x", str(archive), str(temporary)], check=True)
    temporary.rename(target)
    return target


def mirror() -> str:
    """Return where this machine takes Debian's packages from."""
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)"],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    return next(uri for uri in targets if uri.rstrip("/").endswith("/debian"))


def _apt_options(state: Path, suite: str) -> list[str]:
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (state / "sources.list").write_text(f"deb [signed-by={keys}] {mirror()} {suite} main\n")
    settings = {
        "Dir::Etc::SourceList": state / "sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": state / "lists",
        "Dir::Cache": state,
        "Dir::Cache::Archives": state / "archives",
        "APT::Get::List-Cleanup": "0",
        "APT::Sandbox::User": "root",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


class Dockerd(EngineUnderTest):
    """dockerd with a containerd of its own, started with the same flags as our engine."""

    def __init__(self, *flags: str, host: TestHost | None = None) -> None:
        super().__init__(*flags, host=host)
        docker, containerd = unpack("docker.io"), unpack("containerd")
        self.program = (f"{docker}/usr/sbin/dockerd", "--iptables=true", "--bip=172.29.0.1/16")
        self._path = f"{docker}/usr/sbin:{docker}/usr/bin:{containerd}/usr/bin"

    def words(self) -> list[str]:
        """Put Debian's runc and the unpacked programs in its PATH."""
        return ["env", f"PATH={self._path}:{os.environ['PATH']}", *super().words()]

    def wait_until_clean(self, timeout_s: float = 10) -> None:
        """dockerd's own clean-up is not under test."""

    def close(self) -> None:
        """End dockerd, and unmount what it left in its roots."""
        try:
            if self.process is not None and self.process.poll() is None:
                self.remove_containers()
                self.stop()
        finally:
            self._owns_host = False
            super().close()
            self.host.close()
            for path in (self.directory, self.exec_root):
                shutil.rmtree(path, ignore_errors=True)
