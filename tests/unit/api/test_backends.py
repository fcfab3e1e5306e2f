"""The fakes fit the Protocols, and so does the engine: same methods, same parameters."""

import inspect
from typing import Any

import pytest

from cutaway.api import backend, own_backend
from cutaway.engine.containers.service import ContainerService
from cutaway.engine.images import ImageService, ManifestService
from cutaway.engine.networking.own import OwnNetworkService
from cutaway.engine.networking.service import NetworkService
from cutaway.engine.running.execs import ExecService
from cutaway.engine.system.service import SystemService
from cutaway.engine.volumes.service import VolumeService
from support import fake_engine

FAKES = [
    (backend.ContainerBackend, fake_engine.FakeContainers),
    (backend.ExecBackend, fake_engine.FakeExecs),
    (backend.ImageBackend, fake_engine.FakeImages),
    (backend.SystemBackend, fake_engine.FakeSystem),
    (backend.NetworkBackend, fake_engine.FakeNetworks),
    (backend.VolumeBackend, fake_engine.FakeVolumes),
    (backend.BuildBackend, fake_engine.FakeBuilds),
]

ENGINE = [
    (backend.ContainerBackend, ContainerService),
    (backend.ExecBackend, ExecService),
    (backend.ImageBackend, ImageService),
    (backend.SystemBackend, SystemService),
    (backend.NetworkBackend, NetworkService),
    (backend.VolumeBackend, VolumeService),
    (own_backend.OwnNetworkBackend, OwnNetworkService),
    (own_backend.OwnImageBackend, ImageService),
    (own_backend.ManifestBackend, ManifestService),
]


def methods(protocol: type) -> dict[str, Any]:
    return {
        name: member
        for name, member in vars(protocol).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize(("protocol", "class_"), FAKES + ENGINE, ids=lambda t: t.__name__)
def test_fakes_and_engine_fit_the_protocols(protocol: type, class_: type) -> None:
    for name, method in methods(protocol).items():
        assert parameters(getattr(class_, name)) == parameters(method), name
        assert inspect.iscoroutinefunction(getattr(class_, name)), name


@pytest.mark.parametrize("protocol", [protocol for protocol, _ in FAKES])
def test_every_method_says_what_it_does(protocol: type) -> None:
    assert all(inspect.getdoc(method) for method in methods(protocol).values())
