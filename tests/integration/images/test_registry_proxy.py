"""Registries behind a proxy of the environment."""

import pytest

from cutaway.images.registry.settings import RegistrySettings
from cutaway.images.registry.transport import TransportFailure
from support.hostile_registry import Exchange, make_image


def test_a_proxy_of_the_environment_is_used_and_loopback_is_not(store, registry, monkeypatch):
    monkeypatch.setenv("http_proxy", registry.url)
    registry.put(make_image())
    prefix = "http://registry.test"

    def relay(exchange: Exchange) -> None:
        exchange.path = exchange.path.removeprefix(prefix)
        exchange.serve()

    registry.on("GET", prefix + ".*", relay)
    settings = RegistrySettings(
        insecure_registries=("registry.test",), certificate_dirs=(), backoff_s=0.01
    )

    store.pull("registry.test/app", settings=settings)
    assert len(registry.requests(prefix + ".*")) == 4

    store.pull(f"{registry.address}/app", settings=settings)
    assert len(registry.requests(prefix + ".*")) == 4


def test_a_tls_registry_is_reached_by_a_tunnel(store, registry, monkeypatch):
    monkeypatch.setenv("https_proxy", registry.url)
    seen: list[str] = []

    def connect(exchange: Exchange) -> None:
        seen.append(exchange.path)
        exchange.send_error(502)

    monkeypatch.setattr(Exchange, "do_CONNECT", connect, raising=False)
    settings = RegistrySettings(certificate_dirs=(), backoff_s=0.01)
    with pytest.raises(TransportFailure, match="tunnel connection failed: 502"):
        store.pull("registry.test/app", settings=settings)
    assert set(seen) == {"registry.test:443"}


def test_no_proxy_is_obeyed(store, registry, monkeypatch):
    monkeypatch.setenv("http_proxy", registry.url)
    monkeypatch.setenv("no_proxy", "registry.invalid")
    settings = RegistrySettings(insecure_registries=("registry.invalid",), certificate_dirs=())
    with pytest.raises(TransportFailure, match="no such host"):
        store.pull("registry.invalid/app", settings=settings)
    assert registry.seen == []
