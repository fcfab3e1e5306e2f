"""Where the API listens, and who is let in."""

import os
import shutil
import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cutaway.api.origin import check_origin
from cutaway.api.server import Server
from cutaway.api.tls import make_server_context
from cutaway.errors import Conflict, Forbidden, InvalidParameter
from support.api_server import ApiServer, Reply, read_all
from support.certificates import Authority, Pair
from support.fake_engine import frame

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


# -- unix -------------------------------------------------------------------------------------


def test_the_socket_belongs_to_root_and_the_group_from_its_first_moment(api: ApiServer) -> None:
    status = os.stat(api.path)
    assert stat.S_ISSOCK(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o660


def test_the_socket_is_removed_at_the_end_and_a_stale_one_replaced() -> None:
    with ApiServer() as first:
        path = first.path
        os.rename(path, path + ".keep")

        def listen(server: Server) -> None:
            server.listen_unix(path)

        with ApiServer(listen):
            assert os.path.exists(path)
        assert not os.path.exists(path)
        os.rename(path + ".keep", path)
    assert not os.path.exists(path)


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "x.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    with ApiServer(lambda server: server.listen_unix(path)):
        pass
    assert not os.path.exists(path)


def test_another_engines_socket_is_left_alone(api: ApiServer, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="another engine answers there"):
        ApiServer(lambda server: server.listen_unix(api.path)).__enter__()
    assert api.request("GET", "/_ping").status == 200
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(InvalidParameter, match="is no socket"):
        ApiServer(lambda server: server.listen_unix(str(file))).__enter__()
    assert file.read_text() == "precious"


# -- TCP without TLS --------------------------------------------------------------------------


class Tcp:
    def __init__(self, **options: Any) -> None:
        self.options = options
        self.port = 0

    def __call__(self, server: Server) -> None:
        self.port = server.listen_tcp("127.0.0.1", 0, **self.options)

    def get(self, headers: str, path: str = "/_ping") -> Reply:
        with socket.create_connection(("127.0.0.1", self.port), 10) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n".encode())
            return Reply(read_all(sock))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_other_addresses_need_client_certificates(host: str) -> None:
    def listen(server: Server) -> None:
        server.listen_tcp(host, 0)

    with pytest.raises(Forbidden, match="without --tlsverify"):
        ApiServer(listen).__enter__()


@pytest.fixture
def tcp() -> Iterator[Tcp]:
    listen = Tcp(own_names=["Engine.example"])
    with ApiServer(listen):
        yield listen


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Host: 127.0.0.1:2375\r\n", 200),
        ("Host: localhost\r\n", 200),
        ("Host: [::1]:2375\r\n", 200),
        ("Host: engine.example:2375\r\n", 200),
        ("Host: attacker.example\r\n", 403),
        ("Host: 127.0.0.1.attacker.example\r\n", 403),
        ("Host: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n", 403),
        ("Host: 127.0.0.1\r\nOrigin: null\r\n", 403),
        ("Host: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nUpgrade: websocket\r\n", 200),
        (
            "Host: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nUpgrade: websocket\r\n"
            "User-Agent: Mozilla/5.0 (X11)\r\n",
            403,
        ),
        ("Host: 127.0.0.1\r\nOrigin: http://page\r\nUpgrade: websocket\r\n", 403),
        ("Host: page\r\nOrigin: http://page\r\nUpgrade: websocket\r\n", 403),
        ("Upgrade: websocket\r\nOrigin:\r\n", 400),
    ],
)
def test_web_pages_are_refused_on_tcp(tcp: Tcp, headers: str, status: int) -> None:
    reply = tcp.get(headers)
    assert reply.status == status
    if status == 403:
        assert reply.message


def test_a_unix_socket_takes_any_host(shared_api: ApiServer) -> None:
    reply = shared_api.request("GET", "/_ping", headers={"Host": "x", "Origin": "http://x"})
    assert reply.status == 200


def test_check_origin_without_host() -> None:
    with pytest.raises(Forbidden):
        check_origin({}, ())


# -- TLS --------------------------------------------------------------------------------------


class Keys:
    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        other = Authority(directory, "other")
        self.server = self.authority.issue("server", "serverAuth")
        self.client = self.authority.issue("client", "clientAuth")
        self.server_only = self.authority.issue("wrong-purpose", "serverAuth")
        self.expired = self.authority.issue("expired", "clientAuth", days=-1)
        self.foreign = other.issue("foreign", "clientAuth")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def tls_api(keys: Keys) -> Iterator[tuple[ApiServer, Tcp]]:
    context = make_server_context(
        keys.server.certificate, keys.server.key, keys.authority.certificate
    )
    listen = Tcp(tls=context)
    with ApiServer(listen) as api:
        yield api, listen


def connect(keys: Keys, port: int, pair: Pair | None) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=keys.authority.certificate)
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    sock = socket.create_connection(("127.0.0.1", port), 10)
    try:
        return context.wrap_socket(sock, server_hostname="127.0.0.1")
    except BaseException:
        sock.close()
        raise


