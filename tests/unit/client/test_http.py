"""The client against a socket that answers by a script."""

import socket
import threading

import pytest

from cutaway.client import ApiError, Client, EngineUnreachable, parse_host
from cutaway.client.http import encode_query
from cutaway.client.streams import FrameDecoder
from cutaway.errors import InvalidParameter


@pytest.fixture
def engine(tmp_path):
    """Serve one connection: ``engine(answer)`` returns (client, list of the request's bytes)."""
    threads = []

    def serve(answer: bytes):
        path = str(tmp_path / "s.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        seen: list[bytes] = []

        def run():
            connection, _ = listener.accept()
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            seen.append(data)
            connection.sendall(answer)
            connection.close()
            listener.close()

        thread = threading.Thread(target=run)
        thread.start()
        threads.append(thread)
        return Client(parse_host(f"unix://{path}")), seen

    yield serve
    for thread in threads:
        thread.join()


def test_json_with_a_length(engine):
    client, seen = engine(b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}')
    assert client.get("/x", all=True, none=None) == {"a": 1}
    assert seen[0].startswith(b"GET /x?all=1 HTTP/1.1\r\nHost: docker\r\n")


def test_chunks_are_joined_and_documents_split(engine):
    body = b'3\r\n{"a\r\n6\r\n":1}\n{\r\n2\r\n}\n\r\n0\r\n\r\n'
    client, _ = engine(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert list(client.request("GET", "/x").documents()) == [{"a": 1}, {}]


def test_the_engines_sentence_is_raised(engine):
    message = b'{"message":"No such container: web"}'
    client, _ = engine(b"HTTP/1.1 404 Not Found\r\nContent-Length: 36\r\n\r\n" + message)
    with pytest.raises(ApiError) as caught:
        client.get("/containers/web/json")
    assert (caught.value.status, str(caught.value)) == (404, "No such container: web")


def test_bytes_behind_the_upgrade_belong_to_the_stream(engine):
    head = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
    client, seen = engine(head + b"first bytes")
    stream = client.hijack("/x")
    assert stream.pending == b"first bytes"
    stream.socket.close()
    assert b"Upgrade: tcp\r\n" in seen[0]


def test_an_answer_cut_short_is_an_error(engine):
    client, _ = engine(b"HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\nshort")
    with pytest.raises(ApiError, match="in the middle"):
        client.get("/x")


def test_nobody_listens(tmp_path):
    client = Client(parse_host(f"unix://{tmp_path}/none.sock"))
    with pytest.raises(EngineUnreachable, match="Is the docker daemon running"):
        client.get("/x")


def test_hosts():
    assert parse_host("tcp://127.0.0.1:2375").address == ("127.0.0.1", 2375)
    assert parse_host("tcp://[::1]:1").address == ("::1", 1)
    assert parse_host("unix:///a/b").path == "/a/b"
    with pytest.raises(InvalidParameter):
        parse_host("ssh://x")


def test_query_values_are_encoded():
    assert encode_query({"a": "b c&d", "l": ["x", "y"], "t": True, "f": False}) == (
        "?a=b%20c%26d&l=x&l=y&t=1&f=0"
    )


def test_frames_in_any_pieces():
    frame = b"\x01\0\0\0\0\0\0\x03abc" + b"\x02\0\0\0\0\0\0\x01x"
    decoder = FrameDecoder()
    got = [item for byte in frame for item in decoder.feed(bytes([byte]))]
    assert got == [(1, b"abc"), (2, b"x")]
    with pytest.raises(ValueError, match="Unrecognized input header"):
        list(FrameDecoder().feed(b"hello world"))
