"""Old clients: the shapes they read and the meanings they send."""

import json
from typing import Any

import pytest

from cutaway import model
from cutaway.api.version import MINIMUM, NEWEST, Version, parse_version, split_version
from cutaway.api.versions.answers import STEPS, adapt
from cutaway.api.versions.requests import adapt_create
from cutaway.errors import InvalidParameter
from support.api_server import ApiServer

ALL = [Version(1, minor) for minor in range(MINIMUM.minor, NEWEST.minor + 1)]


def test_versions_compare_as_numbers() -> None:
    assert Version(1, 9) < Version(1, 24) < Version(1, 100)
    assert str(Version(1, 24)) == "1.24"


def test_split_version() -> None:
    assert split_version("/v1.41/info") == (Version(1, 41), "/info")
    assert split_version("/volumes") == (None, "/volumes")
    assert split_version("/v1.41") == (None, "/v1.41")
    with pytest.raises(InvalidParameter):
        parse_version("1.99999999999")


def test_steps_go_from_new_to_old() -> None:
    versions = [step.below for step in STEPS]
    assert versions == sorted(versions, reverse=True)
    assert all(MINIMUM < version <= NEWEST for version in versions)


@pytest.mark.parametrize("version", ALL, ids=str)
def test_every_version_answers_every_question(shared_api: ApiServer, version: Version) -> None:
    for target in (
        "/info", "/version", "/images/json", "/images/b/json", "/containers/json?all=1",
        "/networks", "/networks/bridge", "/volumes", "/system/df", "/events?until=1",
    ):  # fmt: skip
        reply = shared_api.request("GET", f"/v{version}{target}")
        assert reply.status == 200, (target, reply.body)


def inspect(version: Version) -> Any:
    endpoint = model.EndpointSettings(ip_address="172.17.0.2", gateway="172.17.0.1", gw_priority=7)
    document = model.ContainerInspect(
        id="c",
        config=model.ContainerConfig(healthcheck=model.HealthConfig(start_interval=5, retries=1)),
        host_config=model.HostConfig(annotations={"a": "b"}),
        image_manifest_descriptor=model.OCIDescriptor(),
        storage=model.Storage(),
        network_settings=model.NetworkSettings(networks={"bridge": endpoint}),
    )
    adapted = adapt(document, version)
    return adapted if isinstance(adapted, dict) else json.loads(model_json(adapted))


def model_json(document: Any) -> bytes:
    import msgspec

    return msgspec.json.encode(document)


def test_container_inspect_by_version() -> None:
    newest = inspect(NEWEST)
    assert "IPAddress" not in newest["NetworkSettings"]
    assert "Storage" in newest
    v151 = inspect(Version(1, 51))
    assert v151["NetworkSettings"]["IPAddress"] == "172.17.0.2"
    assert v151["NetworkSettings"]["Bridge"] == ""
    assert "Storage" not in v151
    assert v151["NetworkSettings"]["Networks"]["bridge"]["GwPriority"] == 7
    v147 = inspect(Version(1, 47))
    assert "GwPriority" not in v147["NetworkSettings"]["Networks"]["bridge"]
    assert "ImageManifestDescriptor" not in v147
    assert "DNSNames" in v147["NetworkSettings"]["Networks"]["bridge"]
    v143 = inspect(Version(1, 43))
    assert "DNSNames" not in v143["NetworkSettings"]["Networks"]["bridge"]
    assert v143["Config"]["Healthcheck"] == {"Retries": 1}
    assert v143["HostConfig"]["Annotations"] == {"a": "b"}
    assert "Annotations" not in inspect(Version(1, 42))["HostConfig"]


def test_image_inspect_by_version(shared_api: ApiServer) -> None:
    def get(version: str) -> Any:
        return shared_api.request("GET", f"/v{version}/images/busybox/json").json

    newest, v151, v149, v144, v143 = map(get, ("1.56", "1.51", "1.49", "1.44", "1.43"))
    assert {"Parent", "DockerVersion", "Container", "VirtualSize"} & newest.keys() == set()
    assert v151["Parent"] == "sha256:" + "2" * 64
    assert (v151["DockerVersion"], v151["Created"]) == ("", model.ZERO_TIME)
    assert "Hostname" not in v151["Config"]
    assert v149["Config"]["Hostname"] == ""
    assert (v144["Container"], v144["ContainerConfig"]["Tty"]) == ("", False)
    assert "VirtualSize" not in v144
    assert v143["VirtualSize"] == 42


def test_image_list_by_version(shared_api: ApiServer) -> None:
    new = shared_api.request("GET", "/images/json").json
    old = shared_api.request("GET", "/v1.42/images/json").json
    assert (new[1]["RepoTags"], "VirtualSize" in new[0]) == ([], False)
    assert (old[1]["RepoTags"], old[1]["RepoDigests"]) == (["<none>:<none>"], ["<none>@<none>"])
    assert old[0]["VirtualSize"] == 42


