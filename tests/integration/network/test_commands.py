"""Commands of our own about networks, on a real engine: ``port add`` and ``rm``."""

import json

import pytest

from support.engine import EngineUnderTest
from support.waiting import eventually


@pytest.fixture
def web(engine: EngineUnderTest) -> EngineUnderTest:
    """An engine with a container ``web`` that serves HTTP on port 80."""
    engine.docker("run", "-d", "--name", "web", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc")
    eventually(lambda: "LISTEN" in engine.docker("exec", "web", "netstat", "-ltn").stdout)
    return engine


def fetch(engine: EngineUnderTest, url: str) -> bool:
    done = engine.host.run("curl", "-s", "-m", "3", url, check=False)
    return "root:" in done.stdout


def test_port_add_is_told_in_the_story_and_kept_over_restarts(web: EngineUnderTest):
    assert web.cutaway("port", "add", "web", "8080:80").stdout == (
        "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n"
    )
    url = "http://127.0.0.1:8080/passwd"
    assert fetch(web, url)
    assert "0.0.0.0:8080->80/tcp" in web.docker("ps").stdout
    story = web.cutaway("story", "web").stdout
    assert "why: port add" in story
    assert "anyports4 tcp . 8080" in story
    web.kill()
    assert fetch(web, url)
    web.start()
    assert fetch(web, url)
    web.docker("restart", "-t", "0", "web")
    eventually(lambda: fetch(web, url))
    web.cutaway("port", "rm", "web", "80")
    assert not fetch(web, url)
    assert web.docker("port", "web").stdout == ""
    web.docker("restart", "-t", "0", "web")
    assert not fetch(web, url)


def test_a_port_of_mode_host_says_so(web: EngineUnderTest):
    web.cutaway("port", "add", "--mode", "host", "web", "127.0.0.1:8081:80")
    assert fetch(web, "http://127.0.0.1:8081/passwd")
    ports = web.client.get("/containers/web/json")["NetworkSettings"]["Ports"]
    assert ports == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8081", "Mode": "host"}]}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("add", "web", "70000:80"), "invalid hostPort: 70000"),
        (("add", "web", "8080:80/icmp"), "invalid proto: icmp"),
        (("add", "--mode", "nat", "web", "80"), 'invalid publish mode "nat"'),
        (("rm", "web", "81"), "No public port '81/tcp' published for web"),
        (("add", "nobody", "80"), "No such container: nobody"),
    ],
)
def test_bad_words_change_nothing(web: EngineUnderTest, words: tuple[str, ...], text: str):
    done = web.cutaway("port", *words, check=False)
    assert done.returncode != 0
    assert text in done.stderr
    assert web.docker("port", "web").stdout == ""


def test_a_networks_name_may_have_slashes(engine: EngineUnderTest):
    engine.docker("network", "create", "team/web")
    engine.docker("run", "-d", "--name", "one", "--network", "team/web", "busybox", "sleep", "600")
    engine.docker("network", "disconnect", "team/web", "one")
    engine.docker("network", "connect", "team/web", "one")
    for run in (engine.docker, engine.cutaway):
        shown = json.loads(run("network", "inspect", "team/web").stdout)
        assert [e["Name"] for e in shown[0]["Containers"].values()] == ["one"]
    engine.docker("rm", "-f", "one")
    engine.cutaway("network", "rm", "team/web")


def test_egress_and_denied(engine: EngineUnderTest):
    engine.host.run("ip", "addr", "add", "198.51.100.7/32", "dev", "lo")
    engine.cutaway("run", "-d", "--name", "caged", "--egress", "none", "busybox", "sleep", "600")
    asked = engine.docker("exec", "caged", "nslookup", "evil.example", check=False)
    assert "REFUSED" in asked.stdout + asked.stderr
    engine.docker("exec", "caged", "nc", "-w", "1", "198.51.100.7", "443", check=False)
    engine.docker("exec", "caged", "ping", "-c", "1", "-W", "1", "198.51.100.7", check=False)
    lines = [line.split()[:3] for line in engine.cutaway("denied", "caged").stdout.splitlines()]
    assert lines[0] == ["NAME", "ADDRESS", "PORT"]
    assert ["-", "198.51.100.7", "443/tcp"] in lines
    assert ["-", "198.51.100.7", "icmp"] in lines
    assert ["evil.example", "-", "dns"] in lines
    assert engine.client.get("/containers/caged/json")["HostConfig"]["Egress"] == "none"


