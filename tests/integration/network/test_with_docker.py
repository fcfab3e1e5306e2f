"""Networks and volumes through the stock docker CLI and a whole engine."""

import json
import time

import pytest

from support.engine import EngineUnderTest
from support.waiting import eventually


def sh(engine: EngineUnderTest, container: str, script: str, check: bool = True) -> str:
    return engine.docker("exec", container, "sh", "-c", script, check=check).stdout.strip()


def host(engine: EngineUnderTest, *words: str, check: bool = True) -> str:
    return engine.host.run(*words, check=check).stdout


@pytest.fixture
def clean(engine: EngineUnderTest):
    yield engine
    engine.remove_containers()
    for kind in ("network", "volume"):
        engine.docker(kind, "prune", "-f", *(("-a",) if kind == "volume" else ()))


HTTPD = ("busybox", "httpd", "-f", "-p", "80", "-h", "/etc")


def fetch(engine: EngineUnderTest, url: str) -> str:
    result = ""

    def fetched() -> bool:
        nonlocal result
        done = engine.host.run("curl", "-sS", "-m", "2", url, check=False)
        result = done.stdout
        return done.returncode == 0

    eventually(fetched)
    return result


def test_a_published_port(clean: EngineUnderTest):
    engine = clean
    engine.docker("run", "-d", "--name", "web", "-p", "8080:80", *HTTPD)
    assert "root:" in fetch(engine, "http://127.0.0.1:8080/passwd")
    assert "root:" in fetch(engine, "http://[::1]:8080/passwd")
    assert engine.docker("port", "web").stdout == "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n"
    assert "0.0.0.0:8080->80/tcp" in engine.docker("ps").stdout
    refused = engine.docker("run", "-d", "-p", "8080:80", *HTTPD, check=False)
    assert refused.returncode == 125
    assert "Bind for 0.0.0.0:8080 failed: port is already allocated" in refused.stderr
    engine.docker("rm", "-f", "web")
    engine.docker("run", "-d", "--name", "web", "-p", "8080:80", *HTTPD)
    engine.docker("restart", "-t", "0", "web")
    assert "root:" in fetch(engine, "http://127.0.0.1:8080/passwd")


def test_containers_find_each_other_by_name(clean: EngineUnderTest):
    engine = clean
    engine.docker("network", "create", "back")
    engine.docker(
        "run", "-d", "--name", "db", "--network", "back", "--network-alias", "sql", *HTTPD
    )
    engine.docker("run", "-d", "--name", "web", "--network", "back", "busybox", "sleep", "600")
    for name in ("db", "sql", "db.back"):
        assert "root:" in sh(engine, "web", f"wget -qO- http://{name}/passwd")
    shown = json.loads(engine.docker("network", "inspect", "back").stdout)[0]
    assert {c["Name"] for c in shown["Containers"].values()} == {"db", "web"}
    in_use = engine.docker("network", "rm", "back", check=False)
    assert "has active endpoints" in in_use.stderr


def test_live_connect_and_disconnect(clean: EngineUnderTest):
    engine = clean
    engine.docker("network", "create", "--subnet", "10.50.0.0/24", "back")
    engine.docker("run", "-d", "--name", "db", "--network", "back", "--ip", "10.50.0.9", *HTTPD)
    engine.docker("run", "-d", "--name", "web", "busybox", "sleep", "600")
    assert "root:" not in sh(engine, "web", "wget -T 1 -qO- http://10.50.0.9/passwd", check=False)
    engine.docker("network", "connect", "--alias", "w", "back", "web")
    assert "root:" in sh(engine, "web", "wget -qO- http://10.50.0.9/passwd")
    assert "root:" in sh(engine, "web", "wget -qO- http://db/passwd")
    engine.docker("network", "disconnect", "back", "web")
    assert sh(engine, "web", "ls /sys/class/net").split() == ["eth0", "lo"]