def test_events_by_version(shared_api: ApiServer) -> None:
    new = shared_api.request("GET", "/events?until=1").json
    old = shared_api.request("GET", "/v1.51/events?until=1").json
    assert {"status", "id", "from"} & new.keys() == set()
    assert (old["status"], old["id"], old["from"]) == ("start", "c" * 64, "busybox")


def test_info_by_version(shared_api: ApiServer) -> None:
    def get(version: str) -> Any:
        return shared_api.request("GET", f"/v{version}/info").json

    assert get("1.49")["FirewallBackend"] == {"Driver": "nftables"}
    assert "FirewallBackend" not in get("1.48")
    assert get("1.49")["BridgeNfIptables"] is False
    assert "BridgeNfIptables" not in get("1.50")
    assert get("1.24")["SecurityOptions"] == ["seccomp"]
    assert "CgroupVersion" not in get("1.40")


# -- requests ---------------------------------------------------------------------------------


def host_at(version: Version, **fields: Any) -> model.HostConfig:
    host = model.HostConfig(**fields)
    return adapt_create(model.ContainerConfig(), host, model.NetworkingConfig(), version)[1]


def test_the_newest_create_is_taken_as_it_is() -> None:
    host = model.HostConfig(memory=5, annotations={"a": "b"}, auto_remove=True)
    assert host_at(NEWEST, memory=5, annotations={"a": "b"}, auto_remove=True) == host


@pytest.mark.parametrize(
    ("version", "fields", "name", "expected"),
    [
        ((1, 42), {"annotations": {"a": "b"}}, "annotations", None),
        ((1, 41), {"console_size": (1, 2)}, "console_size", (0, 0)),
        ((1, 41), {"kernel_memory": 9}, "kernel_memory", 9),
        ((1, 42), {"kernel_memory": 9}, "kernel_memory", 0),
        ((1, 41), {"memory_swappiness": -1}, "memory_swappiness", None),
        ((1, 41), {}, "cgroupns_mode", ""),
        ((1, 40), {}, "cgroupns_mode", "host"),
        ((1, 40), {"cgroupns_mode": "private"}, "cgroupns_mode", "private"),
        ((1, 39), {}, "ipc_mode", "shareable"),
        ((1, 40), {}, "ipc_mode", ""),
        ((1, 39), {"device_requests": (model.DeviceRequest(),)}, "device_requests", None),
        ((1, 24), {"auto_remove": True}, "auto_remove", False),
        ((1, 25), {"auto_remove": True}, "auto_remove", True),
    ],
)
def test_old_creates(version: Any, fields: Any, name: str, expected: Any) -> None:
    assert getattr(host_at(Version(*version), **fields), name) == expected


def test_mounts_of_old_clients_have_no_newer_options() -> None:
    mount = model.Mount(
        type="bind",
        read_only=True,
        bind_options=model.BindOptions(read_only_force_recursive=True),
        image_options=model.ImageOptions(subpath="x"),
    )
    old = host_at(Version(1, 43), mounts=(mount,)).mounts
    assert old is not None
    assert old[0].image_options is None
    assert old[0].bind_options == model.BindOptions(read_only_non_recursive=True)


def test_start_interval_is_unknown_below_1_44() -> None:
    config = model.ContainerConfig(healthcheck=model.HealthConfig(start_interval=5))
    no = model.NetworkingConfig()
    adapted = adapt_create(config, model.HostConfig(), no, Version(1, 43))[0]
    assert adapted.healthcheck == model.HealthConfig()
    assert adapt_create(config, model.HostConfig(), no, Version(1, 44))[0] == config


def test_one_network_at_create_below_1_44() -> None:
    two = model.NetworkingConfig(
        endpoints_config={"a": model.EndpointSettings(), "b": model.EndpointSettings()}
    )
    with pytest.raises(InvalidParameter, match="multiple network endpoints: a, b"):
        adapt_create(model.ContainerConfig(), model.HostConfig(), two, Version(1, 43))
    adapt_create(model.ContainerConfig(), model.HostConfig(), two, Version(1, 44))


def test_the_containers_mac_address_is_its_endpoints() -> None:
    config = model.ContainerConfig(mac_address="02:00:00:00:00:01")
    host = model.HostConfig(network_mode="front")
    networking = adapt_create(config, host, model.NetworkingConfig(), Version(1, 43))[2]
    assert networking.endpoints_config == {
        "front": model.EndpointSettings(mac_address="02:00:00:00:00:01")
    }
    other = model.NetworkingConfig(
        endpoints_config={"front": model.EndpointSettings(mac_address="02:00:00:00:00:02")}
    )
    with pytest.raises(InvalidParameter, match="must match"):
        adapt_create(config, host, other, NEWEST)
    with pytest.raises(InvalidParameter, match="conflicting options"):
        adapt_create(config, model.HostConfig(network_mode="host"), other, NEWEST)
