"""Real services' whole way: pushed to a registry, pulled, run, served from, killed, restarted."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support.application import application_archive
from support.cli import Cli
from support.engine import EngineUnderTest
from support.registry import Registry
from support.waiting import eventually


class Names(NamedTuple):
    """The images' names in the registry."""

    nginx: str
    redis: str


@pytest.fixture(scope="module")
def registered(module_engine: EngineUnderTest, archives: Path) -> Iterator[Names]:
    """nginx and redis from Debian's packages, in a registry; the engine has no copies of them."""
    engine = module_engine
    registry = Registry(engine.host)
    try:
        engine.docker("load", "-q", "-i", str(application_archive(archives)), timeout=240)
        names = Names(*(f"{registry.address}/debian/{name}:bookworm" for name in Names._fields))
        for kind, name in names._asdict().items():
            engine.docker("tag", kind, name)
            engine.docker("push", "-q", name, timeout=240)
        engine.docker("rmi", *names, "nginx", "postgres", "redis")
        yield names
    finally:
        registry.close()


def curl(cli: Cli, address: str, path: str = "/") -> str:
    """Ask from where the engine is: the network namespace of the test's host."""
    words = ("curl", "-sS", "--max-time", "10", f"http://{address}{path}")
    return cli.engine.host.run(*words, check=False).stdout


def test_nginx_is_pulled_serves_is_killed_and_serves_again(cli: Cli, registered: Names) -> None:
    nginx = registered.nginx
    cli.run("pull", "-q", nginx, timeout=240)
    cli("run", "-d", "--name", "web", "-p", "8080:80", nginx)
    own = cli("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", "web").strip()
    for address in ("localhost:8080", own):
        eventually(lambda address=address: "Welcome to nginx" in curl(cli, address))
    eventually(lambda: '"GET / HTTP/1.1" 200' in cli("logs", "web"))

    cli("exec", "web", "sh", "-c", "echo changed > /var/www/html/note")
    cli("kill", "web")
    assert cli("wait", "web") == "137\n"
    assert curl(cli, "localhost:8080") == ""

    cli("start", "web")
    eventually(lambda: curl(cli, "localhost:8080", "/note") == "changed\n")
    cli("restart", "web")
    eventually(lambda: curl(cli, "localhost:8080", "/note") == "changed\n")
    assert cli("inspect", "-f", "{{.RestartCount}} {{.State.ExitCode}}", "web") == "0 0\n"
    cli("stop", "web")  # SIGQUIT, as the image says: it finishes its requests and ends by itself
    assert cli("wait", "web") == "0\n"
    cli("rm", "web")
    cli("rmi", nginx)


def test_redis_as_its_own_user_keeps_its_data_over_a_kill(docker: Cli, registered: Names) -> None:
    def ask(*words: str) -> str:
        done = docker.engine.docker("exec", "cache", "redis-cli", *words, check=False)
        return done.stdout.strip()

    server = ("redis-server", "--appendonly", "yes", "--appendfsync", "always")
    docker.run("run", "-d", "--quiet", "--name", "cache", registered.redis, *server, timeout=240)
    eventually(lambda: ask("PING") == "PONG")
    assert docker("exec", "cache", "id", "-un") == "redis\n"
    assert ask("SET", "visitors", "7") == "OK"
    docker("kill", "cache")
    docker("start", "cache")
    eventually(lambda: ask("GET", "visitors") == "7")


def test_python_serves_what_it_is_given(docker: Cli, registered: Names, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("from python\n")
    server = ("python3", "-m", "http.server", "--directory", "/site", "8000")
    flags = ("-d", "--quiet", "--name", "web", "-p", "8080:8000", "-v", f"{tmp_path}:/site:ro")
    docker.run("run", *flags, registered.nginx, *server, timeout=240)
    eventually(lambda: curl(docker, "localhost:8080", "/note") == "from python\n")
