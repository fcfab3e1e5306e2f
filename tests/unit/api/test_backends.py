"""The fakes fit the Protocols, and so does the engine: same methods, same parameters."""

import inspect
from typing import Any

import pytest

from cutaway.api import backend
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


def methods(protocol: type) -> dict[str, Any]:
    return {
        name: member
        for name, member in vars(protocol).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize(("protocol", "fake"), FAKES, ids=lambda t: t.__name__)
def test_fakes_fit_their_protocol(protocol: type, fake: type) -> None:
    for name, method in methods(protocol).items():
        assert parameters(getattr(fake, name)) == parameters(method), name
        assert inspect.iscoroutinefunction(getattr(fake, name)), name


@pytest.mark.parametrize(("protocol", "fake"), FAKES, ids=lambda t: t.__name__)
def test_every_method_says_what_it_does(protocol: type, fake: type) -> None:
    assert all(inspect.getdoc(method) for method in methods(protocol).values())