def test_egress_of_a_network(engine: EngineUnderTest):
    engine.cutaway("network", "create", "--egress", "allow=10.0.0.0/8:80", "fenced")
    options = engine.client.get("/networks/fenced")["Options"]
    assert options == {"com.cutaway.network.egress": "allow=10.0.0.0/8:80"}
    wrong = engine.cutaway("network", "create", "--egress", "some", "other", check=False)
    assert "invalid egress policy 'some'" in wrong.stderr
    wrong = engine.cutaway(
        "run", "--network", "host", "--egress", "none", "busybox", "true", check=False
    )
    assert "conflicting options: an egress policy and the network mode host" in wrong.stderr
    engine.docker("network", "rm", "fenced")


def test_reach_and_doctor(web: EngineUnderTest):
    web.host.run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
    for words in (("addr", "add", "10.99.0.1/24", "dev", "lan0"), ("link", "set", "lan0", "up")):
        web.host.run("ip", *words)
    web.cutaway("port", "add", "web", "0.0.0.0:8080:80")
    head, *lines = web.cutaway("reach", "8080").stdout.splitlines()
    assert head.split() == ["FROM", "REACHES", "TO", "DECIDED", "BY"]
    assert any(
        line.startswith("other hosts by lan0 (10.99.0.1:8080)") and "anyports4" in line
        for line in lines
    )
    healthy = web.cutaway("doctor")
    assert "ok   firewall tables" in healthy.stdout
    script = "add table inet mine; add chain inet mine stop "
    script += "{ type filter hook forward priority 0; policy drop; }"
    web.host.run("nft", script)
    ill = web.cutaway("doctor", "-q", check=False)
    assert ill.returncode == 1
    assert ill.stdout.startswith("BAD  port 8080/tcp of web by 10.99.0.1\n")
    assert "table inet mine, chain stop, policy drop drops it" in ill.stdout
    (line,) = [x for x in web.cutaway("reach", "8080/tcp").stdout.splitlines() if "lan0" in x]
    assert "  no  " in line
    assert "no container publishes port 9/tcp" in web.cutaway("reach", "9", check=False).stderr
    web.host.run("nft", "delete", "table", "inet", "mine")
    web.host.run("ip", "link", "del", "lan0")


def test_a_live_connect_leaves_what_users_wrote(engine: EngineUnderTest):
    engine.docker("network", "create", "late")
    engine.docker("run", "-d", "--name", "edited", "busybox", "sleep", "600")
    script = "echo 10.0.0.5 mine >>/etc/hosts; echo nameserver 192.0.2.53 >/etc/resolv.conf"
    engine.docker("exec", "edited", "sh", "-c", script)
    engine.docker("network", "connect", "late", "edited")
    hosts = engine.docker("exec", "edited", "cat", "/etc/hosts").stdout
    address = engine.client.get("/containers/edited/json")["NetworkSettings"]["Networks"]["late"]
    assert "10.0.0.5 mine" in hosts
    assert address["IPAddress"] in hosts
    resolver = engine.docker("exec", "edited", "cat", "/etc/resolv.conf").stdout
    assert resolver == "nameserver 192.0.2.53\n"
    engine.docker("network", "disconnect", "late", "edited")
    hosts = engine.docker("exec", "edited", "cat", "/etc/hosts").stdout
    assert "10.0.0.5 mine" in hosts
    assert address["IPAddress"] not in hosts
    engine.docker("network", "rm", "late")
