"""The same application by docker commands: a network, volumes, data kept over rm and re-create."""

from pathlib import Path

import pytest

from support.engine import EngineUnderTest
from support.waiting import eventually

SITE = Path(__file__).parent / "project" / "site"
PSQL = ("psql", "-h", "127.0.0.1", "-U", "postgres", "-qtAc")


def start(engine: EngineUnderTest) -> None:
    """Run the three containers on the network ``shop`` with their volumes."""
    engine.docker(
        *(
            "run",
            "-d",
            "--name",
            "db",
            "--network",
            "shop",
            "-v",
            "dbdata:/var/lib/postgresql/data",
        ),
        *("-e", "POSTGRES_PASSWORD=sesame", "-e", "PGPASSWORD=sesame", "postgres"),
    )
    engine.docker(
        *("run", "-d", "--name", "cache", "--network", "shop"),
        *("--mount", "type=volume,src=cachedata,dst=/data"),
        *("redis", "redis-server", "--protected-mode", "no", "--appendonly", "yes"),
    )
    engine.docker(
        *("run", "-d", "--name", "web", "--network", "shop", "-p", "8080:80"),
        *("-v", f"{SITE}:/var/www/html:ro", "nginx"),
    )
    eventually(lambda: ask(engine, "SELECT 1") == "1", 60)
    eventually(lambda: redis(engine, "PING") == "PONG", 60)


def ask(engine: EngineUnderTest, statement: str) -> str:
    return engine.docker("exec", "db", *PSQL, statement, check=False).stdout.strip()


def redis(engine: EngineUnderTest, *words: str) -> str:
    return engine.docker("exec", "cache", "redis-cli", *words, check=False).stdout.strip()


@pytest.mark.parametrize("program", ["docker", "cutaway"])
def test_three_containers_keep_their_data(engine: EngineUnderTest, program: str) -> None:
    cli = engine.docker if program == "docker" else engine.cutaway
    cli("network", "create", "shop")
    for name in ("dbdata", "cachedata"):
        cli("volume", "create", name)
    start(engine)
    page = engine.host.run("curl", "-sS", "--max-time", "10", "http://localhost:8080")
    assert page.stdout == "a shop, open\n"
    ask(engine, "CREATE TABLE orders (what text); INSERT INTO orders VALUES ('tea')")
    assert redis(engine, "SET", "visitors", "7") == "OK"
    # By name, from container to container.
    cli("exec", "web", "bash", "-c", "exec 3<>/dev/tcp/db/5432; exec 4<>/dev/tcp/cache/6379")
    cli("stop", "web", "cache", "db")
    cli("rm", "web", "cache", "db")
    start(engine)
    assert ask(engine, "SELECT what FROM orders") == "tea"
    assert redis(engine, "GET", "visitors") == "7"
    for words in (("rm", "-f", "web", "cache", "db"), ("volume", "rm", "dbdata", "cachedata")):
        cli(*words)
    assert cli("volume", "ls", "-q").stdout == ""
    cli("network", "rm", "shop")


def test_data_survives_the_death_of_the_engine_and_of_the_containers(
    engine: EngineUnderTest,
) -> None:
    engine.docker("network", "create", "shop")
    start(engine)
    ask(engine, "CREATE TABLE orders (what text); INSERT INTO orders VALUES ('tea')")
    redis(engine, "SET", "visitors", "7")
    engine.kill()
    engine.start()
    assert ask(engine, "SELECT what FROM orders") == "tea"
    engine.docker("kill", "db", "cache")
    engine.docker("rm", "-f", "web", "cache", "db")
    start(engine)
    assert ask(engine, "SELECT what FROM orders") == "tea"
    assert redis(engine, "GET", "visitors") == "7"