def test_names_and_ports_outlive_the_engine(clean: EngineUnderTest):
    engine = clean
    engine.docker("network", "create", "back")
    engine.docker("run", "-d", "--name", "db", "--network", "back", "-p", "8081:80", *HTTPD)
    engine.docker("run", "-d", "--name", "web", "--network", "back", "busybox", "sleep", "600")
    pid = engine.docker("inspect", "-f", "{{.State.Pid}}", "web").stdout.strip()
    inside = ("nsenter", "-t", pid, "-n", "-m", "/bin/busybox")
    engine.kill()
    assert "root:" in host(engine, *inside, "wget", "-qO-", "http://db/passwd")
    assert "root:" in fetch(engine, "http://127.0.0.1:8081/passwd")
    engine.start()
    assert "root:" in fetch(engine, "http://127.0.0.1:8081/passwd")
    engine.docker("run", "-d", "--name", "new", "--network", "back", *HTTPD)
    assert "root:" in sh(engine, "web", "wget -qO- http://new/passwd")


def test_container_mode_shares_the_network(clean: EngineUnderTest):
    engine = clean
    engine.docker("run", "-d", "--name", "web", *HTTPD)
    text = engine.docker(
        "run", "--rm", "--network", "container:web", "busybox", "wget", "-qO-",
        "http://127.0.0.1/passwd",
    ).stdout  # fmt: skip
    assert "root:" in text


def test_host_and_none(clean: EngineUnderTest):
    engine = clean
    links = engine.docker("run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net")
    assert links.stdout.split() == ["lo"]
    words = ("--network", "host", "-p", "80:80", "busybox", "ip", "-o", "link")
    seen = engine.docker("run", "--rm", *words)
    assert "cutaway0" in seen.stdout
    assert "Published ports are discarded when using host network mode" in seen.stderr


def test_legacy_links(clean: EngineUnderTest):
    engine = clean
    engine.docker("run", "-d", "--name", "db", *HTTPD)
    text = engine.docker(
        "run", "--rm", "--link", "db:store", "busybox", "wget", "-qO-", "http://store/passwd"
    ).stdout
    assert "root:" in text


def test_volumes_keep_data_and_start_with_the_images_content(clean: EngineUnderTest):
    engine = clean
    engine.docker("run", "--rm", "-v", "data:/etc", "busybox", "sh", "-c", "echo hi >/etc/new")
    text = engine.docker("run", "--rm", "-v", "data:/d", "busybox", "cat", "/d/new", "/d/group")
    assert text.stdout.startswith("hi\nroot:")
    engine.docker("run", "-d", "--name", "user", "-v", "data:/d", "busybox", "sleep", "600")
    refused = engine.docker("volume", "rm", "data", check=False)
    assert "volume is in use" in refused.stderr
    read_only = engine.docker(
        "run", "--rm", "-v", "data:/d:ro", "busybox", "touch", "/d/x", check=False
    )
    assert "Read-only file system" in read_only.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ("--mount", "type=bind,src=/nothing,dst=/x"),
            'invalid mount config for type "bind": bind source path does not exist: /nothing',
        ),
        (("-v", "/a:/x", "-v", "/b:/x"), "Duplicate mount point: /x"),
        (("-v", "/a:/"), "destination can't be '/'"),
        (("--network", "nothing"), "network nothing not found"),
        (("--ip", "172.17.0.9"), "user specified IP address is supported on user defined networks"),
    ],
)
def test_bad_input_says_dockers_sentence(clean: EngineUnderTest, words, text):
    refused = clean.docker("run", "--rm", *words, "busybox", "true", check=False)
    assert refused.returncode == 125
    assert text in refused.stderr


def test_the_story_tells_the_network(clean: EngineUnderTest):
    engine = clean
    engine.docker("run", "-d", "--name", "web", "-p", "8082:80", *HTTPD)
    time.sleep(0.2)
    told = engine.cutaway("story", "web").stdout
    assert "connect eth0" in told
    assert "anyports4 tcp . 8082" in told
