"""The real docker CLI against the real API server in front of the fake engine."""

import fcntl
import os
import pty
import shutil
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cutaway.api.server import Server
from cutaway.api.tls import make_server_context
from support.api_server import ApiServer
from support.certificates import Authority

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker CLI")


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


def docker(
    api: ApiServer, *arguments: str, stdin: bytes = b"", code: int = 0, **environment: str
) -> str:
    done = subprocess.run(
        ["docker", *arguments],
        input=stdin,
        capture_output=True,
        timeout=30,
        env={
            "PATH": os.environ["PATH"],
            "HOME": api.directory.name,
            "DOCKER_HOST": f"unix://{api.path}",
            **environment,
        },
    )
    assert done.returncode == code, done.stderr.decode()
    return done.stdout.decode() + done.stderr.decode()


def test_version_and_info(api: ApiServer) -> None:
    assert docker(api, "version", "-f", "{{.Server.Version}} {{.Server.APIVersion}}") == (
        "28.5.2 1.56\n"
    )
    assert docker(api, "info", "-f", "{{.ID}} {{.Swarm.LocalNodeState}}") == "fake inactive\n"


def test_run_attached_takes_stdin_and_gives_output_and_exit_code(api: ApiServer) -> None:
    output = docker(api, "run", "-i", "--rm", "busybox", "cat", stdin=b"hello\n", code=3)
    assert output == "HELLO\nbye\ndone\n"


def test_run_detached_then_the_life_of_a_container(api: ApiServer) -> None:
    container_id = docker(api, "run", "-d", "--name", "web", "-m", "64m", "busybox").strip()
    assert docker(api, "ps", "--format", "{{.Names}} {{.Status}}") == "web Up\n"
    assert docker(api, "inspect", "-f", "{{.HostConfig.Memory}}", "web") == "67108864\n"
    assert docker(api, "logs", "web") == "line 0\nline 1\nline 2\n"
    assert docker(api, "exec", "-i", "web", "cat", stdin=b"x", code=4) == "first\nXbye\ndone\n"
    assert docker(api, "top", "web").split() == ["PID", "CMD", "1", "-ef"]
    assert "A /tmp/x" in docker(api, "diff", "web")
    assert docker(api, "rename", "web", "site") == ""
    assert docker(api, "stop", "-t", "1", "site") == "site\n"
    assert docker(api, "wait", "site") == "137\n"
    assert docker(api, "rm", "site") == "site\n"
    assert "No such container" in docker(api, "stop", container_id[:12], code=1)


def test_run_waits_for_a_container_that_ends_by_itself(api: ApiServer) -> None:
    assert docker(api, "run", "--rm", "-d", "busybox", "true")
    docker(api, "create", "--name", "quick", "busybox", "true")
    assert docker(api, "start", "quick") == "quick\n"
    assert docker(api, "wait", "quick") == "0\n"


