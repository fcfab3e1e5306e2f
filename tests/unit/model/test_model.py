"""The model against the published description of the API, and its own promises."""

import json
from pathlib import Path

import msgspec
import pytest

from cutaway import model

DATA = json.loads((Path(__file__).parents[2] / "data" / "engine_api_1.56.json").read_text())

NAMES = {
    "ContainerInspectResponse": "ContainerInspect",
    "ImageHistoryResponseItem": "ImageHistoryItem",
    "ImageDeleteResponseItem": "ImageDeleteItem",
    "VolumeListResponse": "VolumeList",
    "ContainerStatsResponse": "ContainerStats",
    "ContainerCPUStats": "CPUStats",
    "ContainerMemoryStats": "MemoryStats",
    "ContainerNetworkStats": "NetworkStats",
    "ContainerBlkioStats": "BlkioStats",
    "ContainerTopResponse": "ContainerTop",
    "BuildInfo": "ProgressMessage",
    "ProcessConfig": "ExecProcessConfig",
}
NOT_OURS = {
    ("Volume", "ClusterVolume"): "needs a swarm",
    ("SystemInfo", "Containerd"): "there is no containerd",
    ("SystemInfo", "DiscoveredDevices"): "CDI devices are not discovered",
    ("SystemInfo", "NRI"): "there is no NRI",
    ("SwarmInfo", "Nodes"): "outside a swarm",
    ("SwarmInfo", "Managers"): "outside a swarm",
    ("SwarmInfo", "Cluster"): "outside a swarm",
    ("Resources", "Init"): "the description lists HostConfig's Init here",
}


def wire_names(type_: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(type_)}


@pytest.mark.parametrize("definition", sorted(DATA["definitions"]))
def test_every_property_of_the_description_is_in_the_model(definition: str) -> None:
    type_ = getattr(model, NAMES.get(definition, definition))
    missing = set(DATA["definitions"][definition]) - wire_names(type_)
    assert {m for m in missing if (definition, m) not in NOT_OURS} == set()


def structs() -> list[type[msgspec.Struct]]:
    found = [getattr(model, name) for name in model.__all__]
    return [
        f
        for f in found
        if isinstance(f, type)
        and issubclass(f, msgspec.Struct)
        and f not in (model.Model, model.LowerModel)
    ]


@pytest.mark.parametrize("type_", structs(), ids=lambda t: t.__name__)
def test_every_document_survives_the_wire(type_: type[msgspec.Struct]) -> None:
    value = type_(container="x") if type_ is model.CommitRequest else type_()
    assert msgspec.json.decode(msgspec.json.encode(value), type=type_) == value


def test_always_written_fields_are_written_and_others_left_out() -> None:
    document = json.loads(msgspec.json.encode(model.ContainerConfig()))
    assert document["Cmd"] is None
    assert document["Tty"] is False
    assert "Healthcheck" not in document
    assert "StopTimeout" not in document


def test_documents_share_no_mutable_default() -> None:
    first, second = model.NetworkSettings(), model.NetworkSettings()
    assert first.networks is not second.networks


def test_documents_are_frozen() -> None:
    with pytest.raises(AttributeError):
        model.HostConfig().memory = 1  # type: ignore[misc]


def test_credentials_do_not_show_in_repr() -> None:
    auth = model.AuthConfig(username="me", password="secret", identity_token="token")
    assert "secret" not in repr(auth)
    assert "token" not in repr(auth)


def test_integers_are_held_to_64_bits() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"Memory":9223372036854775808}', type=model.HostConfig)
