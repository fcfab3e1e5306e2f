"""Connections that stop being HTTP: attach, exec, web sockets."""

import os
import socket
import time

import pytest

from cutaway.api.websocket import FrameReader, StdcopyReader, accept_key, make_frame
from cutaway.errors import InvalidParameter
from support.api_server import ApiServer, Reply, read_all
from support.fake_engine import frame

UPGRADE = b"Connection: Upgrade\r\nUpgrade: tcp\r\n"
OUTPUT = frame(1, b"FIRST\n") + frame(1, b"bye\n") + frame(2, b"done\n")


def attach(path: bytes, extra: bytes = UPGRADE) -> bytes:
    query = b"?stream=1&stdin=1&stdout=1&stderr=1"
    return b"POST " + path + b"/attach" + query + b" HTTP/1.1\r\nHost: d\r\n" + extra + b"\r\n"


def read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(4096)
        assert piece
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def test_attach_upgrades_and_keeps_the_half_closed_connection(api: ApiServer) -> None:
    api.container()
    with api.connect() as sock:
        sock.sendall(attach(b"/containers/web"))
        head, rest = read_head(sock)
        assert head.startswith(b"HTTP/1.1 101 UPGRADED\r\n")
        assert b"Content-Type: application/vnd.docker.multiplexed-stream" in head
        assert b"Connection: Upgrade\r\nUpgrade: tcp" in head
        assert rest == b""
        sock.sendall(b"first\n")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == OUTPUT


def test_bytes_behind_the_request_belong_to_the_new_protocol(api: ApiServer) -> None:
    api.container()
    with api.connect() as sock:
        sock.sendall(attach(b"/containers/web") + b"first\n")
        sock.shutdown(socket.SHUT_WR)
        _, rest = read_head(sock)
        assert rest + read_all(sock) == OUTPUT


def test_bytes_behind_a_json_body_belong_to_the_new_protocol(api: ApiServer) -> None:
    api.container("pty", Tty=True)
    exec_id = api.request("POST", "/containers/pty/exec", {"Cmd": ["sh"], "Tty": True}).json["Id"]
    head = f"POST /exec/{exec_id}/start HTTP/1.1\r\nHost: d\r\n".encode() + UPGRADE
    head += b"Content-Type: application/json\r\nContent-Length: 12\r\n\r\n"
    with api.connect() as sock:
        sock.sendall(head + b'{"Tty":true}' + b"input\n")
        sock.shutdown(socket.SHUT_WR)
        head, rest = read_head(sock)
        assert b"application/vnd.docker.raw-stream" in head
        assert rest + read_all(sock) == b"first\nINPUT\nbye\n"


def test_the_first_output_never_comes_in_one_piece_with_the_headers(api: ApiServer) -> None:
    """A client that reads headers through a buffer would lose it."""
    api.container()
    exec_id = api.request("POST", "/containers/web/exec", {"Cmd": ["sh"]}).json["Id"]
    request = f"POST /exec/{exec_id}/start HTTP/1.1\r\nHost: d\r\n".encode() + UPGRADE
    request += b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    for _ in range(20):
        with api.connect() as sock:
            sock.sendall(request)
            time.sleep(0.002)  # a client that is a little slow
            first = sock.recv(65536)
            assert first.endswith(b"\r\n\r\n")
            assert sock.recv(65536).startswith(frame(1, b"first\n"))


def test_old_clients_get_a_raw_200(api: ApiServer) -> None:
    api.container()
    with api.connect() as sock:
        sock.sendall(attach(b"/v1.24/containers/web", b"") + b"first\n")
        sock.shutdown(socket.SHUT_WR)
        head, rest = read_head(sock)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Content-Type: application/vnd.docker.raw-stream" in head
        assert b"Content-Length" not in head
        assert b"chunked" not in head
        assert rest + read_all(sock) == OUTPUT


def test_below_1_42_the_type_is_raw(api: ApiServer) -> None:
    api.container()
    with api.connect() as sock:
        sock.sendall(attach(b"/v1.41/containers/web"))
        head, _ = read_head(sock)
        assert b"application/vnd.docker.raw-stream" in head


def test_what_is_refused_before_the_hijack_is_plain_http(api: ApiServer) -> None:
    with api.connect() as sock:
        sock.sendall(attach(b"/containers/nope"))
        head, rest = read_head(sock)
    assert head.startswith(b"HTTP/1.1 404")
    assert b"No such container: nope" in rest


