"""Bad input about networks: Docker's sentence, who stands in the way is named, nothing is left."""

import pytest

from support.engine import EngineUnderTest

_RUN = ("run", "--rm", "--network", "taken")
_CREATE = ("network", "create")


@pytest.fixture(scope="module")
def taken(module_engine: EngineUnderTest) -> EngineUnderTest:
    """An engine with a network on which an address is taken, and a route to elsewhere."""
    run = module_engine.host.run
    run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
    run("ip", "addr", "add", "10.99.0.1/24", "dev", "lan0")
    run("ip", "link", "set", "lan0", "up")
    run("ip", "link", "set", "lan1", "up")
    module_engine.docker("network", "create", "--subnet", "172.30.0.0/16", "taken")
    words = ("--network", "taken", "--ip", "172.30.0.9", "busybox", "sleep", "600")
    module_engine.docker("run", "-d", "--name", "holder", *words)
    return module_engine


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            (*_CREATE, "--subnet", "172.30.1.0/24", "new"),
            "Pool overlaps with other one on this address space: "
            "172.30.1.0/24 overlaps with network taken (172.30.0.0/16)",
        ),
        (
            (*_CREATE, "--subnet", "10.99.0.0/24", "new"),
            "10.99.0.0/24 overlaps with route 10.99.0.0/24 dev lan0",
        ),
        (
            (*_CREATE, "--subnet", "172.31.0.0/24", "--gateway", "10.0.0.1", "new"),
            "no matching subnet for gateway 10.0.0.1",
        ),
        (
            (*_CREATE, "--subnet", "172.31.0.0/24", "--ip-range", "10.0.0.0/24", "new"),
            "no matching subnet for range 10.0.0.0/24",
        ),
        ((*_CREATE, "-d", "nope", "new"), 'plugin "nope" not found'),
        ((*_CREATE, "--ipam-driver", "nope", "new"), 'plugin "nope" not found'),
        (
            (*_CREATE, "-d", "macvlan", "-o", "parent=nope0", "new"),
            "invalid macvlan parent nope0: this host has no such interface (it has ",
        ),
        (
            (*_CREATE, "-o", "com.docker.network.bridge.enable_icc=maybe", "new"),
            "failed to parse com.docker.network.bridge.enable_icc value: maybe (strconv.ParseBool",
        ),
        (
            (*_CREATE, "-o", "com.docker.network.driver.mtu=x", "new"),
            "failed to parse com.docker.network.driver.mtu value: x (",
        ),
        ((*_CREATE, "taken"), "network with name taken already exists"),
        (
            (*_RUN, "--ip", "172.30.0.9", "busybox", "true"),
            "Address already in use: 172.30.0.9 belongs to container holder",
        ),
        (
            (*_RUN, "--ip", "172.30.0.1", "busybox", "true"),
            "Address already in use: 172.30.0.1 belongs to the gateway",
        ),
        (
            (*_RUN, "--ip", "10.1.1.1", "busybox", "true"),
            "no configured subnet or ip-range contain the IP address 10.1.1.1",
        ),
        (("run", "--rm", "-p", "70000:80", "busybox", "true"), "invalid hostPort: 70000"),
        (("run", "--rm", "--network", "none-such", "busybox", "true"), "none-such not found"),
        (("network", "rm", "taken"), 'has active endpoints (name:"holder"'),
        (("network", "connect", "taken", "holder"), "holder already exists in network taken"),
        (("network", "rm", "bridge"), "bridge is a pre-defined network and cannot be removed"),
    ],
)
def test_the_sentence_and_nothing_left(
    taken: EngineUnderTest, words: tuple[str, ...], sentence: str
):
    before = (taken.host.links(), taken.host.run("nft", "list", "ruleset").stdout)
    done = taken.docker(*words, check=False)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert {n["Name"] for n in taken.client.get("/networks")} == {
        *("bridge", "host", "none", "taken")
    }
    assert [c["Names"] for c in taken.client.get("/containers/json", all=True)] == [["/holder"]]
    assert (taken.host.links(), taken.host.run("nft", "list", "ruleset").stdout) == before
