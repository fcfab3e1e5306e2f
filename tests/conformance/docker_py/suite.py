"""docker-py's own integration tests, run unchanged against one of our engines.

The suite with its script, its stand-in images and its loopback Docker Hub lies beside the
checkout, in ``shared/suites/docker-py``; the tests themselves come from PyPI.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from support.engine import ROOT, EngineUnderTest
from support.host import TestHost
from support.waiting import eventually

SUITE = ROOT.parent / "shared/suites/docker-py"
WORK = ROOT / ".cache/docker-py"
TESTS = "tests/integration/"
TCP = "tcp://127.0.0.1:2375"


def prepare() -> None:
    """Fetch the tests and their pinned client once, and make the images."""
    # A file outside the scope: the script prepares everything and runs nothing.
    script = [str(SUITE / "run.sh"), f"{TESTS}context_api_test.py"]
    _run_script(script, DOCKER_HOST="unix:///nowhere", OUT=f"{WORK}/out")


def _run_script(words: list[str], **variables: str) -> None:
    """Run the suite's script; failed tests are in its results, not in its status."""
    done = subprocess.run(
        words,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("DOCKER_")},
            "SCOPE": "engine",
            "WORK": str(WORK),
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr


class DockerPyRun:
    """An engine on a host of its own where Docker Hub is a registry on loopback.

    Its clients come by TCP if ``by_tcp``: docker-py speaks websocket over nothing else.
    """

    def __init__(self, *, by_tcp: bool = False) -> None:
        self.host = TestHost()
        self.directory = Path(tempfile.mkdtemp(prefix="cutaway-docker-py-"))
        shutil.copy(WORK / "images.tar", self.directory)
        self._registry = self._start_hub()
        self.engine = EngineUnderTest("--experimental", f"--host={TCP}", host=self.host)
        self._address = TCP if by_tcp else f"unix://{self.engine.socket}"
        authority = f"SSL_CERT_FILE={self.directory}/ca.pem"
        self.engine.program = ("env", authority, *self.engine.program)
        self.engine.start()

    def _start_hub(self) -> "subprocess.Popen[bytes]":
        hosts = self.directory / "hosts"
        names = "127.0.0.1 registry-1.docker.io index.docker.io\n"
        hosts.write_text(Path("/etc/hosts").read_text() + names)
        self.host.run("mount", "--bind", str(hosts), "/etc/hosts")
        registry = self.host.popen(
            [str(SUITE / "registry.sh"), str(self.directory)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        eventually((self.directory / "registry.ready").exists)
        return registry

    def outcomes(self, *files: str) -> dict[str, str]:
        """Run test files; return each test with ``outcome: reason``."""
        script = [*self.host.enter(), str(SUITE / "run.sh"), *(TESTS + file for file in files)]
        _run_script(
            script,
            DOCKER_HOST=self._address,
            OUT=f"{self.directory}/out",
            NETNS_PID=str(self.host.pid),
        )
        lines = (self.directory / "out/results.jsonl").read_text().splitlines()
        results = [json.loads(line) for line in lines]
        assert results, (self.directory / "out/pytest.log").read_text()
        return {r["id"].removeprefix(TESTS): f"{r['outcome']}: {r['why']}" for r in results}

    def close(self) -> None:
        """End engine and registry."""
        self.engine.close()
        os.killpg(self._registry.pid, signal.SIGTERM)
        self._registry.wait()
        self.host.close()
        shutil.rmtree(self.directory)
