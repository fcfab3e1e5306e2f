"""Messages and descriptors arrive whole, however big, and nothing blocks."""

import os

import pytest

from cutaway.shim import protocol, wire
from cutaway.shim.client import ShimClient
from cutaway.shim.io.spill import SpillFile
from cutaway.shim.protocol import (
    Event,
    HealthCheck,
    Launch,
    LogSettings,
    ProtocolError,
    Reply,
    RestartPolicy,
)


@pytest.fixture
def channels():
    ours, theirs = wire.pair()
    pair = wire.Channel(ours), wire.Channel(theirs)
    yield pair
    for channel in pair:
        channel.close()


def test_a_launch_survives_the_wire(channels):
    here, there = channels
    launch = Launch(
        "id", "/run/x", "/var/x", stdin_open=True, durable=False,
        log=LogSettings(path="/l", max_size_bytes=5),
        health=HealthCheck({"args": ["x"]}, retries=7),
    )  # fmt: skip
    here.send(protocol.encode(launch, 5))
    packet = there.receive()
    assert protocol.decode(packet.document) == (launch, 5)


def test_a_policy_of_defaults_alone_is_a_policy_still(channels):
    launch = Launch("id", "/run/x", "/var/x", restart=RestartPolicy(), log=LogSettings())
    document = protocol.encode(launch, 1)
    decoded, _ = protocol.decode(document)
    assert decoded == launch
    assert protocol.encode(decoded, 1) == document


def test_every_message_has_a_name_of_its_own():
    assert all(name == kind.type for name, kind in protocol.MESSAGES.items())
    assert protocol.encode(protocol.Ping(), 1) == {"type": "ping", "id": 1}


@pytest.mark.parametrize(
    "document", [None, [], {"type": "nonsense"}, {"type": "kill"}, {"type": "ping", "id": "1"}]
)
def test_what_is_no_message_is_refused(document):
    with pytest.raises(ProtocolError):
        protocol.decode(document)


def test_descriptors_come_along_close_on_exec(channels):
    here, there = channels
    read_end, write_end = os.pipe()
    here.send({"a": 1}, (write_end,))
    os.close(write_end)
    packet = there.receive()
    assert packet.document == {"a": 1}
    (received,) = packet.fds
    assert not os.get_inheritable(received)
    os.write(received, b"x")
    os.close(received)
    assert os.read(read_end, 10) == b"x"
    os.close(read_end)


def test_big_documents_travel_as_a_memfd(channels):
    here, there = channels
    document = {"env": ["X=" + "y" * 1000] * 2000}
    before = len(os.listdir("/proc/self/fd"))
    here.send(document)
    assert there.receive() == wire.Packet(document, ())
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_slow_peer_makes_a_queue_and_not_a_block(channels):
    here, there = channels
    for number in range(2000):
        here.send({"number": number, "padding": "x" * 1000})
    assert here.wants_write
    received = []
    while len(received) < 2000:
        packet = there.receive()
        if packet is None:
            here.flush()
        else:
            received.append(packet.document["number"])
    assert received == list(range(2000))
    assert not here.wants_write


def test_the_end_is_seen_on_both_sides(channels):
    here, there = channels
    there.close()
    assert here.receive() is None
    assert here.at_end
    here.send({"to": "nobody"})


def test_a_client_reads_replies_and_events_and_nothing_else():
    ours, theirs = wire.pair()
    client, peer = ShimClient(ours), wire.Channel(theirs)
    request_id = client.request(protocol.Start())
    assert peer.receive().document == {"type": "start", "id": request_id}
    peer.send(protocol.encode(Event("started", 1, 5, {"pid": 7})))
    peer.send(protocol.encode(Reply(request_id, {"pid": 7})))
    messages = [received.message for received in client.read()]
    assert messages == [Event("started", 1, 5, {"pid": 7}), Reply(request_id, {"pid": 7})]
    peer.send({"type": "start", "id": 1})
    with pytest.raises(ProtocolError):
        client.read()
    client.close()
    peer.close()


def test_sockets_below_very_long_paths_can_be_reached(tmp_path):
    import socket

    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    path = str(directory / "shim.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        with wire.short_path(path) as name:
            listener.bind(name)
        listener.listen()
        ShimClient.connect(path).close()


def test_the_spill_file_is_a_bounded_queue(tmp_path):
    spill = SpillFile(str(tmp_path), limit_bytes=1000)
    expected = b""
    taken = b""
    for number in range(200):
        data = bytes([number]) * 90
        while not spill.has_room(len(data)):
            taken += spill.take(70)
        spill.put(data)
        expected += data
        assert spill.size <= 1000
    while spill.size:
        taken += spill.take(300)
    assert taken == expected
    assert os.listdir(tmp_path) == []