def test_a_terminal(api: ApiServer) -> None:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    docker(api, "run", "-dit", "--name", "pty", "busybox")
    process = subprocess.Popen(
        ["docker", "-H", f"unix://{api.path}", "exec", "-it", "pty", "sh"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    seen = b""
    deadline = time.monotonic() + 10
    while b"first" not in seen and time.monotonic() < deadline:
        seen += os.read(leader, 4096)
    os.write(leader, b"abc\r")
    while b"ABC" not in seen and time.monotonic() < deadline:
        seen += os.read(leader, 4096)
    assert b"ABC" in seen
    process.kill()
    process.wait()
    os.close(leader)
    assert "resize 24x80" in api.engine.execs.story


def test_errors_are_docker_s_own(api: ApiServer) -> None:
    assert "Error response from daemon: No such container: nope" in docker(
        api, "logs", "nope", code=1
    )
    docker(api, "create", "--name", "web", "busybox")
    assert 'The container name "/web" is already in use' in docker(
        api, "create", "--name", "web", "busybox", code=1
    )
    assert "This node is not a swarm manager" in docker(api, "node", "ls", code=1)


def test_images(api: ApiServer, tmp_path: Path) -> None:
    assert "Downloaded newer image" in docker(api, "pull", "busybox")
    assert "busybox" in docker(api, "images")
    assert docker(api, "save", "-o", str(tmp_path / "x.tar"), "a", "b") == ""
    assert (tmp_path / "x.tar").read_bytes() == b"tar of a,b"
    assert "Loaded image" in docker(api, "load", stdin=b"tarball")
    assert docker(api, "import", "-", "root", stdin=b"tar").startswith("sha256:")
    assert "Untagged: busybox" in docker(api, "rmi", "busybox")
    assert "COPY" in docker(api, "history", "busybox")
    failed = docker(api, "pull", "broken", code=1)
    assert "the registry went away" in failed


def test_classic_build(api: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\n")
    output = docker(api, "build", "-t", "x", str(tmp_path), DOCKER_BUILDKIT="0")
    assert "Step 1/1 : FROM busybox" in output
    assert api.engine.builds.last is not None
    assert api.engine.builds.last.tags == ("x",)


def test_networks_volumes_events_and_system(api: ApiServer) -> None:
    assert "bridge" in docker(api, "network", "ls")
    assert docker(api, "network", "create", "front").strip() == "d" * 64
    assert docker(api, "volume", "create", "data") == "data\n"
    assert "container start" in docker(api, "events", "--since", "1", "--until", "2")
    assert "Images" in docker(api, "system", "df")
    assert "Images space usage" in docker(api, "system", "df", "-v")
    assert docker(api, "container", "prune", "-f").startswith("Total reclaimed space")


def test_cp_and_stats_and_update(api: ApiServer, tmp_path: Path) -> None:
    docker(api, "run", "-d", "--name", "web", "busybox")
    (tmp_path / "file").write_text("x")
    docker(api, "cp", str(tmp_path / "file"), "web:/absent/../tmp/file")
    assert b"file" in api.engine.containers.uploaded
    assert "web" in docker(api, "stats", "--no-stream")
    assert docker(api, "update", "-m", "32m", "--memory-swap", "-1", "web") == "web\n"


@pytest.mark.parametrize("version", ["1.24", "1.30", "1.35", "1.41", "1.44"])
def test_pinned_to_old_versions(api: ApiServer, version: str) -> None:
    pinned = {"DOCKER_API_VERSION": version}
    if version == "1.24":  # its client learns exits from events, which the fake does not tell
        docker(api, "create", "--name", "web", "busybox", **pinned)
    else:
        run = ("run", "-i", "--name", "web", "busybox", "cat")
        assert docker(api, *run, stdin=b"a", code=3, **pinned) == "Abye\ndone\n"
    assert "web" in docker(api, "ps", "-a", **pinned)
    assert docker(api, "inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web", **pinned) == (
        "172.17.0.2\n"
    )
    docker(api, "images", **pinned)
    docker(api, "info", **pinned)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_exec_over_tls_prints_after_stdin_has_ended(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, client = authority.issue("server", "serverAuth"), authority.issue("c", "clientAuth")
    port = 0

    def listen(target: Server) -> None:
        nonlocal port
        context = make_server_context(server.certificate, server.key, authority.certificate)
        port = target.listen_tcp("127.0.0.1", 0, tls=context)

    with ApiServer(listen) as api:
        docker(api, "run", "-d", "--name", "web", "busybox")
        output = docker(
            api,
            "--tlsverify",
            f"--tlscacert={authority.certificate}",
            f"--tlscert={client.certificate}",
            f"--tlskey={client.key}",
            "exec",
            "-i",
            "web",
            "cat",
            stdin=b"x",
            code=4,
            DOCKER_HOST=f"tcp://127.0.0.1:{port}",
        )
    assert output == "first\nXbye\ndone\n"
