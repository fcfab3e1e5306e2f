"""Compose runs a three-container application from its file, unmodified, as on dockerd."""

import json

from support.compose import Compose
from support.engine import EngineUnderTest


def fetch(engine: EngineUnderTest, address: str) -> str:
    return engine.host.run("curl", "-sS", "--max-time", "10", f"http://{address}").stdout


def volumes(engine: EngineUnderTest) -> set[str]:
    return {v["Name"] for v in engine.client.get("/volumes")["Volumes"]}


def test_up_starts_in_the_order_of_health_and_everything_talks(
    compose: Compose, engine: EngineUnderTest
) -> None:
    compose("up", "-d", "--wait")
    states = compose.states()
    assert {n: (s["State"], s["Health"]) for n, s in states.items()} == {
        "shop-web-1": ("running", "healthy"),
        "shop-db-1": ("running", "healthy"),
        "shop-cache-1": ("running", "healthy"),
        "shop-seed-1": ("exited", ""),
    }
    inspected = {n: engine.client.get(f"/containers/{n}/json") for n in states}
    # The seed ran when the database was healthy; the web server when the seed had ended.
    started = {n: i["State"]["StartedAt"] for n, i in inspected.items()}
    assert started["shop-db-1"] < started["shop-seed-1"]
    assert inspected["shop-seed-1"]["State"]["FinishedAt"] < started["shop-web-1"]
    assert fetch(engine, "localhost:8080") == "a shop, open\n"
    assert compose("port", "web", "80").strip() == "0.0.0.0:8080"
    talk = (
        "exec 3<>/dev/tcp/cache/6379; printf 'PING\\r\\n' >&3; head -1 <&3; getent hosts db proxy"
    )
    lines = compose("exec", "-T", "web", "bash", "-c", talk).splitlines()
    assert lines[0].strip() == "+PONG"
    assert lines[1].split() == ["172.31.77.10", "db"]
    assert lines[2].split()[1] == "proxy"
    assert compose("exec", "-T", "db", "cat", "/run/secrets/certificate") == (
        "not really a certificate\n"
    )
    compose("down", "-v", "--remove-orphans")
    assert volumes(engine) == set()


def test_data_outlives_down_and_dies_with_down_v(compose: Compose, engine: EngineUnderTest) -> None:
    compose("up", "-d", "--wait")
    compose.psql("INSERT INTO orders (what) VALUES ('tea')")
    assert compose.redis("SET", "visitors", "7") == "OK"
    compose("down")
    assert engine.client.get("/containers/json", all=True) == []
    named = {"shop_dbdata", "shop_cachedata", "shop_uploads"}
    assert named <= volumes(engine)
    compose("up", "-d", "--wait")
    assert compose.psql("SELECT what FROM orders") == "tea"
    assert compose.redis("GET", "visitors") == "7"
    compose("down", "-v")
    assert not named & volumes(engine)
    assert {n["Name"] for n in engine.client.get("/networks")} == {"bridge", "host", "none"}


def test_scale_logs_exec_restart_and_the_small_commands(
    compose: Compose, engine: EngineUnderTest
) -> None:
    compose("up", "-d", "--wait", "--scale", "web=3")
    ports = {compose("port", "--index", str(n), "web", "80").strip() for n in (1, 2, 3)}
    assert ports == {"0.0.0.0:8080", "0.0.0.0:8081", "0.0.0.0:8082"}
    hosts = {fetch(engine, f"localhost:{8080 + n}/host") for n in range(3)}
    assert len(hosts) == 3
    logs = compose("logs", "--no-color")
    assert "database system is ready to accept connections" in logs
    assert "Ready to accept connections" in logs
    assert logs.count("GET /host") == 3
    compose("up", "-d", "--wait", "--scale", "web=1")
    assert {n for n in compose.states() if "web" in n} == {"shop-web-1"}
    before = engine.client.get("/containers/shop-cache-1/json")["State"]["StartedAt"]
    compose("restart", "cache")
    assert engine.client.get("/containers/shop-cache-1/json")["State"]["StartedAt"] > before
    compose("pause", "cache")
    assert compose.states()["shop-cache-1"]["State"] == "paused"
    compose("unpause", "cache")
    count = compose("run", "--rm", "-T", "seed", "SELECT 6 * 7 AS answer")
    assert "42" in count
    assert "postgres" in compose("top", "db")
    # Nothing has changed, so nothing is made anew.
    same = {n: s["ID"] for n, s in compose.states().items()}
    compose("up", "-d", "--wait")
    assert {n: s["ID"] for n, s in compose.states().items()} == same
    compose("up", "-d", "--wait", "--force-recreate", "cache")
    assert compose.states()["shop-cache-1"]["ID"] != same["shop-cache-1"]
    assert [p["Name"] for p in json.loads(compose("ls", "--format", "json"))] == ["shop"]
    compose("kill", "web")
    assert compose.states()["shop-web-1"]["ExitCode"] == 137
    compose("stop")
    assert {s["State"] for s in compose.states().values()} == {"exited"}
    compose("rm", "-fv")
    assert compose.states() == {}
    compose("down", "-v")


def test_docker_compose_1_29_runs_it_too(compose_classic: Compose, engine: EngineUnderTest) -> None:
    compose = compose_classic
    compose("up", "-d")
    assert compose.redis("SET", "visitors", "7") == "OK"
    compose.psql("CREATE TABLE orders (what text)")
    compose("up", "-d", "--scale", "web=2")
    address = compose("port", "--index=2", "web", "80").strip()
    assert fetch(engine, address) == "a shop, open\n"
    assert "Ready to accept connections" in compose("logs", "--no-color")
    compose("down")
    compose("up", "-d")
    assert compose.redis("GET", "visitors") == "7"
    assert compose.psql("SELECT count(*) FROM orders") == "0"
    assert compose("run", "--rm", "-T", "cache", "redis-cli", "-h", "cache", "GET", "visitors") == (
        "7\n"
    )
    compose("down", "-v")
    assert {v for v in volumes(engine) if "classic" in v} == set()