def ask(sock: ssl.SSLSocket, host: str = "127.0.0.1", more: str = "") -> bytes:
    request = f"GET /_ping HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n"
    with sock:
        sock.sendall(request.encode())
        data = b""
        while piece := sock.recv(4096):
            data += piece
        return data


def test_a_client_with_its_certificate_is_served(
    tls_api: tuple[ApiServer, Tcp], keys: Keys
) -> None:
    assert ask(connect(keys, tls_api[1].port, keys.client)).endswith(b"OK")


def test_over_tls_the_engine_has_any_name_but_no_web_pages(
    tls_api: tuple[ApiServer, Tcp], keys: Keys
) -> None:
    port = tls_api[1].port
    assert ask(connect(keys, port, keys.client), "engine.example:2376").endswith(b"OK")
    refused = ask(connect(keys, port, keys.client), more="Origin: https://page.example\r\n")
    assert refused.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("who", ["none", "foreign", "expired", "server_only"])
def test_clients_without_a_good_certificate_are_refused(
    tls_api: tuple[ApiServer, Tcp], keys: Keys, who: str
) -> None:
    pair = getattr(keys, who, None)
    with pytest.raises(ssl.SSLError):
        # With TLS 1.3 the refusal reaches the client with its first read.
        ask(connect(keys, tls_api[1].port, pair))


def test_plain_http_to_tls_is_closed_and_others_go_on(
    tls_api: tuple[ApiServer, Tcp], keys: Keys
) -> None:
    with socket.create_connection(("127.0.0.1", tls_api[1].port), 10) as sock:
        sock.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP" not in read_all(sock)
    assert ask(connect(keys, tls_api[1].port, keys.client)).endswith(b"OK")


def test_a_client_that_never_shakes_hands_is_dropped(
    monkeypatch: pytest.MonkeyPatch, keys: Keys
) -> None:
    monkeypatch.setattr("cutaway.api.tls.HANDSHAKE_TIMEOUT_S", 0.2)
    context = make_server_context(
        keys.server.certificate, keys.server.key, keys.authority.certificate
    )
    listen = Tcp(tls=context)
    with (
        ApiServer(listen),
        socket.create_connection(("127.0.0.1", listen.port), 10) as silent,
    ):
        assert ask(connect(keys, listen.port, keys.client)).endswith(b"OK")
        assert read_all(silent) == b""


def test_large_bodies_pass_through_tls(tls_api: tuple[ApiServer, Tcp], keys: Keys) -> None:
    api, listen = tls_api
    body = os.urandom(3_000_000)
    with connect(keys, listen.port, keys.client) as sock:
        head = b"POST /images/load HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        sock.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        while sock.recv(65536):
            pass
    assert api.engine.images.loaded == body


def test_attach_over_tls_answers_after_the_clients_close_notify(
    tls_api: tuple[ApiServer, Tcp], keys: Keys
) -> None:
    """``echo x | docker --tls exec -i C cat``: asyncio's own TLS would print nothing."""
    api, listen = tls_api
    api.container()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=keys.authority.certificate)
    context.load_cert_chain(keys.client.certificate, keys.client.key)
    tls = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with socket.create_connection(("127.0.0.1", listen.port), 10) as sock:

        def pump(action: Any) -> Any:
            while True:
                try:
                    result = action()
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    data = sock.recv(65536)
                    incoming.write(data) if data else incoming.write_eof()
                    continue
                sock.sendall(outgoing.read())
                return result

        pump(tls.do_handshake)
        query = b"?stream=1&stdin=1&stdout=1"
        pump(
            lambda: tls.write(
                b"POST /containers/web/attach" + query + b" HTTP/1.1\r\nHost: localhost\r\n"
                b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
            )
        )
        answer = pump(lambda: tls.read(65536))
        assert answer.startswith(b"HTTP/1.1 101")
        pump(lambda: tls.write(b"hello\n"))
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()  # close_notify: our direction ends, the other does not
        sock.sendall(outgoing.read())
        output = b""
        while True:
            try:
                piece = pump(lambda: tls.read(65536))
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                break
            if not piece:
                break
            output += piece
    assert output == frame(1, b"HELLO\n") + frame(1, b"bye\n") + frame(2, b"done\n")


def test_a_key_that_others_can_read_is_refused(keys: Keys) -> None:
    os.chmod(keys.server_only.key, 0o644)
    with pytest.raises(InvalidParameter, match="chmod 0600"):
        make_server_context(keys.server_only.certificate, keys.server_only.key, None)
    os.chmod(keys.server_only.key, 0o600)


def test_files_that_are_no_certificates_are_a_sentence(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("no PEM")
        (tmp_path / name).chmod(0o600)
    with pytest.raises(InvalidParameter, match="can't use the TLS files"):
        make_server_context(str(tmp_path / "a"), str(tmp_path / "b"), None)
