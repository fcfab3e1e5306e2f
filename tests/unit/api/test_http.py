"""HTTP itself: keep-alive, limits, malformed requests, clients that leave."""

import contextlib
import os
import resource
import socket
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.api_server import ApiServer, Reply, read_all
from support.waiting import eventually, require_within

GET = b"GET /_ping HTTP/1.1\r\nHost: d\r\n"


def test_ping_tells_what_the_engine_can_do(shared_api: ApiServer) -> None:
    reply = shared_api.request("GET", "/_ping")
    assert (reply.status, reply.body) == (200, b"OK")
    expected = {
        "api-version": "1.56",
        "docker-experimental": "false",
        "ostype": "linux",
        "server": "cutaway/test (linux)",
        "builder-version": "1",
        "swarm": "inactive",
        "cache-control": "no-cache, no-store, must-revalidate",
        "pragma": "no-cache",
        "content-type": "text/plain; charset=utf-8",
    }
    assert expected.items() <= reply.headers.items()


def test_head_has_the_length_and_no_body(shared_api: ApiServer) -> None:
    reply = shared_api.request("HEAD", "/_ping")
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"", "2")


def test_two_requests_in_one_packet_get_two_answers(shared_api: ApiServer) -> None:
    raw = GET + b"\r\n" + GET + b"Connection: close\r\n\r\n"
    with shared_api.connect() as sock:
        sock.sendall(raw)
        assert read_all(sock).count(b"HTTP/1.1 200 OK") == 2


def test_a_body_behind_an_early_answer_does_not_become_the_next_request(
    shared_api: ApiServer,
) -> None:
    body = b"GET /evil HTTP/1.1\r\n\r\n"
    first = b"POST /nowhere HTTP/1.1\r\nHost: d\r\nContent-Length: %d\r\n\r\n" % len(body)
    with shared_api.connect() as sock:
        sock.sendall(first + body + GET + b"Connection: close\r\n\r\n")
        answers = read_all(sock)
    assert answers.count(b"HTTP/1.1 ") == 2
    assert answers.count(b"HTTP/1.1 404") == 1


def test_http_1_0_is_answered_and_closed(shared_api: ApiServer) -> None:
    with shared_api.connect() as sock:
        sock.sendall(b"GET /events HTTP/1.0\r\n\r\n")
        reply = read_all(sock)
    assert b"Transfer-Encoding" not in reply
    assert reply.endswith(b"}\n")


def test_expect_100_continue(api: ApiServer) -> None:
    api.container()
    head = (
        b"PUT /containers/web/archive?path=/ HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"
        b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    )
    with api.connect() as sock:
        sock.sendall(head)
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"tar")
        assert Reply(read_all(sock)).status == 200
    assert api.engine.containers.uploaded == b"tar"


