"""``config.json``: what is settled there holds for docker's client and for ours alike."""

import contextlib
import json
import socket
import threading
from pathlib import Path

import pytest

from support.cli import Cli
from support.engine import EngineUnderTest

SETTLED = {
    "psFormat": "PS {{.Names}}",
    "imagesFormat": "IMAGE {{.Repository}}",
    "networksFormat": "table {{.Name}}\t{{.Driver}}",
    "volumesFormat": "VOLUME {{.Name}}",
    "statsFormat": "STATS {{.Name}}",
    "detachKeys": "ctrl-e,e",
    "pruneFilters": ["until=24h", "not a filter"],
    "proxies": {
        "default": {"httpProxy": "http://proxy:3128", "noProxy": "localhost"},
        "unix:///elsewhere.sock": {"httpProxy": "http://elsewhere"},
    },
}

REFUSAL = b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(params=["docker", "cutaway"])
def cli(request: pytest.FixtureRequest, engine: EngineUnderTest) -> Cli:
    return Cli(request.param, engine)


@pytest.fixture
def settled(tmp_path: Path) -> str:
    (tmp_path / "config.json").write_text(json.dumps(SETTLED))
    return str(tmp_path)


def test_lists_have_the_settled_format(cli: Cli, settled: str) -> None:
    box = cli("run", "-d", "--name", "box", "busybox", "sleep", "600").strip()
    cli("volume", "create", "data")

    def heard(*words: str) -> str:
        return cli("--config", settled, *words)

    assert heard("ps") == "PS box\n"
    assert heard("ps", "-q") == box[:12] + "\n"
    assert heard("ps", "--format", "{{.Image}}") == "busybox\n"
    assert "IMAGE busybox\n" in heard("images")
    assert heard("network", "ls").startswith("NAME      DRIVER\nbridge    bridge\n")
    assert heard("volume", "ls") == "VOLUME data\n"
    assert heard("stats", "--no-stream") == "STATS box\n"
    cli("rm", "-f", "box")
    cli("volume", "rm", "data")


def test_the_settled_keys_detach(cli: Cli, settled: str) -> None:
    with cli.terminal("--config", settled, "run", "-it", "--name", "box", "busybox", "sh") as shell:
        shell.expect(b"/ # ")
        shell.send(b"\x05e")
        assert shell.wait() == 0
    assert cli("ps", "--format", "{{.Names}}") == "box\n"
    cli("rm", "-f", "box")


def test_prune_spares_what_is_settled_and_proxies_go_along(cli: Cli, settled: str) -> None:
    cli("create", "--name", "new", "busybox")
    cli("--config", settled, "container", "prune", "-f")
    assert cli("ps", "-a", "--format", "{{.Names}}") == "new\n"
    cli("container", "prune", "-f")
    said = cli("--config", settled, "run", "--rm", "-e", "no_proxy=mine", "busybox", "env")
    proxies = {line for line in said.splitlines() if "proxy" in line.lower()}
    assert proxies == {
        "HTTP_PROXY=http://proxy:3128",
        "http_proxy=http://proxy:3128",
        "NO_PROXY=localhost",
        "no_proxy=mine",
    }


def test_a_configuration_that_can_t_be_read_is_told_and_no_obstacle(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{")
    done = cli.run("--config", str(tmp_path), "ps", "-q")
    assert done.stdout == ""
    assert done.stderr.startswith("WARNING: Error")
    assert str(tmp_path / "config.json") in done.stderr


def test_every_request_carries_the_settled_headers(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"HttpHeaders": {"X-Meta": "who asks"}}))
    path = str(tmp_path / "engine.sock")
    requests: list[bytes] = []
    with socket.create_server(path, family=socket.AF_UNIX) as listener:

        def answer() -> None:
            with contextlib.suppress(OSError):  # the listener was shut down
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        requests.append(connection.recv(65536))
                        connection.sendall(REFUSAL)

        thread = threading.Thread(target=answer)
        thread.start()
        cli.run("--config", str(tmp_path), "-H", f"unix://{path}", "ps", "-q", code=1)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert requests
    assert all(b"\r\nX-Meta: who asks\r\n" in request for request in requests)
