"""Debian's docker-registry on loopback inside a test host."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from support.certificates import Pair
from support.host import TestHost

_CONFIG = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {directory}/data}}
  delete: {{enabled: true}}
http: {{addr: "{address}"{tls}}}
"""


class Registry:
    """A registry whose images live in a directory that goes with it.

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
    ) -> None:
        self.host = host
        self.address = f"{ip}:{port}"
        self.directory = Path(tempfile.mkdtemp(prefix="cutaway-registry-"))
        config = self.directory / "config.yml"
        tls = ""
        if certificate:
            tls = f", tls: {{certificate: {certificate.certificate}, key: {certificate.key}}}"
        config.write_text(_CONFIG.format(directory=self.directory, address=self.address, tls=tls))
        url = f"{'https' if certificate else 'http'}://{self.address}/v2/"
        program = shutil.which("docker-registry") or "docker-registry"
        self._log = open(self.directory / "log", "wb")  # noqa: SIM115 - closed by close()
        self.process = host.popen(
            [program, "serve", str(config)], stdout=self._log, stderr=self._log
        )
        deadline = time.monotonic() + 30
        while host.run("curl", "-fsk", url, check=False).returncode:
            assert time.monotonic() < deadline, (self.directory / "log").read_text()
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