def test_what_fails_after_the_hijack_writes_no_http(api: ApiServer) -> None:
    api.container()
    exec_id = api.request("POST", "/containers/web/exec", {"Cmd": ["fail"]}).json["Id"]
    with api.connect() as sock:
        request = f"POST /exec/{exec_id}/start HTTP/1.1\r\nHost: d\r\n".encode() + UPGRADE
        sock.sendall(request + b"\r\n")
        head, rest = read_head(sock)
        assert head.startswith(b"HTTP/1.1 101")
        assert rest + read_all(sock) == b""


def test_exec_takes_its_options_and_a_bad_console_size_is_refused(api: ApiServer) -> None:
    api.container()
    exec_id = api.request("POST", "/containers/web/exec", {"Cmd": ["x"]}).json["Id"]
    reply = api.request("POST", f"/exec/{exec_id}/start", {"ConsoleSize": [1, 2]})
    assert (reply.status, reply.message) == (
        400,
        "console size is only supported when TTY is enabled",
    )


def test_hijacked_connections_leave_no_descriptor_in_the_engine(api: ApiServer) -> None:
    api.container()

    def once() -> None:
        with api.connect() as sock:
            sock.sendall(attach(b"/containers/web"))
            sock.shutdown(socket.SHUT_WR)
            read_head(sock)
            read_all(sock)

    once()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        once()
    assert len(os.listdir("/proc/self/fd")) <= before + 1


# -- web sockets ------------------------------------------------------------------------------

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def masked(opcode: int, payload: bytes) -> bytes:
    mask = b"\x01\x02\x03\x04"
    whole = make_frame(opcode, bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))
    head = len(whole) - len(payload)
    return whole[:1] + bytes((whole[1] | 0x80,)) + whole[2:head] + mask + whole[head:]


def test_the_rfcs_own_example_of_a_handshake() -> None:
    assert accept_key(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536, 1024 * 1024])
def test_frames_of_every_length_in_any_pieces(length: int) -> None:
    payload = os.urandom(length)
    raw = masked(2, payload) + masked(1, b"x")
    reader = FrameReader()
    middle = len(raw) // 2
    frames = reader.feed(raw[:1]) + reader.feed(raw[1:middle]) + reader.feed(raw[middle:])
    assert frames == [(2, payload), (1, b"x")]


def test_unmasked_and_huge_frames_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="masked"):
        FrameReader().feed(make_frame(1, b"x"))
    with pytest.raises(InvalidParameter, match="longer"):
        FrameReader().feed(b"\x82\xff" + (1 << 40).to_bytes(8, "big") + b"mask")


def test_stdcopy_headers_are_taken_off_in_any_pieces() -> None:
    raw = frame(1, b"ab") + frame(2, b"") + frame(1, b"c")
    for cut in range(len(raw)):
        reader = StdcopyReader()
        assert reader.feed(raw[:cut]) + reader.feed(raw[cut:]) == b"abc"


def test_attach_over_a_web_socket(api: ApiServer) -> None:
    api.container()
    lines = "".join(f"{name}: {value}\r\n" for name, value in HANDSHAKE.items())
    target = "/containers/web/attach/ws?stream=1&stdin=1&stdout=1"
    with api.connect() as sock:
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: d\r\n{lines}\r\n".encode())
        head, data = read_head(sock)
        assert head.startswith(b"HTTP/1.1 101 ")
        assert f"Sec-WebSocket-Accept: {accept_key(KEY)}".encode() in head
        sock.sendall(masked(9, b"ping") + masked(1, b"hello"))
        expected = make_frame(10, b"ping") + make_frame(2, b"HELLO")
        while len(data) < len(expected):
            data += sock.recv(4096)
        assert data == expected
        sock.sendall(masked(8, b""))
        assert read_all(sock) == make_frame(8, b"\x03\xe8")


@pytest.mark.parametrize("missing", ["Upgrade", "Sec-WebSocket-Version", "Sec-WebSocket-Key"])
def test_a_broken_handshake_is_a_sentence(api: ApiServer, missing: str) -> None:
    api.container()
    headers = {name: value for name, value in HANDSHAKE.items() if name != missing}
    headers["Connection"] = "close"
    reply: Reply = api.request("GET", "/containers/web/attach/ws", headers=headers)
    assert reply.status == 400
    assert reply.message
