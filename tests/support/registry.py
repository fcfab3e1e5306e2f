"""Debian's docker-registry on loopback inside a test host."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from support.certificates import Pair
from support.host import TestHost
from support.waiting import is_late

_CONFIG = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {directory}/data}}
  delete: {{enabled: true}}
http: {{addr: "{address}"{tls}}}
"""
_PASSWORDS = """\
auth: {{htpasswd: {{realm: test, path: {directory}/htpasswd}}}}
"""
ALICE = "alice:$2b$04$ebQAG2F01kL0N.lj4rMwu.i4zLST/e4TgFDwXqwAXNq7fzhNMF/aS\n"  # s3cret


class Registry:
    """A registry whose images live in a directory that goes with it.

    Args:
        host: where it listens.
        port: of its address.
        ip: of its address.
        certificate: makes it speak TLS.
        password: lines of an htpasswd file, ``ALICE``; who has none is refused.

    Attributes:
        address: ``127.0.0.1:5000``, the first part of an image's name.
    """

    def __init__(
        self,
        host: TestHost,
        port: int = 5000,
        *,
        ip: str = "127.0.0.1",
        certificate: Pair | None = None,
        password: str = "",
    ) -> None:
        self.host = host
        self.address = f"{ip}:{port}"
        self.directory = Path(tempfile.mkdtemp(prefix="cutaway-registry-"))
        config = self.directory / "config.yml"
        tls = ""
        if certificate:
            tls = f", tls: {{certificate: {certificate.certificate}, key: {certificate.key}}}"
        config.write_text(_CONFIG.format(directory=self.directory, address=self.address, tls=tls))
        if password:
            (self.directory / "htpasswd").write_text(password)
            with config.open("a") as file:
                file.write(_PASSWORDS.format(directory=self.directory))
        url = f"{'https' if certificate else 'http'}://{self.address}/v2/"
        program = shutil.which("docker-registry") or "docker-registry"
        self._log = open(self.directory / "log", "wb")  # noqa: SIM115 - closed by close()
        self.process = host.popen(
            [program, "serve", str(config)], stdout=self._log, stderr=self._log
        )
        started = time.monotonic()
        while host.run("curl", "-sk", url, check=False).returncode:
            assert not is_late(started, 30), (self.directory / "log").read_text()
            assert self.process.poll() is None, (self.directory / "log").read_text()
            time.sleep(0.05)

    def close(self) -> None:
        """End the registry and remove its images."""
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()
        shutil.rmtree(self.directory)
