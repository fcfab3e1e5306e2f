"""Contexts with certificates: made by one client, used, exported and imported by the other."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cutaway.api.server import Server
from cutaway.api.tls import make_server_context
from support.api_server import ApiServer
from support.certificates import Authority, Pair

CLIENTS = {
    "docker": ["docker"],
    "cutaway": [sys.executable, "-I", "-c", "from cutaway.cli.main import main; main()"],
}


class Engine:
    """An API that only those talk to whose certificate the authority has signed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory)
        self.client = self.authority.issue("c", "clientAuth")
        self._server = self.authority.issue("server", "serverAuth")
        self.port = 0

    def listen(self, target: Server) -> None:
        own: Pair = self._server
        context = make_server_context(own.certificate, own.key, self.authority.certificate)
        self.port = target.listen_tcp("127.0.0.1", 0, tls=context)

    def endpoint(self, **files: str) -> str:
        """Return what ``--docker`` takes; ``files`` are others than the right ones."""
        ours = {
            "ca": self.authority.certificate,
            "cert": self.client.certificate,
            "key": self.client.key,
            **files,
        }
        words = [f"host=tcp://127.0.0.1:{self.port}", *(f"{k}={v}" for k, v in ours.items() if v)]
        return ",".join(words)

    def says(self, program: str, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [*CLIENTS[program], *words],
            capture_output=True,
            text=True,
            timeout=30,
            cwd=self.directory,
            env={"PATH": os.environ["PATH"], "HOME": str(self.directory / "home")},
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(tmp_path)
    with ApiServer(engine.listen):
        yield engine


@pytest.mark.parametrize(("one", "other"), [("docker", "cutaway"), ("cutaway", "docker")])
def test_a_context_goes_from_one_client_to_the_other(engine: Engine, one: str, other: str) -> None:
    engine.says(one, "context", "create", "box", "--docker", engine.endpoint())
    for program in (one, other):
        assert "fake" in engine.says(program, "-c", "box", "info", "-f", "{{.ID}}")
    assert '"ca.pem",' in engine.says(other, "context", "inspect", "box")
    engine.says(one, "context", "export", "box", "box.tar")
    engine.says(other, "context", "import", "copy", "box.tar")
    engine.says(one, "context", "update", "copy", "--description", "a copy")
    engine.says(other, "context", "rm", "box")
    assert "fake" in engine.says(one, "-c", "copy", "info", "-f", "{{.ID}}")
    engine.says(one, "context", "rm", "copy")
    assert [p for p in (engine.directory / "home").rglob("*.pem")] == []


def test_certificates_count(engine: Engine) -> None:
    stranger = Authority(engine.directory, "stranger")
    engine.says("cutaway", "context", "create", "wary", "--docker",
                engine.endpoint(ca=stranger.certificate))  # fmt: skip
    said = engine.says("cutaway", "-c", "wary", "ps", code=1)
    assert "certificate verify failed" in said
    bare = engine.endpoint(cert="", key="")
    engine.says("cutaway", "context", "create", "bare", "--docker", bare)
    engine.says("cutaway", "-c", "bare", "ps", code=1)
    said = engine.says("cutaway", "context", "create", "bad", "--docker",
                       engine.endpoint(ca=engine.client.key), code=1)  # fmt: skip
    assert said.startswith("unable to create docker endpoint config: could not read ")


def test_an_archive_by_a_stranger_is_looked_at_first(engine: Engine) -> None:
    path = engine.directory / "strange.zip"
    for member, said in (
        ("../../x", "unexpected context file: ../../x"),
        ("tls/docker/x.pem", "unexpected context file: x.pem"),
        ("meta.json", "invalid context: meta.json"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, "{}")
        assert said in engine.says("cutaway", "context", "import", "got", str(path), code=1)
    path.write_bytes(b"neither")
    said = engine.says("cutaway", "context", "import", "got", str(path), code=1)
    assert "neither a tar nor a zip file" in said
    assert not (engine.directory / "home" / ".docker" / "contexts").exists()
