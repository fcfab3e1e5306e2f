"""A plugin that hangs, lies or dies costs one call, which says whose fault it was."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cutaway.plugins import (
    Answer,
    PluginDirectories,
    PluginFailed,
    PluginLacks,
    PluginNotFound,
    PluginRefused,
    PluginRegistry,
)
from support.plugin_server import PluginError, make_server
from support.waiting import require_within

ACTIVATED = b'HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n{"Implements":["VolumeDriver"]}\n'


class Mountpoint(Answer):
    """What the tests ask for."""

    mountpoint: str = ""


@pytest.fixture
def directories(tmp_path: Path) -> PluginDirectories:
    return PluginDirectories(str(tmp_path), ())


@pytest.fixture
def raw(directories: PluginDirectories) -> Iterator[Callable[[bytes], None]]:
    """Listen as ``liar``: activate, then answer every request with the same bytes."""
    sockets: list[socket.socket] = []

    def serve(listener: socket.socket, answer: bytes) -> None:
        try:
            while True:
                connection, _ = listener.accept()
                request = connection.recv(65536)
                data = ACTIVATED if b"Plugin.Activate" in request else answer
                sockets.append(connection)
                if data != b"hang":
                    connection.sendall(data)
                    connection.close()
        except OSError:
            pass  # the test is over, or the client has had enough

    def start(answer: bytes) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{directories.sockets}/liar.sock")
        listener.listen()
        sockets.append(listener)
        threading.Thread(target=serve, args=(listener, answer), daemon=True).start()

    yield start
    for one in sockets:
        one.close()


def answer_of(body: bytes, head: bytes = b"HTTP/1.1 200 OK\r\n") -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


LIES = {
    b"": "it answered no HTTP",
    b"SSH-2.0-OpenSSH_9.2\r\n\r\n": "it answered no HTTP",
    b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{": "it answered no HTTP",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000: "it answered no HTTP",
    answer_of(b"x" * 2_000_000): "it answered no HTTP: more than 1048576 bytes",
    answer_of(b"hello"): "it answered no JSON",
    answer_of(b'{"Mountpoint": "/\xff"}'): "it answered no JSON",
    answer_of(b"[" * 500_000): "it answered no JSON",
    answer_of(b"[]"): "its answer does not fit",
    answer_of(b'"/srv"'): "its answer does not fit",
    answer_of(b'{"Mountpoint": 5}'): "its answer does not fit: Expected `str`, got `int`",
    answer_of(b'{"Mountpoint": {"a": 1}}'): "its answer does not fit: Expected `str`",
}


@pytest.mark.parametrize(("lie", "words"), LIES.items())
def test_a_lie_is_refused_by_name(
    directories: PluginDirectories, raw: Callable[[bytes], None], lie: bytes, words: str
) -> None:
    raw(lie)
    plugin = PluginRegistry(directories).get("liar", "VolumeDriver")
    with pytest.raises(PluginFailed) as caught:
        plugin.client.call("VolumeDriver.Path", {}, Mountpoint)
    assert str(caught.value).startswith(f'plugin "liar": VolumeDriver.Path: {words}')


def test_one_that_hangs_is_left_in_time(
    directories: PluginDirectories, raw: Callable[[bytes], None]
) -> None:
    raw(b"hang")
    plugin = PluginRegistry(directories, timeout_s=0.2).get("liar", "VolumeDriver")
    with pytest.raises(PluginFailed, match=r"it did not answer within 0\.2 s"):
        plugin.client.call("VolumeDriver.Path", {}, Mountpoint)


def test_one_that_drips_is_left_in_time_too(directories: PluginDirectories) -> None:
    path = f"{directories.sockets}/drip.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    over = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            for byte in b"HTTP/1.1 200 OK\r\n" + b"x" * 1000:
                if over.wait(0.05):
                    return
                connection.sendall(bytes([byte]))

    thread = threading.Thread(target=drip)
    thread.start()
    start = time.monotonic()
    try:
        with pytest.raises(PluginFailed, match="did not answer within"):
            PluginRegistry(directories, timeout_s=0.5).get("drip", "VolumeDriver")
    finally:
        over.set()
        thread.join()
        listener.close()
    require_within(20, start)


def test_one_that_is_dead_is_waited_for_and_named(directories: PluginDirectories) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directories.sockets}/dead.sock")
    with pytest.raises(PluginFailed) as caught:
        PluginRegistry(directories, patience_s=0.5).get("dead", "VolumeDriver")
    assert str(caught.value) == (
        'plugin "dead": Plugin.Activate: nobody answers at '
        f"{directories.sockets}/dead.sock: Connection refused"
    )


def refuse(_: dict[str, object]) -> dict[str, object]:
    raise PluginError("disk on fire")


def test_a_real_one(directories: PluginDirectories) -> None:
    server = make_server(
        Path(directories.sockets, "good.sock"),
        ["VolumeDriver"],
        {
            "VolumeDriver.Path": lambda asked: {"Mountpoint": asked["Name"], "Err": "", "More": 1},
            "VolumeDriver.Get": lambda _: {"Mountpoint": None},
            "VolumeDriver.Mount": refuse,
        },
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    registry = PluginRegistry(directories)
    try:
        assert registry.active("VolumeDriver") == []
        client = registry.get("good", "VolumeDriver").client
        assert registry.active("VolumeDriver") == ["good"]
        assert client.call("VolumeDriver.Path", {"Name": "v"}, Mountpoint) == Mountpoint(
            mountpoint="v"
        )
        assert client.call("VolumeDriver.Get", None, Mountpoint) == Mountpoint()
        with pytest.raises(PluginRefused) as refused:
            client.call("VolumeDriver.Mount", {}, Mountpoint)
        assert str(refused.value) == 'plugin "good": VolumeDriver.Mount: disk on fire'
        with pytest.raises(PluginRefused) as unknown:
            client.call("VolumeDriver.Capabilities", {}, Mountpoint)
        assert unknown.value.status == 404
        with pytest.raises(PluginLacks, match="it is no NetworkDriver, it implements VolumeDriver"):
            registry.get("good", "NetworkDriver")
        with pytest.raises(PluginNotFound):
            registry.get("bad", "VolumeDriver")
    finally:
        server.shutdown()
        server.server_close()