def test_chunked_bodies_stream(api: ApiServer) -> None:
    raw = b"POST /images/load HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n"
    reply = api.send(raw + b"Connection: close\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
    assert reply.status == 200
    assert api.engine.images.loaded == b"abcdefg"


@pytest.mark.parametrize(
    ("raw", "status", "reason"),
    [
        (GET + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "both"),
        (GET + b"content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n", 400, "both"),
        (GET + b"X: a\r\n b\r\n\r\n", 400, "folded"),
        (GET.replace(b"\r\n", b"\n") + b"\n", 400, "CR LF"),
        (GET + b"X: 1\n\r\n", 400, "CR LF"),
        (GET + b"X : 1\r\n\r\n", 400, "malformed"),
        (GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "malformed"),
        (GET + b"Content-Length: -1\r\n\r\n", 400, "malformed"),
        (GET + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "malformed"),
        (b"GET /_ping HTTP/1.1\r\n\r\n", 400, "malformed"),
        (b"GET /_ping HTTP/3.0\r\nHost: d\r\n\r\n", 505, "use 1.1"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "malformed"),
        (GET + b"".join(b"H%d: 1\r\n" % n for n in range(120)) + b"\r\n", 431, "100 header"),
        (GET + b"X: " + b"x" * 70_000 + b"\r\n\r\n", 431, "longer than 65536"),
        (b"GET /" + b"x" * 17_000 + b" HTTP/1.1\r\nHost: d\r\n\r\n", 414, "longer than 16384"),
    ],
)
def test_malformed_heads_are_refused_with_a_sentence(
    shared_api: ApiServer, raw: bytes, status: int, reason: str
) -> None:
    reply = shared_api.send(raw)
    assert reply.status == status
    assert reason in reply.message
    assert reply.headers["connection"] == "close"


def test_http_2_is_told_to_use_http_1(shared_api: ApiServer) -> None:
    with shared_api.connect() as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        answer = read_all(sock)
    settings_frame, goaway = answer[:9], answer[9:]
    assert settings_frame == bytes.fromhex("000000040000000000")
    assert goaway[3] == 7
    assert int.from_bytes(goaway[13:17], "big") == 0xD
    assert int.from_bytes(goaway[:3], "big") == len(goaway) - 9


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/nowhere", 404),
        ("/containers/json/x/y", 404),
        ("/", 404),
        ("*", 404),
        ("/containers/%zz/json", 400),
        ("/containers/a%2Fb/json", 404),
        ("/containers/json?limit=x", 400),
        ("/v1.99/info", 400),
        ("/v1.23/info", 400),
        ("/v1.x/info", 400),
        ("/v1./info", 400),
        ("/v1", 404),
    ],
)
def test_bad_targets(shared_api: ApiServer, target: str, status: int) -> None:
    reply = shared_api.request("GET", target)
    assert reply.status == status
    assert reply.message


def test_version_errors_in_dockerds_words(shared_api: ApiServer) -> None:
    assert shared_api.request("GET", "/v1.23/info").message == (
        "client version 1.23 is too old. Minimum supported API version is 1.24, "
        "please upgrade your client to a newer version"
    )
    assert shared_api.request("GET", "/v1.99/info").message == (
        "client version 1.99 is too new. Maximum supported API version is 1.56"
    )


def test_a_known_path_with_another_method_is_not_found(shared_api: ApiServer) -> None:
    reply = shared_api.request("PATCH", "/info")
    assert (reply.status, reply.message) == (404, "page not found")


def test_options_is_always_answered(shared_api: ApiServer) -> None:
    assert shared_api.request("OPTIONS", "/anything").status == 200


def test_a_body_must_call_itself_json(shared_api: ApiServer) -> None:
    reply = shared_api.request(
        "POST", "/containers/create", b'{"Image":"x"}', {"Content-Type": "text/plain"}
    )
    assert reply.status == 400
    assert reply.message == (
        "unsupported Content-Type header (text/plain): must be 'application/json'"
    )
    reply = shared_api.request("POST", "/containers/create", b'{"Image":"x"}')
    assert reply.status == 400


def test_a_json_body_over_4_mib_is_refused_and_the_answer_arrives(shared_api: ApiServer) -> None:
    started = time.monotonic()
    body = b'{"Hostname":"' + b"x" * 20_000_000 + b'"}'
    headers = {"Content-Type": "application/json"}
    reply = shared_api.request("POST", "/containers/create", body, headers)
    assert (reply.status, reply.headers["connection"]) == (413, "close")
    require_within(2, started)


def test_a_broken_chunked_body_is_a_sentence(shared_api: ApiServer) -> None:
    head = (
        b"POST /containers/create HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/json\r\n\r\n"
    )
    reply = shared_api.send(head + b"zz\r\n")
    assert reply.status == 400
    assert "malformed request body" in reply.message


def test_slow_heads_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cutaway.api.connection.HEAD_TIMEOUT_S", 0.2)
    with ApiServer() as api, api.connect() as sock:
        sock.sendall(b"GET /_ping HTTP/1.1\r\nHost:")
        reply = Reply(read_all(sock))
    assert reply.status == 408


def test_slow_bodies_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cutaway.api.connection.JSON_BODY_TIMEOUT_S", 0.2)
    monkeypatch.setattr("cutaway.api.connection.LINGER_S", 0.1)
    head = (
        b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n"
        b"Content-Type: application/json\r\n\r\n"
    )
    with ApiServer() as api, api.connect() as sock:
        sock.sendall(head + b"{")
        reply = Reply(read_all(sock))
    assert reply.status == 408


def test_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cutaway.api.connection.IDLE_TIMEOUT_S", 0.2)
    with ApiServer() as api, api.connect() as sock:
        assert read_all(sock) == b""


def test_a_strangers_exception_is_500_with_its_text_and_a_log_line(
    api: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def explode(*_: object, **__: object) -> None:
        raise RuntimeError("out of cheese")

    api.engine.system.info = explode  # type: ignore[method-assign, assignment]
    reply = api.request("GET", "/info")
    assert (reply.status, reply.message) == (500, "out of cheese")
    assert "RuntimeError: out of cheese" in caplog.text


def test_the_oldest_idle_connection_makes_room_for_a_new_one() -> None:
    with ApiServer(max_connections=3) as api:
        idle = [api.connect() for _ in range(3)]
        for sock in idle:
            sock.sendall(GET + b"\r\n")
            assert sock.recv(4096)
        assert api.request("GET", "/_ping").status == 200
        assert read_all(idle[0]) == b""
        for sock in idle:
            sock.close()


def test_a_full_engine_says_so() -> None:
    with ApiServer(max_connections=2) as api:
        api.container()
        busy = []
        for _ in range(2):
            sock = api.connect()
            sock.sendall(
                b"POST /containers/web/wait?condition=next-exit HTTP/1.1\r\nHost: d\r\n\r\n"
            )
            assert b"200 OK" in sock.recv(4096)
            busy.append(sock)
        reply = api.request("GET", "/_ping")
        assert reply.status == 503
        assert "serves 2 connections already" in reply.message
        for sock in busy:
            sock.close()


def test_a_client_that_leaves_cancels_what_streams(api: ApiServer) -> None:
    api.container()
    api.request("POST", "/containers/web/start")
    for target in (b"POST /containers/web/wait", b"GET /containers/web/logs?stdout=1&follow=1"):
        with api.connect() as sock:
            sock.sendall(target + b" HTTP/1.1\r\nHost: d\r\n\r\n")
            assert sock.recv(4096)
    eventually(lambda: sorted(api.engine.containers.cancelled) == ["logs", "wait"])


def test_a_client_that_leaves_before_the_first_message_of_a_build_cancels_it(
    api: ApiServer,
) -> None:
    with api.connect() as sock:
        sock.sendall(
            b"POST /build?dockerfile=slow HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\n\r\nx"
        )
        eventually(lambda: api.engine.builds.context)
    eventually(lambda: api.engine.builds.cancelled == ["slow"])


def test_running_out_of_descriptors_turns_clients_away_and_recovers(
    api: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(5)
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))), hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        sock.connect(api.path)
        reply = Reply(read_all(sock))
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        sock.close()
    assert reply.status == 503
    assert "no file descriptor left" in caplog.text
    assert api.request("GET", "/_ping").status == 200


heads = st.lists(
    st.sampled_from(
        [b"GET ", b"POST ", b"/", b"/_ping", b" HTTP/1.1", b"\r\n", b"\n", b"Host: d", b": ",
         b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Upgrade: tcp", b"\r\n\r\n",
         b"/containers/create", b"/exec/x/start", b"{}", b"5\r\nabcde\r\n", b"0\r\n\r\n"]
    )
    | st.binary(max_size=8),
    max_size=12,
).map(b"".join)  # fmt: skip


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(heads)
def test_any_bytes_are_answered_or_closed_never_500(shared_api: ApiServer, raw: bytes) -> None:
    with shared_api.connect() as sock:
        sock.sendall(raw)
        sock.shutdown(socket.SHUT_WR)
        answer = read_all(sock)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert b"HTTP/1.1 500" not in answer
